#include "host/try_tracing.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/text.h"
#include "host/arm.h"
#include "host/capability.h"
#include "host/fd.h"
#include "host/listener.h"
#include "host/nf_log.h"
#include "host/proc.h"
#include "trace/markers.h"
#include "trace/netlink_events.h"

namespace fwtrace::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPatience{3000};       // for the child as a whole
constexpr std::chrono::milliseconds kEventPatience{1500};  // from the packet to its last event
constexpr const char* kTestChain = "self-test";            // an nft rule as a user could have one
constexpr std::uint16_t kPort = 9;

// kernel: a namespace's lo is down when it is made.
bool bring_lo_up() {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket.open()) return false;
  alignas(nlmsghdr) std::array<char, 256> place{};
  nlmsghdr* request = mnl_nlmsg_put_header(place.data());
  request->nlmsg_type = RTM_NEWLINK;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  link->ifi_index = 1;                     // LOOPBACK_IFINDEX, in every namespace
  link->ifi_change = link->ifi_flags = 1;  // IFF_UP
  if (send(socket.get(), request, request->nlmsg_len, 0) < 0) return false;
  std::array<char, 1024> answer{};
  if (recv(socket.get(), answer.data(), answer.size(), 0) <
      static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr))))
    return false;
  nlmsgerr error{};
  std::memcpy(&error, answer.data() + NLMSG_HDRLEN, sizeof error);
  return error.error == 0;
}

// Asking for a legacy table makes it in this namespace (kernel: xt_find_table_lock), with its hooks. Where ip_tables
// is not loaded it is not asked for: the machine has no legacy rules, and would keep the module.
bool make_legacy_table() {
  if (access("/proc/thread-self/net/ip_tables_names", F_OK) != 0) return false;
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ipt_getinfo about{};
  std::strncpy(about.name, "filter", sizeof about.name - 1);
  socklen_t length = sizeof about;
  return getsockopt(socket.get(), SOL_IP, IPT_SO_GET_INFO, &about, &length) == 0;
}

class Watch : public trace::Sink {
 public:
  explicit Watch(SelfTest& test) : test_(test) {}
  void event(const trace::Event& event) override {
    if (event.kind == trace::EventKind::Headers) return;
    if (event.dialect == trace::Dialect::KernelLog) {
      ++test_.legacy_events;
      return;
    }
    ++test_.nft_events;
    test_.nft_rule |= event.chain.text() == kTestChain;
    const auto marker = trace::find_marker(event.table.text(), event.chain.text());
    if (!marker) return;
    test_.start |= marker->marker == trace::Marker::Start;
    test_.delivered |= marker->marker == trace::Marker::Delivered;
  }
  void loss(const trace::Loss&) override {}
  void diagnostic(base::Diagnostic) override {}

 private:
  SelfTest& test_;
};

// Sends the packet and reads until all that must come has come, and a little quiet, or the patience ends.
void send_and_listen(NetlinkSocket& socket, SelfTest& test) {
  const Fd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(kPort);
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* address = reinterpret_cast<const sockaddr*>(&here);
  const Fd receiver(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (bind(receiver.get(), address, sizeof here) != 0 ||
      sendto(udp.get(), "fwtrace", 7, 0, address, sizeof here) != 7) {
    test.problem = "the packet to itself could not be sent: " + print_errno(errno);
    return;
  }
  test.ran = true;
  base::Names names;
  Watch watch(test);
  trace::NetlinkEvents events(names, watch, [](std::uint32_t) { return base::Name(); });
  const auto sent = Clock::now();
  auto last = sent;
  Listener listener(socket, nullptr, -1, {.nap = std::chrono::milliseconds(1)});
  listener.run({.datagram =
                    [&](std::span<const std::uint8_t> datagram) {
                      last = Clock::now();
                      events.datagram(datagram, {});
                    },
                .lost = [&](std::uint64_t more) { test.lost += more; },
                .tick =
                    [&](Clock::time_point now) {
                      return now - sent < kEventPatience &&
                             (!test.passed() || now - last < std::chrono::milliseconds(20));
                    },
                .refresh_failed = {}});
  test.microseconds =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(last - sent).count());
}

