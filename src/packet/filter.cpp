#include "packet/filter.h"

#include <netdb.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "packet/filter_row.h"
#include "packet/icmp_type.h"

// Every condition is a row of kRows: how its value is read, and what it means.

namespace fwtrace::packet {
namespace {

constexpr std::size_t kMaxInterfaceName = 15;  // kernel: IFNAMSIZ - 1

// ---- Values

bool parse_protocol_value(FilterCondition& c) {
  const auto number = parse_protocol(c.value);
  c.number = number.value_or(0);
  return number.has_value();
}

bool parse_address_value(FilterCondition& c) {
  const auto prefix = parse_prefix(c.value);
  if (prefix) c.prefix = *prefix;
  return prefix.has_value();
}

std::optional<std::uint16_t> parse_port(const std::string& text) {
  if (const auto number = base::parse_number<std::uint16_t>(text)) return number;
  if (text.empty() || std::ranges::all_of(text, base::is_digit)) return std::nullopt;
  const servent* service = getservbyname(text.c_str(), nullptr);
  if (!service) return std::nullopt;
  const auto network_order = static_cast<std::uint16_t>(service->s_port);
  return static_cast<std::uint16_t>(network_order << 8 | network_order >> 8);
}

// "80", "http", "1024:65535", ":1024", "1024:"
bool parse_ports_value(FilterCondition& c) {
  const std::size_t colon = c.value.find(':');
  if (colon == std::string::npos) {
    const auto port = parse_port(c.value);
    c.low = c.high = port.value_or(0);
    return port.has_value();
  }
  if (c.value == ":") return false;
  const auto low = colon == 0 ? std::uint16_t{0} : parse_port(c.value.substr(0, colon));
  const auto high =
      colon + 1 == c.value.size() ? std::uint16_t{65535} : parse_port(c.value.substr(colon + 1));
  if (!low || !high || *low > *high) return false;
  c.low = *low;
  c.high = *high;
  return true;
}

// kernel: dev_valid_name. A name that no device can have would match nothing.
bool parse_interface_value(FilterCondition& c) {
  c.interface = c.value;
  c.interface_prefix = c.value.ends_with('+');
  if (c.interface_prefix) c.interface.pop_back();
  const auto forbidden = [](char ch) { return ch == '/' || ch == ':' || base::is_space(ch); };
  return c.interface.size() <= kMaxInterfaceName && std::ranges::none_of(c.interface, forbidden);
}

template <IpVersion kVersion>
bool parse_icmp_value(FilterCondition& c) {
  const auto type = parse_icmp_type(kVersion, c.value);
  if (!type) return false;
  c.number = type->type;
  c.code = type->code;
  return true;
}

bool parse_mark_value(FilterCondition& c) {
  const std::size_t slash = c.value.find('/');
  const auto mark = base::parse_unsigned(c.value.substr(0, slash));
  const auto mask =
      slash == std::string::npos ? 0xffff'ffffU : base::parse_unsigned(c.value.substr(slash + 1));
  if (!mark || !mask || *mark > 0xffff'ffffU || *mask > 0xffff'ffffU) return false;
  c.low = static_cast<std::uint32_t>(*mark);
  c.high = static_cast<std::uint32_t>(*mask);
  return true;
}

// ---- Meanings

bool has_protocol(const FilterCondition& c, const Packet& p) {
  if (p.protocol) return *p.protocol == c.number;
  // The log prints these two as extension headers of IPv6, and then no protocol where the packet is encrypted.
  return std::ranges::any_of(p.extensions, [&](const Extension& e) {
    return (c.number == proto::kEsp && e.kind == Extension::Kind::Esp) ||
           (c.number == proto::kAh && e.kind == Extension::Kind::Ah);
  });
}

bool is_from(const FilterCondition& c, const Packet& p) {
  const auto* arp = std::get_if<Arp>(&p.transport);
  return c.prefix.contains(arp ? arp->sender_ip : p.source);
}
bool is_to(const FilterCondition& c, const Packet& p) {
  const auto* arp = std::get_if<Arp>(&p.transport);
  return c.prefix.contains(arp ? arp->target_ip : p.destination);
}

bool in_range(const FilterCondition& c, const Maybe<std::uint16_t>& port) {
  return port && c.low <= *port && *port <= c.high;
}
bool has_source_port(const FilterCondition& c, const Packet& p) { return in_range(c, p.ports.source); }
bool has_destination_port(const FilterCondition& c, const Packet& p) {
  return in_range(c, p.ports.destination);
}

bool is_device(const FilterCondition& c, base::Name device) {
  return c.interface_prefix ? device.text().starts_with(c.interface) : device.text() == c.interface;
}
bool came_in(const FilterCondition& c, const Packet& p) { return is_device(c, p.in); }
bool goes_out(const FilterCondition& c, const Packet& p) { return is_device(c, p.out); }

template <std::uint8_t kProtocol>
bool has_icmp_type(const FilterCondition& c, const Packet& p) {
  const Icmp* icmp = find_icmp(p);
  return icmp && p.protocol == kProtocol && icmp->type == c.number && (!c.code || icmp->code == c.code);
}

// A mark of zero is not printed by anyone; where the line was cut short, its absence says nothing.
bool has_mark(const FilterCondition& c, const Packet& p) {
  if (!p.mark && (!p.whole() || p.network_cut.cut || p.transport_cut.cut)) return false;
  return (p.mark.value_or(0) & c.high) == c.low;
}

constexpr std::string_view kAddressExpected = "an address such as 10.0.0.1, 10.0.0.0/8 or fd00::/8";
constexpr std::string_view kPortExpected =
    "a port (0 to 65535), a range such as 1024:65535, or a service name such as http";
constexpr std::string_view kInterfaceExpected =
    "an interface such as eth0, or virbr+ for all that begin with virbr";
constexpr std::string_view kIcmpExpected = "a type such as echo-request or 8, or a type and code such as 3/4";
constexpr std::string_view kMarkExpected = "a mark such as 0x1 or 0x1/0xff";

constexpr auto kRows = std::to_array<FilterRow>({
    {"protocol",
     "-p",
     {"protocol", "proto"},
     "",
     "a protocol such as tcp, udp, icmp, icmpv6 or 47",
     parse_protocol_value,
     has_protocol},
    {"source", "-s", {"source", "src"}, "source", kAddressExpected, parse_address_value, is_from},
    {"destination",
     "-d",
     {"destination", "dst"},
     "destination",
     kAddressExpected,
     parse_address_value,
     is_to},
    {"source-port",
     "",
     {"sport", "source-port", "sports", "source-ports"},
     "source port",
     kPortExpected,
     parse_ports_value,
     has_source_port},
    {"destination-port",
     "",
     {"dport", "destination-port", "dports", "destination-ports"},
     "destination port",
     kPortExpected,
     parse_ports_value,
     has_destination_port},
    {"in-interface", "-i", {"in-interface"}, "in", kInterfaceExpected, parse_interface_value, came_in},
    {"out-interface", "-o", {"out-interface"}, "out", kInterfaceExpected, parse_interface_value, goes_out},
    {"icmp-type",
     "",
     {"icmp-type"},
     "ICMP type",
     kIcmpExpected,
     parse_icmp_value<IpVersion::V4>,
     has_icmp_type<proto::kIcmp>},
    {"icmpv6-type",
     "",
     {"icmpv6-type"},
     "ICMPv6 type",
     kIcmpExpected,
     parse_icmp_value<IpVersion::V6>,
     has_icmp_type<proto::kIcmpv6>},
    {"mark", "", {"mark"}, "mark", kMarkExpected, parse_mark_value, has_mark},
});

const FilterRow* find_row(std::string_view option) {
  const auto row = std::ranges::find(kRows, option, &FilterRow::option);
  return row == kRows.end() ? nullptr : &*row;
}

}  // namespace

const FilterRow* find_filter_row(std::string_view word) {
  for (const FilterRow& row : kRows) {
    if (!row.short_name.empty() && row.short_name == word) return &row;
    if (!word.starts_with("--") || word.size() == 2) continue;
    if (std::ranges::find(row.long_names, word.substr(2)) != row.long_names.end()) return &row;
  }
  return nullptr;
}

bool matches(const Filter& filter, std::span<const Packet> forms) {
  if (filter.version != IpVersion::None &&
      std::ranges::none_of(forms, [&](const Packet& form) { return form.version() == filter.version; })) {
    return false;
  }
  return std::ranges::all_of(filter.conditions, [&](const FilterCondition& condition) {
    const FilterRow* row = find_row(condition.option);
    CHECK(row != nullptr);
    return std::ranges::any_of(forms, [&](const Packet& form) { return row->holds(condition, form); }) !=
           condition.negated;
  });
}

std::string print_filter(const Filter& filter) {
  std::string out;
  const auto append = [&](const std::string& words) {
    if (!out.empty()) out += ", ";
    out += words;
  };
  if (filter.version != IpVersion::None) append(filter.version == IpVersion::V4 ? "IPv4" : "IPv6");
  for (const FilterCondition& condition : filter.conditions) {
    const FilterRow* row = find_row(condition.option);
    CHECK(row != nullptr);
    append((condition.negated ? "not " : "") + std::string(row->label) + (row->label.empty() ? "" : " ") +
           condition.value);
  }
  return out.empty() ? "everything" : out;
}

}  // namespace fwtrace::packet
