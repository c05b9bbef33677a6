#include "packet/address.h"

#include <algorithm>
#include <bit>

#include "base/text.h"

namespace fwtrace::packet {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

// -1 for what is no hexadecimal digit. A table, because the log reader asks a hundred times a line.
constexpr auto kHexValues = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < 10; ++i) values['0' + i] = static_cast<std::int8_t>(i);
  for (std::size_t i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = static_cast<std::int8_t>(10 + i);
  return values;
}();
int hex_value(char c) { return kHexValues[static_cast<unsigned char>(c)]; }

constexpr int kGroups = 8;  // of sixteen bits in an IPv6 address

std::size_t size_of(IpVersion version) {
  return version == IpVersion::V4 ? 4 : version == IpVersion::V6 ? 16 : 0;
}

// Reads "10.0.0.1" into four bytes. At most three digits a part, so that no number can overflow.
bool parse_v4(std::string_view text, std::uint8_t* bytes) {
  std::size_t at = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0 && (at == text.size() || text[at++] != '.')) return false;
    unsigned value = 0;
    const std::size_t begin = at;
    while (at < text.size() && at - begin < 3 && base::is_digit(text[at])) {
      value = value * 10 + static_cast<unsigned>(text[at++] - '0');
    }
    if (at == begin || value > 255) return false;
    bytes[part] = static_cast<std::uint8_t>(value);
  }
  return at == text.size();
}

// Reads every textual form of RFC 4291 2.2. What "::" stands for is put in at the end, when it is known how
// many groups there are besides.
bool parse_v6(std::string_view text, std::array<std::uint8_t, 16>& bytes) {
  int groups = 0;
  int gap = -1;  // the groups before "::"
  std::size_t at = 0;
  if (text.starts_with(':')) {
    if (!text.starts_with("::")) return false;
    gap = 0;
    at = 2;
  }
  while (at < text.size()) {
    if (groups == kGroups) return false;
    unsigned value = 0;
    const std::size_t begin = at;
    while (at < text.size() && at - begin < 4) {
      const int digit = hex_value(text[at]);
      if (digit < 0) break;
      value = value << 4 | static_cast<unsigned>(digit);
      ++at;
    }
    if (at == begin) return false;
    if (at < text.size() && text[at] == '.') {  // an IPv4 address takes the last two groups
      if (groups > kGroups - 2 || !parse_v4(text.substr(begin), &bytes[static_cast<std::size_t>(groups) * 2]))
        return false;
      groups += 2;
      break;
    }
    bytes[static_cast<std::size_t>(groups) * 2] = static_cast<std::uint8_t>(value >> 8);
    bytes[static_cast<std::size_t>(groups) * 2 + 1] = static_cast<std::uint8_t>(value);
    ++groups;
    if (at == text.size()) break;
    if (text[at++] != ':' || at == text.size()) return false;
    if (text[at] == ':') {
      if (gap >= 0) return false;
      gap = groups;
      ++at;
    }
  }
  if (gap < 0) return groups == kGroups;
  if (groups == kGroups) return false;
  std::copy_backward(bytes.begin() + gap * 2, bytes.begin() + groups * 2, bytes.end());
  std::fill(bytes.begin() + gap * 2, bytes.end() - (groups - gap) * 2, std::uint8_t{0});
  return true;
}

void append_decimal(std::string& out, unsigned value) {
  if (value >= 100) out += static_cast<char>('0' + value / 100);
  if (value >= 10) out += static_cast<char>('0' + value / 10 % 10);
  out += static_cast<char>('0' + value % 10);
}

void append_v4(std::string& out, const std::uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) out += '.';
    append_decimal(out, bytes[i]);
  }
}

unsigned group(const IpAddress& address, int index) {
  const auto at = static_cast<std::size_t>(index) * 2;
  return static_cast<unsigned>(address.bytes[at] << 8 | address.bytes[at + 1]);
}

// RFC 5952: lower case, no leading zeros, "::" for the longest run of at least two zero groups, the first of
// equals; an IPv4-mapped address shows the IPv4 address.
void append_v6(std::string& out, const IpAddress& address) {
  const bool mapped =
      std::all_of(address.bytes.begin(), address.bytes.begin() + 10, [](auto b) { return b == 0; }) &&
      group(address, 5) == 0xffff;
  if (mapped) {
    out += "::ffff:";
    return append_v4(out, &address.bytes[12]);
  }
  int best = -1;
  int best_length = 1;
  for (int i = 0; i < kGroups; ++i) {
    int length = 0;
    while (i + length < kGroups && group(address, i + length) == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
    i += length;
  }
  for (int i = 0; i < kGroups; ++i) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (i > 0 && out.back() != ':') out += ':';
    const unsigned value = group(address, i);
    bool started = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
      const unsigned digit = value >> shift & 0xf;
      started = started || digit != 0 || shift == 0;
      if (started) out += kHexDigits[digit];
    }
  }
}

