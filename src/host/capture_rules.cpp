#include "host/capture_rules.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "host/capability.h"
#include "host/proc.h"

namespace fwtrace::host {

using base::ErrorKind;
using ruleset::Capture;

std::optional<GenerationReader> GenerationReader::open() {
  GenerationReader reader;
  reader.fd_ = Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (!reader.fd_.open() ||
      bind(reader.fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return std::nullopt;
  return reader;
}

// The kernel answers while sendto runs (nf_tables_getgen), so nothing has to be waited for.
std::optional<std::uint32_t> GenerationReader::read() {
  alignas(nlmsghdr) std::array<char, 64> request{};
  nlmsghdr* header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_seq = ++sequence_;
  auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  family->nfgen_family = AF_UNSPEC;
  family->version = NFNETLINK_V0;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd_.get(), request.data(), header->nlmsg_len, 0, reinterpret_cast<const sockaddr*>(&kernel),
             sizeof kernel) < 0)
    return std::nullopt;
  alignas(nlmsghdr) std::array<char, 8192> answer;
  for (;;) {
    const ssize_t got = recv(fd_.get(), answer.data(), answer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    const auto* message = reinterpret_cast<const nlmsghdr*>(answer.data());
    if (!mnl_nlmsg_ok(message, static_cast<int>(got)) || message->nlmsg_seq != sequence_) continue;
    if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN)) return std::nullopt;
    std::optional<std::uint32_t> generation;
    const auto keep = [](const nlattr* attribute, void* into) {
      if (mnl_attr_get_type(attribute) == NFTA_GEN_ID && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
        *static_cast<std::optional<std::uint32_t>*>(into) = ntohl(mnl_attr_get_u32(attribute));
      return MNL_CB_OK;
    };
    mnl_attr_parse(message, sizeof(nfgenmsg), keep, &generation);
    return generation;
  }
}

namespace {

using Clock = std::chrono::steady_clock;

// The save command of one backend. Where both exist, each has a name of its own; before iptables 1.8, and where only
// one is installed, "iptables-save" is it, and the program behind the links says which.
std::optional<std::string> find_save(std::string_view own_name, std::string_view plain_name, bool nft,
                                     const std::vector<std::string>& folders) {
  if (auto path = find_tool(own_name, folders)) return path;
  auto path = find_tool(plain_name, folders);
  if (!path) return std::nullopt;
  std::array<char, PATH_MAX> real{};
  if (realpath(path->c_str(), real.data()) == nullptr) return std::nullopt;
  const std::string_view target = real.data();
  const bool is_nft = target.substr(target.rfind('/') + 1).find("nft") != std::string_view::npos;
  return is_nft == nft ? path : std::nullopt;
}

class Capturing {
 public:
  explicit Capturing(const CaptureOptions& options) : options_(options) {
    deadline_ = Clock::now() + options.time;
  }

  Capture run() {
    if (!has_capability(Capability::NetAdmin)) {
      capture_.problems.emplace_back("reading the running rules needs CAP_NET_ADMIN");
      return std::move(capture_);
    }
    auto generation = GenerationReader::open();
    const auto read = [&] { return generation ? generation->read().value_or(0) : 0; };
    for (int i = 0; i < std::max(options_.tries, 1); ++i) {
      capture_ = {};
      capture_.generation_before = read();
      list_nft();
      capture_.generation_after = read();
      if (capture_.generation_before == capture_.generation_after || stopped() || Clock::now() > deadline_)
        break;
    }
    list_legacy("ip_tables_names", "iptables-legacy-save", "iptables-save");
    list_legacy("ip6_tables_names", "ip6tables-legacy-save", "ip6tables-save");
    return std::move(capture_);
  }

 private:
  bool stopped() const {
    pollfd stop{.fd = options_.tool.stop_fd, .events = POLLIN, .revents = 0};
    return options_.tool.stop_fd >= 0 && poll(&stop, 1, 0) > 0;
  }

  void problem(std::string_view command, std::string_view what) {
    capture_.problems.push_back(fmt::format("{}: {}", command.substr(0, command.find(' ')), what));
  }

  // Puts the listing into the capture, if it is whole. Returns its text.
  std::string_view list(const std::optional<std::string>& path, std::string_view command,
                        const std::vector<std::string>& arguments = {}) {
    if (!path) {
      problem(command, "not installed");
      return "";
    }
    ToolLimits limits = options_.tool;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
    limits.time = std::clamp(left, std::chrono::milliseconds(1), limits.time);
    std::vector<std::string> words{*path};
    words.insert(words.end(), arguments.begin(), arguments.end());
    auto run = run_tool(words, limits);
    if (!run || !run->ok()) {
      problem(command, run ? run->problem : "cannot be started");
      return "";
    }
    capture_.listings.push_back({.command = std::string(command), .text = std::move(run->out)});
    return capture_.listings.back().text;
  }

