// ICMP types as people type them: names of iptables and of nft, "3", "3/4".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "packet/address.h"

namespace fwtrace::packet {

struct IcmpType {
  std::uint8_t type = 0;
  std::optional<std::uint8_t> code;  // some of iptables' names mean a type and a code
  bool operator==(const IcmpType&) const = default;
};

// For ICMP (V4) or ICMPv6 (V6), which number their types differently.
std::optional<IcmpType> parse_icmp_type(IpVersion version, std::string_view text);

}  // namespace fwtrace::packet
