#include "host/route_query.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <optional>

#include "host/proc.h"

namespace fwtrace::host {
namespace {

using packet::IpVersion;

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};

struct RouteAnswer {
  int error = 0;           // errno
  unsigned char type = 0;  // RTN_*
  unsigned out = 0;        // interface
};

std::size_t size_of(IpVersion version) { return version == IpVersion::V4 ? 4 : 16; }

// From `in` to `to` as a packet with source `from`; `in` 0: as if sent from here, by anybody.
std::optional<RouteAnswer> ask_route(const packet::IpAddress& to, const packet::IpAddress& from, unsigned in,
                                     std::uint32_t mark) {
  const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) return std::nullopt;
  std::array<char, 8192> buffer{};
  nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
  header->nlmsg_type = RTM_GETROUTE;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_seq = static_cast<std::uint32_t>(std::time(nullptr));
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
  const std::size_t size = size_of(to.version);
  route->rtm_family = to.version == IpVersion::V4 ? AF_INET : AF_INET6;
  route->rtm_dst_len = static_cast<unsigned char>(size * 8);
  mnl_attr_put(header, RTA_DST, size, to.bytes.data());
  if (in != 0) {
    route->rtm_src_len = route->rtm_dst_len;
    mnl_attr_put(header, RTA_SRC, size, from.bytes.data());
    mnl_attr_put_u32(header, RTA_IIF, in);
  }
  if (mark != 0) mnl_attr_put_u32(header, RTA_MARK, mark);
  if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0) return std::nullopt;
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto got = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
  const auto* reply = reinterpret_cast<const nlmsghdr*>(buffer.data());
  if (got <= 0 || !mnl_nlmsg_ok(reply, static_cast<int>(got))) return std::nullopt;
  RouteAnswer answer;
  if (reply->nlmsg_type == NLMSG_ERROR) {
    answer.error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
    return answer;
  }
  if (reply->nlmsg_type != RTM_NEWROUTE) return std::nullopt;
  answer.type = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(reply))->rtm_type;
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(reply, sizeof(rtmsg)));
  const auto left = [&] {
    return static_cast<int>(static_cast<const char*>(mnl_nlmsg_get_payload_tail(reply)) -
                            reinterpret_cast<const char*>(attribute));
  };
  for (; mnl_attr_ok(attribute, left()); attribute = mnl_attr_next(attribute)) {
    if (mnl_attr_get_type(attribute) == RTA_OIF) answer.out = mnl_attr_get_u32(attribute);
  }
  return answer;
}

bool forwards(IpVersion version, const std::string& device) {
  const std::string path = "/proc/sys/net/ipv" + std::string(version == IpVersion::V4 ? "4" : "6") +
                           "/conf/" + device + "/forwarding";
  return read_proc(path).value_or("1").starts_with('1');
}

// The kernel uses the stricter of both (include/linux/inetdevice.h, IN_DEV_MAXCONF).
int rp_filter(const std::string& device) {
  int most = 0;
  for (const std::string& where : {std::string("all"), device}) {
    const auto value = read_proc("/proc/sys/net/ipv4/conf/" + where + "/rp_filter");
    if (value && !value->empty()) most = std::max(most, value->front() - '0');
  }
  return most;
}

}  // namespace

std::string explain_route(const packet::Packet& packet) {
  const std::string in(packet.in.text());
  const unsigned index = in.empty() ? 0 : if_nametoindex(in.c_str());
  if (index == 0 || packet.source.empty() || packet.destination.empty()) return {};
  const auto answer = ask_route(packet.destination, packet.source, index, packet.mark.value_or(0));
  if (!answer) return {};
  const std::string to = packet::print_ip(packet.destination), from = packet::print_ip(packet.source);
  const std::string asked = " (ip route get " + to + " from " + from + " iif " + in + ")";
  const bool here = forwards(packet.version(), in);
  const auto refused_by_rp_filter = [&] {
    return "routing says: rp_filter refuses source " + from + " on " + in +
           ", for the way back to it does not lead there (net.ipv4.conf." + in + ".rp_filter, or .all)" +
           asked;
  };
  switch (answer->error) {
    case 0: break;
    case EXDEV: return refused_by_rp_filter();
    case EHOSTUNREACH:
      if (!here)
        return "routing says: it would have to be forwarded, and forwarding is off on " + in + " (net.ipv" +
               (packet.version() == IpVersion::V4 ? "4" : "6") + ".conf." + in + ".forwarding = 0)" + asked;
      return "routing says: unreachable" + asked;
    case ENETUNREACH: return "routing says: no route to " + to + asked;
    case EACCES: return "routing says: prohibited" + asked;
    case EINVAL:  // newer kernels say only this (net/ipv4/route.c: martian source)
      if (packet.version() == IpVersion::V4 && rp_filter(in) > 0) {
        const auto back = ask_route(packet.source, {}, 0, 0);
        if (back && (back->error != 0 || (rp_filter(in) == 1 && back->out != index)))
          return refused_by_rp_filter();
      }
      return "routing says: refused: a blackhole route, or a source address that cannot be" + asked;
    default: return "routing says: " + print_errno(answer->error) + asked;
  }
  switch (answer->type) {
    case RTN_BLACKHOLE: return "routing says: a blackhole route" + asked;
    case RTN_UNREACHABLE:
      return here ? "routing says: unreachable" + asked
                  : "routing says: it would have to be forwarded, and forwarding is off on " + in + asked;
    case RTN_PROHIBIT: return "routing says: prohibited" + asked;
    case RTN_UNICAST:
      if (packet.ttl && *packet.ttl <= 1)
        return "its TTL is " + std::to_string(*packet.ttl) +
               ", and it would have to be forwarded: it expired here";
      if (!here && packet.version() == IpVersion::V6)
        return "routing says: it would have to be forwarded, and forwarding is off on " + in + asked;
      return {};
    default: return {};
  }
}

}  // namespace fwtrace::host
