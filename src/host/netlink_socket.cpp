#include "host/netlink_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/check.h"
#include "host/proc.h"

namespace fwtrace::host {

char* NetlinkRequest::next(std::string label) {
  buffer_.resize(used_ + kRoom);
  std::memset(buffer_.data() + used_, 0, kRoom);
  labels_.push_back({.sequence = sequence_++, .text = std::move(label)});
  return buffer_.data() + used_;
}

void NetlinkRequest::finish() {
  nlmsghdr header{};
  std::memcpy(&header, buffer_.data() + used_, sizeof header);
  CHECK(header.nlmsg_len >= sizeof header && header.nlmsg_len <= kRoom);
  const int subsystem = header.nlmsg_type >> 8;
  const bool dumps = (subsystem == NFNL_SUBSYS_NFTABLES || subsystem == NFNL_SUBSYS_HOOK) &&
                     (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  labels_.back().answered = dumps || (header.nlmsg_flags & NLM_F_ACK) != 0;
  used_ += NLMSG_ALIGN(header.nlmsg_len);
  buffer_.resize(used_);
}

namespace {

void put_batch_edge(char* place, std::uint16_t type, std::uint32_t sequence) {
  nlmsghdr* header = mnl_nlmsg_put_header(place);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_seq = sequence;
  auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  family->nfgen_family = AF_UNSPEC;
  family->version = NFNETLINK_V0;
  family->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

}  // namespace

void NetlinkRequest::begin_batch() {
  char* place = next("batch");
  put_batch_edge(place, NFNL_MSG_BATCH_BEGIN, sequence());
  finish();
}

void NetlinkRequest::end_batch() {
  char* place = next("batch");
  put_batch_edge(place, NFNL_MSG_BATCH_END, sequence());
  finish();
}

base::Result<NetlinkSocket> NetlinkSocket::open() {
  NetlinkSocket made;
  made.fd_ = Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  socklen_t length = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (!made.fd_.open() || bind(made.fd_.get(), plain, length) != 0 ||
      getsockname(made.fd_.get(), plain, &length) != 0) {
    return base::fail(base::ErrorKind::Permission,
                      fmt::format("the kernel gives no netfilter socket: {}", print_errno(errno)),
                      {"modprobe nfnetlink"});
  }
  made.port_ = address.nl_pid;
  return made;
}

int NetlinkSocket::send(NetlinkRequest& request) {
  next_sequence_ = request.next_sequence();
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const auto bytes = request.bytes();
  const ssize_t sent = sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                              reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  return sent == static_cast<ssize_t>(bytes.size()) ? 0 : errno;
}

Answer NetlinkSocket::transact(NetlinkRequest& request, const std::function<void(const void*)>& reply) {
  using Clock = std::chrono::steady_clock;
  if (const int error = send(request)) return {.error = error, .label = "sending"};
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  auto& labels = request.labels();
  std::size_t waiting =
      static_cast<std::size_t>(std::ranges::count(labels, true, &NetlinkRequest::Label::answered));
  Answer answer;
  std::vector<std::uint8_t> buffer(std::size_t{64} << 10);
  while (waiting > 0) {
    pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0)
      return answer.ok() ? Answer{.error = ETIMEDOUT, .label = "waiting for the kernel"} : answer;
    if (poll(&ready, 1, static_cast<int>(left)) <= 0) continue;
    const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    // Lost answers: what is missing will not come.
    if (got < 0) return answer.ok() ? Answer{.error = errno, .label = "receiving"} : answer;
    auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    int length = static_cast<int>(got);
    const auto first = std::ranges::find(labels, header->nlmsg_seq, &NetlinkRequest::Label::sequence);
    if (header->nlmsg_pid != port_ || first == labels.end()) {
      pending_.emplace_back(buffer.begin(), buffer.begin() + got);
      continue;
    }
    for (; mnl_nlmsg_ok(header, length); header = mnl_nlmsg_next(header, &length)) {
      const auto label = std::ranges::find(labels, header->nlmsg_seq, &NetlinkRequest::Label::sequence);
      if (label == labels.end()) continue;
      if (header->nlmsg_type != NLMSG_ERROR && header->nlmsg_type != NLMSG_DONE) {
        if (reply) reply(header);
        continue;
      }
      if (header->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header))->error;
        if (error != 0 && answer.ok()) answer = {.error = error, .label = label->text};
        // An edge of the batch was refused (no right to, or a race): no other answer follows.
        if (error != 0 && !label->answered) return answer;
      }
      if (label->answered) {
        label->answered = false;
        --waiting;
      }
    }
  }
  return answer;
}

std::size_t NetlinkSocket::grow_buffer(std::size_t bytes) {
  const int half = static_cast<int>(bytes / 2);  // the kernel doubles it
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof half) != 0) {
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &half, sizeof half);
  }
  int is = 0;
  socklen_t length = sizeof is;
  getsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &is, &length);
  return static_cast<std::size_t>(std::max(is, 0));
}

namespace {

std::uint64_t read_memory(int fd, std::size_t which) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &length) != 0) return 0;
  return info.at(which);
}

}  // namespace

std::uint64_t NetlinkSocket::drops() const { return read_memory(fd_.get(), SK_MEMINFO_DROPS); }
std::uint64_t NetlinkSocket::queued_bytes() const { return read_memory(fd_.get(), SK_MEMINFO_RMEM_ALLOC); }

}  // namespace fwtrace::host
