#include "host/listener.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "host/proc.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;

namespace {

constexpr std::size_t kBatch = 64;          // datagrams taken by one recvmmsg(2)
constexpr std::size_t kMaxDatagram = 8192;  // ours are under 1 KiB
constexpr std::size_t kLeastCharge =
    512;  // bytes that a message is charged for at least (measured: 768 and more)
constexpr std::size_t kMaxDrain = 20'000;  // datagrams before a tick may be due again

nlmsghdr* put_log_config(NetlinkRequest& request, std::string label) {
  nlmsghdr* header = mnl_nlmsg_put_header(request.next(std::move(label)));
  header->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  header->nlmsg_seq = request.sequence();
  auto* family = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  family->nfgen_family = AF_UNSPEC;
  family->version = NFNETLINK_V0;
  family->res_id = htons(0);  // the group
  return header;
}

}  // namespace

Result<Group0> bind_group0(NetlinkSocket& socket, std::uint32_t copy_bytes) {
  {
    NetlinkRequest request = socket.request();
    const nfulnl_msg_config_cmd bind{.command = NFULNL_CFG_CMD_BIND};
    mnl_attr_put(put_log_config(request, "group"), NFULA_CFG_CMD, sizeof bind, &bind);
    request.finish();
    const Answer answer = socket.transact(request);
    // EPERM is both "no right" and "another socket holds it" (kernel: nfulnl_recv_config, instance_create: EBUSY);
    // rights were asked for before.
    if (answer.error == EPERM || answer.error == EBUSY) return Group0::Taken;
    if (answer.error == EINVAL || answer.error == EOPNOTSUPP) return Group0::Absent;
    if (!answer.ok()) {
      return base::fail(ErrorKind::Permission,
                        "NFLOG group 0 cannot be listened to: " + print_errno(answer.error));
    }
  }
  NetlinkRequest request = socket.request();
  nfulnl_msg_config_mode mode{};
  mode.copy_range = htonl(copy_bytes);
  mode.copy_mode = NFULNL_COPY_PACKET;
  mnl_attr_put(put_log_config(request, "copy range"), NFULA_CFG_MODE, sizeof mode, &mode);
  request.finish();
  const std::uint16_t flags = htons(NFULNL_CFG_F_SEQ);
  mnl_attr_put(put_log_config(request, "sequence numbers"), NFULA_CFG_FLAGS, sizeof flags, &flags);
  request.finish();
  // The kernel takes this much memory for each message, or more if it needs more. Its own choice is a page, of which a
  // trace message fills a twentieth: the queue would hold a quarter of the events, and each would cost more.
  const std::uint32_t message_bytes = htonl(256);
  mnl_attr_put(put_log_config(request, "message size"), NFULA_CFG_NLBUFSIZ, sizeof message_bytes,
               &message_bytes);
  request.finish();
  // Any of them may fail on a strange kernel; the events come all the same.
  (void)socket.transact(request).ok();
  return Group0::Ours;
}

bool join_nft_trace(NetlinkSocket& socket) {
  const int group = NFNLGRP_NFTRACE;
  return setsockopt(socket.fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0;
}

Result<StopSignals> StopSignals::open() {
  StopSignals stop;
  sigset_t signals, old;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    // A signal that our parent had us ignore (nohup) stays ignored.
    struct sigaction action{};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    sigaddset(&signals, number);
  }
  stop.fd_ = Fd(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!stop.fd_.open() || pthread_sigmask(SIG_BLOCK, &signals, &old) != 0) {
    return base::fail(ErrorKind::Permission, "signals cannot be waited for: " + print_errno(errno));
  }
  stop.old_mask_.resize(sizeof old);
  std::memcpy(stop.old_mask_.data(), &old, sizeof old);
  return stop;
}

