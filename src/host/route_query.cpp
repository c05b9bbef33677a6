#include "host/route_query.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

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
};

std::size_t size_of(IpVersion version) { return version == IpVersion::V4 ? 4 : 16; }

std::optional<RouteAnswer> ask_route(const packet::Packet& packet, unsigned in) {
  const std::unique_ptr<mnl_socket, CloseSocket> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) return std::nullopt;
  std::array<char, 8192> buffer{};
  nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
  header->nlmsg_type = RTM_GETROUTE;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_seq = static_cast<std::uint32_t>(std::time(nullptr));
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
  const std::size_t size = size_of(packet.version());
  route->rtm_family = packet.version() == IpVersion::V4 ? AF_INET : AF_INET6;
  route->rtm_dst_len = route->rtm_src_len = static_cast<unsigned char>(size * 8);
  mnl_attr_put(header, RTA_DST, size, packet.destination.bytes.data());
  mnl_attr_put(header, RTA_SRC, size, packet.source.bytes.data());
  mnl_attr_put_u32(header, RTA_IIF, in);
  if (packet.mark) mnl_attr_put_u32(header, RTA_MARK, *packet.mark);
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
  return answer;
}

bool forwards(IpVersion version, const std::string& device) {
  const std::string path = "/proc/sys/net/ipv" + std::string(version == IpVersion::V4 ? "4" : "6") +
                           "/conf/" + device + "/forwarding";
  return read_proc(path).value_or("1").starts_with('1');
}

}  // namespace

std::string explain_route(const packet::Packet& packet) {
  const std::string in(packet.in.text());
  const unsigned index = in.empty() ? 0 : if_nametoindex(in.c_str());
  if (index == 0 || packet.source.empty() || packet.destination.empty()) return {};
  const auto answer = ask_route(packet, index);
  if (!answer) return {};
  const std::string to = packet::print_ip(packet.destination), from = packet::print_ip(packet.source);
  const std::string asked = " (ip route get " + to + " from " + from + " iif " + in + ")";
  const std::string rp = "net.ipv4.conf." + in + ".rp_filter";
  const bool here = forwards(packet.version(), in);
  switch (answer->error) {
    case 0: break;
    case EXDEV:
      return "routing says: rp_filter refuses source " + from + " on " + in +
             ", for the way back to it does not " + "lead there (" + rp + ")" + asked;
    case EHOSTUNREACH:
      if (!here)
        return "routing says: it would have to be forwarded, and forwarding is off on " + in + " (net.ipv" +
               (packet.version() == IpVersion::V4 ? "4" : "6") + ".conf." + in + ".forwarding = 0)" + asked;
      return "routing says: unreachable" + asked;
    case ENETUNREACH: return "routing says: no route to " + to + asked;
    case EACCES: return "routing says: prohibited" + asked;
    case EINVAL:
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
