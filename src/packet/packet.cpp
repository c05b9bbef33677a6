#include "packet/packet.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace fwtrace::packet {
namespace {

struct ProtocolRow {
  std::uint8_t number;
  std::string_view name;   // as iptables and nft write it
  std::string_view label;  // as people say it
};
constexpr auto kProtocols = std::to_array<ProtocolRow>({
    {proto::kIcmp, "icmp", "ICMP"},
    {proto::kIgmp, "igmp", "IGMP"},
    {4, "ipencap", "IP in IP"},
    {proto::kTcp, "tcp", "TCP"},
    {proto::kUdp, "udp", "UDP"},
    {33, "dccp", "DCCP"},
    {41, "ipv6", "IPv6 in IP"},
    {proto::kGre, "gre", "GRE"},
    {proto::kEsp, "esp", "ESP"},
    {proto::kAh, "ah", "AH"},
    {proto::kIcmpv6, "icmpv6", "ICMPv6"},
    {proto::kNoNext, "ipv6-nonxt", "no next header"},
    {89, "ospf", "OSPF"},
    {103, "pim", "PIM"},
    {112, "vrrp", "VRRP"},
    {proto::kSctp, "sctp", "SCTP"},
    {proto::kMobility, "mobility-header", "mobility header"},
    {proto::kUdplite, "udplite", "UDPLITE"},
});

// Further names that parse_protocol accepts.
struct ProtocolAlias {
  std::string_view name;
  std::uint8_t number;
};
constexpr auto kProtocolAliases = std::to_array<ProtocolAlias>({
    {"ipv6-icmp", proto::kIcmpv6},
    {"icmp6", proto::kIcmpv6},
    {"ipip", 4},
    {"ipv6-mh", proto::kMobility},
    {"mh", proto::kMobility},
});

struct IcmpTypeRow {
  IpVersion version;
  std::uint8_t type;
  std::string_view name;
};
// nft: src/proto.c icmp_type_tbl and icmp6_type_tbl.
constexpr auto kIcmpTypes = std::to_array<IcmpTypeRow>({
    {IpVersion::V4, 0, "echo-reply"},
    {IpVersion::V4, 3, "destination-unreachable"},
    {IpVersion::V4, 4, "source-quench"},
    {IpVersion::V4, 5, "redirect"},
    {IpVersion::V4, 8, "echo-request"},
    {IpVersion::V4, 9, "router-advertisement"},
    {IpVersion::V4, 10, "router-solicitation"},
    {IpVersion::V4, 11, "time-exceeded"},
    {IpVersion::V4, 12, "parameter-problem"},
    {IpVersion::V4, 13, "timestamp-request"},
    {IpVersion::V4, 14, "timestamp-reply"},
    {IpVersion::V4, 15, "info-request"},
    {IpVersion::V4, 16, "info-reply"},
    {IpVersion::V4, 17, "address-mask-request"},
    {IpVersion::V4, 18, "address-mask-reply"},
    {IpVersion::V6, 1, "destination-unreachable"},
    {IpVersion::V6, 2, "packet-too-big"},
    {IpVersion::V6, 3, "time-exceeded"},
    {IpVersion::V6, 4, "parameter-problem"},
    {IpVersion::V6, 128, "echo-request"},
    {IpVersion::V6, 129, "echo-reply"},
    {IpVersion::V6, 130, "mld-listener-query"},
    {IpVersion::V6, 131, "mld-listener-report"},
    {IpVersion::V6, 132, "mld-listener-done"},
    {IpVersion::V6, 133, "nd-router-solicit"},
    {IpVersion::V6, 134, "nd-router-advert"},
    {IpVersion::V6, 135, "nd-neighbor-solicit"},
    {IpVersion::V6, 136, "nd-neighbor-advert"},
    {IpVersion::V6, 137, "nd-redirect"},
    {IpVersion::V6, 138, "router-renumbering"},
    {IpVersion::V6, 141, "ind-neighbor-solicit"},
    {IpVersion::V6, 142, "ind-neighbor-advert"},
    {IpVersion::V6, 143, "mld2-listener-report"},
});

// nft: src/datatype.c icmp_code_tbl and icmpv6_code_tbl, the codes of destination-unreachable.
constexpr std::uint8_t kUnreachable4 = 3, kUnreachable6 = 1;
constexpr auto kUnreachableCodes = std::to_array<IcmpTypeRow>({
    {IpVersion::V4, 0, "net-unreachable"},
    {IpVersion::V4, 1, "host-unreachable"},
    {IpVersion::V4, 2, "prot-unreachable"},
    {IpVersion::V4, 3, "port-unreachable"},
    {IpVersion::V4, 4, "frag-needed"},
    {IpVersion::V4, 9, "net-prohibited"},
    {IpVersion::V4, 10, "host-prohibited"},
    {IpVersion::V4, 13, "admin-prohibited"},
    {IpVersion::V6, 0, "no-route"},
    {IpVersion::V6, 1, "admin-prohibited"},
    {IpVersion::V6, 3, "addr-unreachable"},
    {IpVersion::V6, 4, "port-unreachable"},
    {IpVersion::V6, 5, "policy-fail"},
    {IpVersion::V6, 6, "reject-route"},
});

// In the order people say them: "SYN,ACK", "FIN,PSH,ACK".
struct FlagRow {
  TcpFlag flag;
  std::string_view name;
};
constexpr auto kFlags = std::to_array<FlagRow>({
    {kSyn, "SYN"},
    {kFin, "FIN"},
    {kRst, "RST"},
    {kPsh, "PSH"},
    {kAck, "ACK"},
    {kUrg, "URG"},
    {kEce, "ECE"},
    {kCwr, "CWR"},
    {kAe, "AE"},
});

template <class Rows>
std::string_view find_name(const Rows& rows, IpVersion version, std::uint8_t number) {
  for (const IcmpTypeRow& row : rows) {
    if (row.version == version && row.type == number) return row.name;
  }
  return {};
}

const ProtocolRow* find_protocol(std::uint8_t number) {
  const auto row = std::ranges::find(kProtocols, number, &ProtocolRow::number);
  return row == kProtocols.end() ? nullptr : &*row;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_later_fragment(const Packet& packet) {
  const auto later = [](const Extension& e) {
    return e.kind == Extension::Kind::Fragment && e.fragment_offset.value_or(0) != 0;
  };
  return packet.fragment_offset.value_or(0) != 0 || std::ranges::any_of(packet.extensions, later);
}

std::string print_icmp_kind(IpVersion version, const Icmp& icmp) {
  if (!icmp.type) return {};
  std::string out = " " + icmp_type_name(version, *icmp.type);
  const bool unreachable = *icmp.type == (version == IpVersion::V6 ? kUnreachable6 : kUnreachable4);
  if (!unreachable || !icmp.code) return out;
  const std::string_view code = find_name(kUnreachableCodes, version, *icmp.code);
  return out + " (" + (code.empty() ? "code " + std::to_string(*icmp.code) : std::string(code)) + ")";
}

std::string print_arp_kind(const Arp& arp) {
  if (arp.operation == 1) return "ARP request";
  if (arp.operation == 2) return "ARP reply";
  return arp.operation ? "ARP operation " + std::to_string(*arp.operation) : "ARP";
}

std::string print_endpoint(const IpAddress& address, const Maybe<std::uint16_t>& port) {
  if (!port) return print_ip(address);
  const std::string ip = print_ip(address);
  return (address.version == IpVersion::V6 ? "[" + ip + "]" : ip) + ":" + std::to_string(*port);
}

}  // namespace

bool Bytes::operator==(const Bytes& other) const {
  return size == other.size && std::equal(data.begin(), data.begin() + size, other.data.begin());
}

bool Icmp::operator==(const Icmp& other) const {
  if (type != other.type || code != other.code || id != other.id || sequence != other.sequence ||
      gateway != other.gateway || parameter != other.parameter || mtu != other.mtu) {
    return false;
  }
  if (inner == other.inner) return true;
  return inner && other.inner && *inner == *other.inner;
}

std::string_view protocol_name(std::uint8_t number) {
  const ProtocolRow* row = find_protocol(number);
  return row ? row->name : std::string_view();
}

std::optional<std::uint8_t> parse_protocol(std::string_view text) {
  if (const auto number = base::parse_number<std::uint8_t>(text)) return number;
  for (const ProtocolRow& row : kProtocols) {
    if (equal_ignoring_case(row.name, text)) return row.number;
  }
  for (const ProtocolAlias& alias : kProtocolAliases) {
    if (equal_ignoring_case(alias.name, text)) return alias.number;
  }
  return std::nullopt;
}

const Tcp* find_tcp(const Packet& packet) { return std::get_if<Tcp>(&packet.transport); }
const Icmp* find_icmp(const Packet& packet) { return std::get_if<Icmp>(&packet.transport); }

std::string print_tcp_flags(std::uint16_t flags) {
  std::string out;
  for (const FlagRow& row : kFlags) {
    if ((flags & row.flag) == 0) continue;
    if (!out.empty()) out += ',';
    out += row.name;
  }
  return out;
}

std::string print_endpoints(const Packet& packet) {
  std::string from, to;
  if (const Arp* arp = std::get_if<Arp>(&packet.transport)) {
    from = print_ip(arp->sender_ip);
    to = print_ip(arp->target_ip);
  } else {
    const auto masked = [](base::Name text, Maybe<std::uint16_t> port) {
      return std::string(text.text()) + (port ? ":" + std::to_string(*port) : std::string());
    };
    from = packet.source_text.empty() ? print_endpoint(packet.source, packet.ports.source)
                                      : masked(packet.source_text, packet.ports.source);
    to = packet.destination_text.empty() ? print_endpoint(packet.destination, packet.ports.destination)
                                         : masked(packet.destination_text, packet.ports.destination);
  }
  if (from.empty() && to.empty()) return {};
  const auto known = [](std::string end) {
    if (end.empty()) return std::string("?");
    return end.front() == ':' && end.size() > 1 && base::is_digit(end[1]) ? "?" + end : end;  // a port alone
  };
  return known(std::move(from)) + " → " + known(std::move(to));
}

std::string print_kind(const Packet& packet) {
  if (const Arp* arp = std::get_if<Arp>(&packet.transport)) return print_arp_kind(*arp);
  const Tcp* tcp = find_tcp(packet);
  const Icmp* icmp = find_icmp(packet);

  std::string out;
  if (packet.protocol) {
    const ProtocolRow* row = find_protocol(*packet.protocol);
    out = row ? std::string(row->label) : "protocol " + std::to_string(*packet.protocol);
  } else if (tcp) {
    out = "TCP";
  } else if (std::holds_alternative<Udp>(packet.transport)) {
    out = "UDP";
  } else if (icmp) {
    out = packet.version() == IpVersion::V6 ? "ICMPv6" : "ICMP";
  } else if (!packet.extensions.empty()) {  // the log prints these two as extension headers of IPv6
    if (packet.extensions.back().kind == Extension::Kind::Esp) out = "ESP";
    if (packet.extensions.back().kind == Extension::Kind::Ah) out = "AH";
  }
  if (is_later_fragment(packet)) return out.empty() ? "fragment" : out + " fragment";

  if (tcp && tcp->flags) out += *tcp->flags == 0 ? " without flags" : " " + print_tcp_flags(*tcp->flags);
  // ICMP's types are numbered by its protocol, not by the version of the packet that carries it.
  if (icmp)
    out += print_icmp_kind(
        packet.protocol == proto::kIcmpv6 || out == "ICMPv6" ? IpVersion::V6 : IpVersion::V4, *icmp);
  return out;
}

std::string icmp_type_name(IpVersion version, std::uint8_t type) {
  const std::string_view name =
      find_name(kIcmpTypes, version == IpVersion::V6 ? IpVersion::V6 : IpVersion::V4, type);
  return name.empty() ? "type " + std::to_string(type) : std::string(name);
}

}  // namespace fwtrace::packet