SelfTest test_inside() {
  SelfTest test;
  const auto give_up = [&](std::string why) {
    test.problem = std::move(why);
    return test;
  };
  if (unshare(CLONE_NEWNET) != 0) {
    const int error = errno;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
      return give_up("no network namespace can be made here: " + print_errno(error));
    test.in_user_namespace = true;
  }
  if (!bring_lo_up()) return give_up("lo of the new namespace does not come up");
  auto socket = NetlinkSocket::open();
  if (!socket) return give_up(socket.error().message);
  const auto group = bind_group0(*socket);
  if (!join_nft_trace(*socket)) return give_up("this kernel has no nft trace messages (before 4.6)");
  test.legacy_wanted = make_legacy_table();
  if (test.legacy_wanted) {
    if (!group || *group != Group0::Ours) return give_up("this kernel has no NFLOG: module nfnetlink_log");
    if (const int error = set_logger(2, kNetlinkLogger))
      return give_up("net.netfilter.nf_log.2 cannot be set: " + print_errno(error));
  }
  const auto taken = packet::take_filter({"-p", "udp", "-d", "127.0.0.1", "--dport", "9"}, {});
  if (!taken) return give_up(taken.error().message);
  ArmingWish wish;
  wish.filter = taken->filter;
  ArmingPlan plan = plan_arming(wish);
  plan.tables.front().chains.push_back(
      {.name = kTestChain, .hook = packet::Hook::Output, .priority = 0, .rules = {ArmingRule{}}});
  const auto arming = Arming::arm(*socket, plan, {}, Arming::table_name(getpid()));
  if (!arming) return give_up(arming.error().message);
  test.owner_flag = arming->owned();
  send_and_listen(*socket, test);
  return test;
}

void write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = write(fd, text.data(), text.size());
    if (wrote <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

}  // namespace

std::string print_self_test(const SelfTest& test) {
  return fmt::format(
      "ran {:d}\nuser_namespace {:d}\nowner_flag {:d}\nstart {:d}\ndelivered {:d}\nnft_rule {:d}\nlegacy_wanted {:d}\n"
      "nft_events {}\nlegacy_events {}\nlost {}\nmicroseconds {}\nproblem {}\n",
      test.ran, test.in_user_namespace, test.owner_flag, test.start, test.delivered, test.nft_rule,
      test.legacy_wanted, test.nft_events, test.legacy_events, test.lost, test.microseconds, test.problem);
}

SelfTest parse_self_test(std::string_view text) {
  SelfTest test;
  for (const std::string_view line : base::split(text, '\n')) {
    const auto blank = line.find(' ');
    if (blank == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, blank), value = line.substr(blank + 1);
    const std::uint64_t number = base::parse_number<std::uint64_t>(value).value_or(0);
    if (name == "ran") test.ran = number != 0;
    else if (name == "user_namespace") test.in_user_namespace = number != 0;
    else if (name == "owner_flag") test.owner_flag = number != 0;
    else if (name == "start") test.start = number != 0;
    else if (name == "delivered") test.delivered = number != 0;
    else if (name == "nft_rule") test.nft_rule = number != 0;
    else if (name == "legacy_wanted") test.legacy_wanted = number != 0;
    else if (name == "nft_events") test.nft_events = number;
    else if (name == "legacy_events") test.legacy_events = number;
    else if (name == "lost") test.lost = number;
    else if (name == "microseconds") test.microseconds = number;
    else if (name == "problem") test.problem = value;
  }
  return test;
}

SelfTest run_self_test() {
  SelfTest failed;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    failed.problem = "no pipe to a child process: " + print_errno(errno);
    return failed;
  }
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = fork();
  if (child < 0) {
    failed.problem = "no child process: " + print_errno(errno);
    return failed;
  }
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    write_whole(theirs.get(), print_self_test(test_inside()));
    _exit(0);
  }
  theirs.close();
  std::string text;
  const auto deadline = Clock::now() + kPatience;
  bool ended = false;
  while (!ended) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) break;
    pollfd ready{.fd = ours.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, static_cast<int>(left)) <= 0) continue;
    std::array<char, 1024> buffer{};
    const ssize_t got = read(ours.get(), buffer.data(), buffer.size());
    if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
    else ended = got == 0 || errno != EINTR;
  }
  if (!ended) kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    failed.problem = "no answer within three seconds";
    return failed;
  }
  if (text.empty()) {
    failed.problem = "the child process died";
    return failed;
  }
  return parse_self_test(text);
}

}  // namespace fwtrace::host