StopSignals::~StopSignals() {
  if (old_mask_.empty()) return;
  sigset_t old;
  std::memcpy(&old, old_mask_.data(), sizeof old);
  while (take() != 0) {
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

int StopSignals::take() {
  signalfd_siginfo info{};
  return read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

Listener::Listener(NetlinkSocket& socket, Arming* arming, int wake, ListenerPace pace)
    : socket_(socket), arming_(arming), wake_(wake), pace_(pace), buffer_(kBatch * kMaxDatagram) {}

void Listener::give(const Receiver& receiver, std::span<const std::uint8_t> datagram) {
  if (datagram.size() < sizeof(nlmsghdr)) return;
  nlmsghdr header{};
  std::memcpy(&header, datagram.data(), sizeof header);
  if (header.nlmsg_type == NLMSG_ERROR) {  // the kernel's answer to a refresh
    nlmsgerr error{};
    std::memcpy(&error, datagram.data() + sizeof header,
                std::min(sizeof error, datagram.size() - sizeof header));
    if (error.error != 0 && receiver.refresh_failed) receiver.refresh_failed(-error.error);
    return;
  }
  if (header.nlmsg_type < NLMSG_MIN_TYPE) return;
  ++datagrams_;
  receiver.datagram(datagram);
}

void Listener::count_losses(const Receiver& receiver) {
  const auto drops = static_cast<std::uint32_t>(socket_.drops());
  const std::uint32_t more = drops - drops_seen_;  // the kernel's counter has 32 bits and may wrap
  drops_seen_ = drops;
  if (more == 0) return;
  lost_ += more;
  if (receiver.lost) receiver.lost(more);
}

// Did the queue run empty while this batch was taken? Then it is empty now, or something new has come.
bool Listener::passed_hole(std::size_t got) {
  const std::uint64_t before = std::exchange(queued_, socket_.queued_bytes());
  return got < kBatch || queued_ == 0 || queued_ + got * kLeastCharge > before;
}

std::size_t Listener::drain(const Receiver& receiver) {
  std::size_t taken = 0;
  for (const auto& datagram : socket_.take_pending()) {
    give(receiver, datagram);
    ++taken;
  }
  std::array<mmsghdr, kBatch> messages;
  std::array<iovec, kBatch> places;
  while (taken < kMaxDrain) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      places[i] = {.iov_base = buffer_.data() + i * kMaxDatagram, .iov_len = kMaxDatagram};
      messages[i] = {};
      messages[i].msg_hdr.msg_iov = &places[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int got = recvmmsg(socket_.fd(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {  // said once for each overrun; the queue itself is intact
      count_losses(receiver);
      hole_ahead_ = true;
      queued_ = socket_.queued_bytes();
      continue;
    }
    if (got <= 0) break;
    const bool hole = hole_ahead_ && passed_hole(static_cast<std::size_t>(got));
    if (hole && receiver.hole) receiver.hole(true);
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
      give(receiver, {buffer_.data() + i * kMaxDatagram, messages[i].msg_len});
    }
    if (hole && receiver.hole) receiver.hole(false);
    if (hole) hole_ahead_ = false;
    taken += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < kBatch) break;
  }
  count_losses(receiver);
  return taken;
}

void Listener::sleep(bool flowing, Clock::time_point until) const {
  const auto left = until - Clock::now();
  if (left <= Clock::duration::zero()) return;
  const auto nap = std::min<Clock::duration>(left, flowing ? Clock::duration(pace_.nap) : left);
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(nap).count();
  const timespec time{.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
  // While events flow their socket is not waited for: that is the point.
  std::array<pollfd, 3> ready{pollfd{.fd = wake_, .events = POLLIN, .revents = 0},
                              pollfd{.fd = socket_.fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = other_, .events = POLLIN, .revents = 0}};
  ppoll(ready.data(), flowing ? 1 : ready.size(), &time, nullptr);
}

void Listener::run(const Receiver& receiver) {
  CHECK(receiver.datagram && receiver.tick);
  Clock::time_point last_event{};
  Clock::time_point next_refresh = Clock::now();
  if (arming_) next_refresh += arming_->dead_mans_switch().refresh_every;
  while (true) {
    std::size_t taken = drain(receiver);
    if (receiver.other) taken += receiver.other();
    const auto now = Clock::now();
    if (taken > 0) last_event = now;
    if (arming_ && now >= next_refresh) {
      arming_->refresh();
      next_refresh = now + arming_->dead_mans_switch().refresh_every;
    }
    if (!receiver.tick(now)) return;
    if (taken >= kMaxDrain) continue;
    auto until = now + (receiver.waits && receiver.waits() ? pace_.soon : pace_.tick);
    if (arming_) until = std::min(until, next_refresh);
    sleep(now - last_event < pace_.quiet, until);
  }
}

}  // namespace fwtrace::host
