#include "live/box.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "packet/filter.h"

namespace fwtrace::live {

std::string Box::run(const std::string& command) {
  std::string text;
  FILE* pipe = popen(("exec 2>&1; export PATH=$PATH:/usr/sbin:/sbin; " + command).c_str(), "re");
  if (!pipe) return "(no shell)";
  std::array<char, 4096> buffer{};
  while (const std::size_t got = fread(buffer.data(), 1, buffer.size(), pipe))
    text.append(buffer.data(), got);
  const int status = pclose(pipe);
  if (status != 0) text += fmt::format("(exit {})", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return text;
}

std::unique_ptr<Box> Box::make(std::string& why) {
  std::unique_ptr<Box> made(new Box);
  Box& box = *made;
  auto before = host::NetworkNamespace::current();
  if (!before) return why = before.error().message, nullptr;
  if (unshare(CLONE_NEWNET) != 0) return why = "no network namespace can be made here", nullptr;
  auto neighbour = host::NetworkNamespace::current();
  const bool two = neighbour && unshare(CLONE_NEWNET) == 0;
  box.before_ = std::move(*before);
  if (!two) return why = "no second network namespace can be made here", nullptr;
  box.neighbour_ = std::move(*neighbour);
  const std::string fd = fmt::format("/proc/{}/fd/{}", getpid(), box.neighbour_->fd());
  std::string said = run(fmt::format(
      "set -e; ip link set lo up; ip link add veth0 type veth peer name veth1 netns {};"
      "ip addr add 10.9.0.1/24 dev veth0; ip addr add fd09::1/64 dev veth0 nodad; ip link set veth0 up;"
      "ip link add out0 type veth peer name out1 netns {}; ip addr add 10.8.0.1/24 dev out0; ip addr add fd08::1/64 dev out0 nodad;"
      "ip link set out0 up; ip neigh add 10.8.0.2 lladdr 02:00:00:00:00:08 dev out0;"
      "ip neigh add fd08::2 lladdr 02:00:00:00:00:08 dev out0;"
      "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
      fd, fd));
  {
    auto inside = host::EnterNamespace::enter(*box.neighbour_);
    if (!inside) return why = inside.error().message, nullptr;
    said += run(
        "set -e; ip link set lo up; ip addr add 10.9.0.2/24 dev veth1; ip addr add fd09::2/64 dev veth1 nodad;"
        "ip link set veth1 up; ip link set out1 up; ip route add default via 10.9.0.1; ip -6 route add default via fd09::1");
  }
  if (!said.empty()) return why = "the box cannot be set up: " + said, nullptr;
  // Both ends know each other before anything is counted.
  box.ping(From::Neighbour, "10.9.0.1");
  box.send_udp("10.8.0.2", 9, 1);
  box.send_udp("fd08::2", 9, 1);
  box.send_udp("fd09::1", 9, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  return made;
}

Box::~Box() {
  if (before_) CHECK(setns(before_->fd(), CLONE_NEWNET) == 0);
}

host::Fd Box::neighbour_socket(int domain, int type, int protocol) const {
  const auto inside = host::EnterNamespace::enter(*neighbour_);
  return host::Fd(socket(domain, type | SOCK_CLOEXEC, protocol));
}

void Box::send_udp(const std::string& to, std::uint16_t port, int count, std::size_t size,
                   std::uint16_t from_port) const {
  const bool v6 = to.find(':') != std::string::npos;
  const host::Fd socket = neighbour_socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  sockaddr_storage address{}, from{};
  socklen_t length = 0;
  if (v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(from_port);
    length = sizeof in;
    std::memcpy(&from, &in, sizeof in);
    in.sin6_port = htons(port);
    inet_pton(AF_INET6, to.c_str(), &in.sin6_addr);
    std::memcpy(&address, &in, sizeof in);
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(from_port);
    length = sizeof in;
    std::memcpy(&from, &in, sizeof in);
    in.sin_port = htons(port);
    inet_pton(AF_INET, to.c_str(), &in.sin_addr);
    std::memcpy(&address, &in, sizeof in);
  }
  CHECK(bind(socket.get(), reinterpret_cast<sockaddr*>(&from), length) == 0);
  const std::string data(size, 'x');
  for (int i = 0; i < count; ++i) {
    sendto(socket.get(), data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&address), length);
  }
}

bool Box::ping(From from, const std::string& to) const {
  const host::Fd socket = from == From::Neighbour
                              ? neighbour_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
                              : host::Fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, to.c_str(), &address.sin_addr);
  // Type 8, code 0, checksum, identifier 0x4242, sequence 1.
  const std::array<std::uint8_t, 8> request{8, 0, 0xb5, 0xbc, 0x42, 0x42, 0, 1};
  sendto(socket.get(), request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&address),
         sizeof address);
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::array<std::uint8_t, 256> answer{};
  while (recv(socket.get(), answer.data(), answer.size(), 0) >= 28) {
    if (answer[20] == 0 && answer[24] == 0x42) return true;
  }
  return false;
}