IpAddress masked(const IpAddress& address, const IpAddress& mask) {
  IpAddress result = address;
  for (std::size_t i = 0; i < result.bytes.size(); ++i) result.bytes[i] &= mask.bytes[i];
  return result;
}

IpAddress mask_of_length(IpVersion version, std::size_t length) {
  IpAddress mask{version, {}};
  for (std::size_t i = 0; i < length; ++i) mask.bytes[i / 8] |= static_cast<std::uint8_t>(0x80 >> i % 8);
  return mask;
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress address{IpVersion::V4, {}};
  for (int i = 0; i < 4; ++i)
    address.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  IpAddress address;
  // The separator of the first group tells the versions apart; it comes within the first five characters.
  if (text.substr(0, 5).find(':') == std::string_view::npos) {
    address.version = IpVersion::V4;
    if (!parse_v4(text, address.bytes.data())) return std::nullopt;
  } else {
    address.version = IpVersion::V6;
    if (!parse_v6(text, address.bytes)) return std::nullopt;
  }
  return address;
}

std::string print_ip(const IpAddress& address) {
  std::string out;
  if (address.version == IpVersion::V4) append_v4(out, address.bytes.data());
  if (address.version == IpVersion::V6) append_v6(out, address);
  return out;
}

void append_ip_kernel(std::string& out, const IpAddress& address) {
  if (address.version == IpVersion::V4) return append_v4(out, address.bytes.data());
  if (address.version != IpVersion::V6) return;
  for (std::size_t i = 0; i < address.bytes.size(); ++i) {
    if (i > 0 && i % 2 == 0) out += ':';
    out += kHexDigits[address.bytes[i] >> 4];
    out += kHexDigits[address.bytes[i] & 0xf];
  }
}

bool IpPrefix::contains(const IpAddress& a) const {
  return a.version == address.version && !a.empty() && masked(a, mask) == masked(address, mask);
}

std::optional<IpPrefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address) return std::nullopt;
  const std::size_t full = size_of(address->version) * 8;
  IpPrefix prefix{*address, mask_of_length(address->version, full)};
  if (slash == std::string_view::npos) return prefix;

  const std::string_view rest = text.substr(slash + 1);
  if (const auto length = base::parse_number<unsigned>(rest)) {
    if (*length > full) return std::nullopt;
    prefix.mask = mask_of_length(address->version, *length);
  } else {
    const auto mask = parse_ip(rest);
    if (!mask || mask->version != address->version) return std::nullopt;
    prefix.mask = *mask;
  }
  prefix.address = masked(*address, prefix.mask);
  return prefix;
}

std::string print_prefix(const IpPrefix& prefix) {
  const std::size_t full = size_of(prefix.mask.version) * 8;
  std::size_t length = 0;
  for (const std::uint8_t byte : prefix.mask.bytes) length += static_cast<std::size_t>(std::popcount(byte));
  std::string out = print_ip(prefix.address);
  if (prefix.mask != mask_of_length(prefix.mask.version, length)) return out + "/" + print_ip(prefix.mask);
  return length == full ? out : out + "/" + std::to_string(length);
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    if (i > 0 && (at == text.size() || text[at++] != ':')) return std::nullopt;
    int value = at < text.size() ? hex_value(text[at]) : -1;
    if (value < 0) return std::nullopt;
    ++at;
    if (const int digit = at < text.size() ? hex_value(text[at]) : -1; digit >= 0) {
      value = value << 4 | digit;
      ++at;
    }
    mac[i] = static_cast<std::uint8_t>(value);
  }
  if (at != text.size()) return std::nullopt;
  return mac;
}

std::string print_mac(const MacAddress& mac) {
  std::string out;
  for (const std::uint8_t byte : mac) {
    if (!out.empty()) out += ':';
    out += kHexDigits[byte >> 4];
    out += kHexDigits[byte & 0xf];
  }
  return out;
}

}  // namespace fwtrace::packet
