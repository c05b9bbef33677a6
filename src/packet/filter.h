// FILTER: which packets a user asks about, in iptables' words, a closed list (one table of rows in filter.cpp).
//
//   -p tcp --dport 80   -s 10.0.0.0/8   ! -d 10.1.2.3   --sport 1024:65535   -i eth0   -o virbr+
//   --icmp-type echo-request   -m mark --mark 0x1/0xff   -4   -6
//
// A packet changes on its way (NAT, routing), so a filter is asked of all its forms: a condition holds if it held
// for at least one form; a negated one (!) if it held for none. So `-i em1 -o virbr1 -d 10.32.105.30` finds the
// packet although no single form has all three.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "packet/packet.h"

namespace fwtrace::packet {

struct FilterCondition {
  std::string option;  // canonical long name: "protocol", "destination-port", …
  std::string value;   // as the user typed it
  bool negated = false;
  // Parsed value; which are set depends on the option.
  std::uint8_t number = 0;           // protocol, ICMP type
  std::optional<std::uint8_t> code;  // ICMP code
  std::uint32_t low = 0, high = 0;   // port range, inclusive; mark value and mask
  IpPrefix prefix;
  std::string interface;          // without the trailing '+'
  bool interface_prefix = false;  // it ended in '+'
};

struct Filter {
  std::vector<FilterCondition> conditions;
  IpVersion version = IpVersion::None;  // -4, -6
  bool empty() const { return conditions.empty() && version == IpVersion::None; }
};

struct FilterAndRest {
  Filter filter;
  std::vector<std::string> rest;  // everything that is not a filter word, in order
};

// Takes the filter words out of a command line. Words after "--" are all rest. Errors are ErrorKind::Usage: a bad
// value, a missing value, a lone "!", or words of a pasted rule (-A, -I, -t, -j, -g, "-c N N"), with a hint.
// `options_with_value` are our own options that take a value, so that their values are not read as filter words.
base::Result<FilterAndRest> take_filter(const std::vector<std::string>& args,
                                        const std::vector<std::string>& options_with_value);

bool matches(const Filter& filter, std::span<const Packet> forms);

// "tcp, destination port 80, in em1"; "everything" for the empty filter.
std::string print_filter(const Filter& filter);

}  // namespace fwtrace::packet