namespace {

std::string attribute_text(const nlmsghdr* header, std::uint16_t type) {
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    if (mnl_attr_get_type(attribute) == type) return mnl_attr_get_str(attribute);
    attribute = mnl_attr_next(attribute);
  }
  return "";
}

}  // namespace

std::optional<Seen> read_seen(std::span<const std::uint8_t> datagram) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(datagram.data());
  const int subsystem = header->nlmsg_type >> 8, type = header->nlmsg_type & 0xff;
  if (subsystem == NFNL_SUBSYS_ULOG && type == NFULNL_MSG_PACKET) {
    std::string prefix = attribute_text(header, NFULA_PREFIX);
    if (!prefix.starts_with("TRACE: ")) return std::nullopt;
    prefix = prefix.substr(7);
    while (prefix.ends_with(' ')) prefix.pop_back();
    return Seen{.legacy = true, .table = {}, .chain = std::move(prefix)};
  }
  if (subsystem == NFNL_SUBSYS_NFTABLES && type == NFT_MSG_TRACE) {
    return Seen{.legacy = false,
                .table = attribute_text(header, NFTA_TRACE_TABLE),
                .chain = attribute_text(header, NFTA_TRACE_CHAIN)};
  }
  return std::nullopt;
}

host::ArmingPlan plan(const std::vector<std::string>& words, bool bridge, bool replies) {
  auto taken = packet::take_filter(words, {});
  CHECK(taken.has_value() && taken->rest.empty());
  host::ArmingWish wish;
  wish.filter = taken->filter;
  wish.bridge = bridge;
  wish.replies = replies;
  return host::plan_arming(wish);
}

base::Result<std::unique_ptr<Live>> arm(const std::vector<std::string>& words, host::ArmingLimits limits,
                                        bool try_owner, bool bridge, bool replies) {
  return arm(plan(words, bridge, replies), limits, try_owner);
}

base::Result<std::unique_ptr<Live>> arm(const host::ArmingPlan& plan, host::ArmingLimits limits,
                                        bool try_owner) {
  TRY(host::NetlinkSocket socket, host::NetlinkSocket::open());
  socket.grow_buffer(std::size_t{64} << 20);
  TRY(const host::Group0 group, host::bind_group0(socket));
  host::join_nft_trace(socket);
  auto place = std::make_unique<host::NetlinkSocket>(std::move(socket));
  TRY(host::Arming arming,
      host::Arming::arm(*place, plan, limits, host::Arming::table_name(getpid()), try_owner));
  return std::unique_ptr<Live>(new Live{std::move(place), group, std::move(arming)});
}

std::vector<Seen> collect(Live& live, int quiet_ms) {
  std::vector<Seen> seen;
  host::Listener listener(*live.socket, nullptr, -1);
  auto last = host::Listener::Clock::now();
  listener.run({.datagram =
                    [&](std::span<const std::uint8_t> datagram) {
                      last = host::Listener::Clock::now();
                      if (auto event = read_seen(datagram)) seen.push_back(std::move(*event));
                    },
                .lost = {},
                .tick =
                    [&](host::Listener::Clock::time_point now) {
                      return now - last < std::chrono::milliseconds(quiet_ms);
                    },
                .refresh_failed = {}});
  return seen;
}

std::vector<std::string> texts(const std::vector<Seen>& events) {
  std::vector<std::string> all;
  for (const Seen& event : events) all.push_back(event.text());
  return all;
}

}  // namespace fwtrace::live
