#include "packet/icmp_type.h"

#include <array>

#include "base/text.h"
#include "packet/packet.h"

namespace fwtrace::packet {
namespace {

constexpr int kAny = -1;  // every code

// iptables: extensions/libxt_icmp.h, extensions/libipt_icmp.c and libip6t_icmp6.c, those names that nft does not
// have as well.
struct NameRow {
  IpVersion version;
  std::string_view name;
  std::uint8_t type;
  int code;
};
constexpr auto kNames = std::to_array<NameRow>({
    {IpVersion::V4, "pong", 0, kAny},
    {IpVersion::V4, "network-unreachable", 3, 0},
    {IpVersion::V4, "host-unreachable", 3, 1},
    {IpVersion::V4, "protocol-unreachable", 3, 2},
    {IpVersion::V4, "port-unreachable", 3, 3},
    {IpVersion::V4, "fragmentation-needed", 3, 4},
    {IpVersion::V4, "source-route-failed", 3, 5},
    {IpVersion::V4, "network-unknown", 3, 6},
    {IpVersion::V4, "host-unknown", 3, 7},
    {IpVersion::V4, "network-prohibited", 3, 9},
    {IpVersion::V4, "host-prohibited", 3, 10},
    {IpVersion::V4, "TOS-network-unreachable", 3, 11},
    {IpVersion::V4, "TOS-host-unreachable", 3, 12},
    {IpVersion::V4, "communication-prohibited", 3, 13},
    {IpVersion::V4, "host-precedence-violation", 3, 14},
    {IpVersion::V4, "precedence-cutoff", 3, 15},
    {IpVersion::V4, "network-redirect", 5, 0},
    {IpVersion::V4, "host-redirect", 5, 1},
    {IpVersion::V4, "TOS-network-redirect", 5, 2},
    {IpVersion::V4, "TOS-host-redirect", 5, 3},
    {IpVersion::V4, "ping", 8, kAny},
    {IpVersion::V4, "ttl-exceeded", 11, kAny},
    {IpVersion::V4, "ttl-zero-during-transit", 11, 0},
    {IpVersion::V4, "ttl-zero-during-reassembly", 11, 1},
    {IpVersion::V4, "ip-header-bad", 12, 0},
    {IpVersion::V4, "required-option-missing", 12, 1},
    {IpVersion::V6, "no-route", 1, 0},
    {IpVersion::V6, "communication-prohibited", 1, 1},
    {IpVersion::V6, "beyond-scope", 1, 2},
    {IpVersion::V6, "address-unreachable", 1, 3},
    {IpVersion::V6, "port-unreachable", 1, 4},
    {IpVersion::V6, "failed-policy", 1, 5},
    {IpVersion::V6, "reject-route", 1, 6},
    {IpVersion::V6, "ttl-exceeded", 3, kAny},
    {IpVersion::V6, "ttl-zero-during-transit", 3, 0},
    {IpVersion::V6, "ttl-zero-during-reassembly", 3, 1},
    {IpVersion::V6, "bad-header", 4, 0},
    {IpVersion::V6, "unknown-header-type", 4, 1},
    {IpVersion::V6, "unknown-option", 4, 2},
    {IpVersion::V6, "ping", 128, kAny},
    {IpVersion::V6, "pong", 129, kAny},
    {IpVersion::V6, "router-solicitation", 133, kAny},
    {IpVersion::V6, "router-advertisement", 134, kAny},
    {IpVersion::V6, "neighbour-solicitation", 135, kAny},
    {IpVersion::V6, "neighbor-solicitation", 135, kAny},
    {IpVersion::V6, "neighbour-advertisement", 136, kAny},
    {IpVersion::V6, "neighbor-advertisement", 136, kAny},
    {IpVersion::V6, "redirect", 137, kAny},
});

}  // namespace

std::optional<IcmpType> parse_icmp_type(IpVersion version, std::string_view text) {
  const std::size_t slash = text.find('/');
  if (const auto type = base::parse_number<std::uint8_t>(text.substr(0, slash))) {
    if (slash == std::string_view::npos) return IcmpType{*type, std::nullopt};
    const auto code = base::parse_number<std::uint8_t>(text.substr(slash + 1));
    if (!code) return std::nullopt;
    return IcmpType{*type, code};
  }
  for (const NameRow& row : kNames) {
    if (row.version != version || row.name != text) continue;
    if (row.code == kAny) return IcmpType{row.type, std::nullopt};
    return IcmpType{row.type, static_cast<std::uint8_t>(row.code)};
  }
  if (text.starts_with("type ")) return std::nullopt;  // icmp_type_name's word for "no name"
  for (int type = 0; type < 256; ++type) {
    const auto byte = static_cast<std::uint8_t>(type);
    if (icmp_type_name(version, byte) == text) return IcmpType{byte, std::nullopt};
  }
  return std::nullopt;
}

}  // namespace fwtrace::packet