  struct NftSave {
    std::string_view table_line;  // what begins nft's listing of such a table
    std::vector<std::string_view> tables;
    std::string_view command, plain_command;
  };

  void list_nft() {
    const auto nft = find_tool("nft", options_.folders);
    // The view would not outlive the next listing.
    const std::string text(list(nft, "nft -t -a list ruleset", {"-t", "-a", "list", "ruleset"}));
    static const std::array<NftSave, 4> kSaves = {
        {{"table ip ", {"filter", "nat", "mangle", "raw", "security"}, "iptables-nft-save", "iptables-save"},
         {"table ip6 ",
          {"filter", "nat", "mangle", "raw", "security"},
          "ip6tables-nft-save",
          "ip6tables-save"},
         {"table bridge ", {"filter", "nat", "broute"}, "ebtables-nft-save", "ebtables-save"},
         {"table arp ", {"filter"}, "arptables-nft-save", "arptables-save"}}};
    for (const NftSave& save : kSaves) {
      // Without nft nobody tells whether there are such tables; asking creates none.
      if (nft && !has_table(text, save)) continue;
      const auto path = find_save(save.command, save.plain_command, true, options_.folders);
      if (nft || path) list(path, save.command);
    }
  }

  static bool has_table(std::string_view text, const NftSave& save) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = text.substr(at, end - at);
      at = end + 1;
      if (!line.starts_with(save.table_line)) continue;
      const std::string_view rest = line.substr(save.table_line.size());
      if (std::ranges::find(save.tables, rest.substr(0, rest.find(' '))) != save.tables.end()) return true;
    }
    return false;
  }

  // The kernel names the legacy tables that there are in this namespace; none: nothing is run, since the tool would
  // have to load modules to find out.
  void list_legacy(std::string_view names_file, std::string_view command, std::string_view plain_command) {
    const std::string path = fmt::format("/proc/thread-self/net/{}", names_file);
    if (access(path.c_str(), F_OK) != 0) return;
    const auto names = read_proc(path);
    if (!names) {
      problem(command, fmt::format("'{}' may not be read: run as root", path));
      return;
    }
    if (base::trim(*names).empty()) return;
    if (!has_capability(Capability::NetRaw)) {
      problem(command, "needs CAP_NET_RAW");
      return;
    }
    list(find_save(command, plain_command, false, options_.folders), command);
  }

  const CaptureOptions& options_;
  Clock::time_point deadline_;
  Capture capture_;
};

}  // namespace

Capture capture_rules(const CaptureOptions& options) { return Capturing(options).run(); }

base::Result<std::unique_ptr<RulesCapturer>> RulesCapturer::start(CaptureOptions options) {
  std::unique_ptr<RulesCapturer> made(new RulesCapturer);
  made->options_ = std::move(options);
  made->generation_ = GenerationReader::open();
  made->ready_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  made->stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made->ready_.open() || !made->stop_.open())
    return base::fail(ErrorKind::Permission, fmt::format("no event descriptor: {}", print_errno(errno)));
  made->options_.tool.stop_fd = made->stop_.get();
  // Signals are for the main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::string failed;
  try {
    made->thread_ = std::thread([capturer = made.get()] { capturer->work(); });
  } catch (const std::system_error& error) {
    failed = error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!failed.empty())
    return base::fail(ErrorKind::Permission, fmt::format("no thread for reading rules: {}", failed));
  return made;
}

RulesCapturer::~RulesCapturer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (stop_.open()) eventfd_write(stop_.get(), 1);
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RulesCapturer::request() {
  {
    const std::lock_guard lock(mutex_);
    requested_ = true;
  }
  wake_.notify_all();
}

bool RulesCapturer::busy() const {
  const std::lock_guard lock(mutex_);
  return requested_ || running_;
}

std::optional<Capture> RulesCapturer::take() {
  const std::lock_guard lock(mutex_);
  if (finished_.empty()) return std::nullopt;
  Capture capture = std::move(finished_.front());
  finished_.pop_front();
  eventfd_t ignored = 0;
  if (finished_.empty()) eventfd_read(ready_.get(), &ignored);
  return capture;
}

std::optional<std::uint32_t> RulesCapturer::generation() {
  return generation_ ? generation_->read() : std::nullopt;
}

void RulesCapturer::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return requested_ || stopping_; });
    if (stopping_) return;
    requested_ = false;
    running_ = true;
    lock.unlock();
    Capture capture = capture_rules(options_);
    lock.lock();
    running_ = false;
    if (stopping_) return;
    if (finished_.size() == kKept) finished_.pop_front();
    finished_.push_back(std::move(capture));
    eventfd_write(ready_.get(), 1);
  }
}

}  // namespace fwtrace::host
