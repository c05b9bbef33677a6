// Addresses: IPv4, IPv6 and hardware (MAC), in the forms people and the kernel write.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fwtrace::packet {

enum class IpVersion : std::uint8_t { None, V4, V6 };

struct IpAddress {
  IpVersion version = IpVersion::None;
  std::array<std::uint8_t, 16> bytes{};  // network order; IPv4 uses the first four, the rest is zero

  static IpAddress v4(std::uint32_t host_order);
  bool empty() const { return version == IpVersion::None; }
  bool operator==(const IpAddress&) const = default;
};

std::optional<IpAddress> parse_ip(std::string_view text);  // either version; no zone, no prefix length
std::string print_ip(const IpAddress& address);            // "10.0.0.1", "fd00::1"
// As the kernel log writes it: IPv6 as eight groups of four digits (kernel: %pI6).
void append_ip_kernel(std::string& out, const IpAddress& address);

// An address with a prefix length: "10.0.0.0/8", "10.0.0.0/255.0.0.0", "fd00::/8", or a bare address.
// Masks need not be contiguous (iptables allows it).
struct IpPrefix {
  IpAddress address;
  IpAddress mask;
  bool contains(const IpAddress& a) const;  // false for the other IP version
  bool operator==(const IpPrefix&) const = default;
};
std::optional<IpPrefix> parse_prefix(std::string_view text);
std::string print_prefix(const IpPrefix& prefix);

using MacAddress = std::array<std::uint8_t, 6>;
// "52:54:00:12:34:56"; one digit where two are meant is accepted (xtables-monitor prints "1e:30:b:18:a4:15").
std::optional<MacAddress> parse_mac(std::string_view text);
std::string print_mac(const MacAddress& mac);

}  // namespace fwtrace::packet
