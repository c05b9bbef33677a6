#include "host/test_of.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace fwtrace::host {

using packet::FilterCondition;
using packet::IpVersion;
using Field = Test::Field;
using Answer = Tests::Answer;

Test test_version(IpVersion version) { return {.field = Field::Version, .version = version}; }
Test test_number(Field field, std::uint32_t number) {
  return {.field = field, .low = number, .high = number};
}
Test test_address(Field field, const packet::IpAddress& address) {
  Test test{.field = field, .version = address.version};
  test.prefix.address = address;
  test.prefix.mask.version = address.version;
  std::fill_n(test.prefix.mask.bytes.begin(), address.version == IpVersion::V4 ? 4 : 16, std::uint8_t{0xff});
  return test;
}

namespace {

Test test_prefix(Field field, const packet::IpPrefix& prefix) {
  return {.field = field, .version = prefix.address.version, .prefix = prefix};
}

Tests these(std::vector<Test> tests) { return {.answer = Answer::These, .alternatives = {std::move(tests)}}; }

Tests ports(Field field, const FilterCondition& c, Place place) {
  // The ports stand in the first fragment only.
  if (place == Place::Fragments) return {.answer = Answer::Never, .alternatives = {}};
  Tests tests;
  for (const std::uint8_t protocol : kPortProtocols) {
    tests.alternatives.push_back(
        {test_number(Field::Protocol, protocol), Test{.field = field, .low = c.low, .high = c.high}});
  }
  return tests;
}

Tests icmp(IpVersion version, std::uint8_t protocol, const FilterCondition& c, Place place) {
  if (place == Place::Fragments) return {.answer = Answer::Never, .alternatives = {}};
  std::vector<Test> tests{test_version(version), test_number(Field::Protocol, protocol),
                          test_number(Field::IcmpType, c.number)};
  if (c.code) tests.push_back(test_number(Field::IcmpCode, *c.code));
  return these(std::move(tests));
}

Tests device(Field field, const FilterCondition& c) {
  if (c.interface.empty()) return {.answer = Answer::Always, .alternatives = {{}}};  // "+"
  return these({Test{.field = field, .name = c.interface, .name_prefix = c.interface_prefix}});
}

}  // namespace

Tests tests_of(const FilterCondition& c, Place place) {
  if (c.option == "protocol") {
    Tests tests = these({test_number(Field::Protocol, c.number)});
    if (c.number == packet::proto::kAh) {
      tests.alternatives.push_back({test_version(IpVersion::V6), Test{.field = Field::AuthenticationHeader}});
    }
    return tests;
  }
  if (c.option == "source" || c.option == "destination") {
    const Field field = c.option == "source" ? Field::Source : Field::Destination;
    const Test version = test_version(c.prefix.address.version);
    if (c.prefix.mask.bytes == packet::IpAddress{}.bytes) return these({version});  // 0.0.0.0/0
    return these({version, test_prefix(field, c.prefix)});
  }
  if (c.option == "source-port") return ports(Field::SourcePort, c, place);
  if (c.option == "destination-port") return ports(Field::DestinationPort, c, place);
  if (c.option == "icmp-type") return icmp(IpVersion::V4, packet::proto::kIcmp, c, place);
  if (c.option == "icmpv6-type") return icmp(IpVersion::V6, packet::proto::kIcmpv6, c, place);
  if (c.option == "in-interface") {
    if (place == Place::Sent) return {.answer = Answer::Never, .alternatives = {}};
    return device(Field::InName, c);
  }
  if (c.option == "out-interface") {
    if (place != Place::Sent) return {.answer = Answer::Untestable, .alternatives = {}};
    return device(Field::OutName, c);
  }
  if (c.option == "mark") {
    // Positive marks are mostly set by rules that the packet has not met yet.
    if (!c.negated) return {.answer = Answer::Untestable, .alternatives = {}};
    return these({Test{.field = Field::Mark, .low = c.low, .high = c.high}});
  }
  CHECK(!"a filter word that arming does not know");
  return {};
}

std::optional<Test> quoted_test_of(const FilterCondition& c) {
  if (c.option == "source") return test_prefix(Field::InnerSource, c.prefix);
  if (c.option == "destination") return test_prefix(Field::InnerDestination, c.prefix);
  if (c.option == "source-port") return Test{.field = Field::InnerSourcePort, .low = c.low, .high = c.high};
  if (c.option == "destination-port") {
    return Test{.field = Field::InnerDestinationPort, .low = c.low, .high = c.high};
  }
  return std::nullopt;
}

std::vector<std::vector<Test>> carriers_of(IpVersion version, std::uint8_t protocol) {
  std::vector<std::vector<Test>> carriers{{test_number(Field::Protocol, protocol)}};
  if (version != IpVersion::None) carriers[0].insert(carriers[0].begin(), test_version(version));
  const auto error = [&](IpVersion of, std::uint8_t icmp) {
    if (version != IpVersion::None && version != of) return;
    carriers.push_back(
        {test_version(of), test_number(Field::Protocol, icmp), test_number(Field::CtProtocol, protocol)});
  };
  error(IpVersion::V4, packet::proto::kIcmp);
  error(IpVersion::V6, packet::proto::kIcmpv6);
  return carriers;
}

std::optional<Tests> original_tests_of(const FilterCondition& c) {
  if (c.option == "protocol") return these({test_number(Field::CtProtocol, c.number)});
  if (c.option == "source" || c.option == "destination") {
    const Field field = c.option == "source" ? Field::CtSource : Field::CtDestination;
    const Test version = test_version(c.prefix.address.version);
    if (c.prefix.mask.bytes == packet::IpAddress{}.bytes) return these({version});
    return these({version, test_prefix(field, c.prefix)});
  }
  if (c.option == "source-port" || c.option == "destination-port") {
    const Field field = c.option == "source-port" ? Field::CtSourcePort : Field::CtDestinationPort;
    Tests tests;
    for (const std::uint8_t protocol : kPortProtocols) {
      for (const auto& carrier : carriers_of(IpVersion::None, protocol)) {
        tests.alternatives.push_back(carrier);
        tests.alternatives.back().push_back({.field = field, .low = c.low, .high = c.high});
      }
    }
    return tests;
  }
  if (c.option == "icmp-type" || c.option == "icmpv6-type") {
    const bool v4 = c.option == "icmp-type";
    const std::uint32_t type = std::uint32_t{c.number} << 8;
    const std::uint8_t protocol = v4 ? packet::proto::kIcmp : packet::proto::kIcmpv6;
    return these({test_version(v4 ? IpVersion::V4 : IpVersion::V6), test_number(Field::Protocol, protocol),
                  test_number(Field::CtProtocol, protocol),
                  Test{.field = Field::CtDestinationPort,
                       .low = type | c.code.value_or(0),
                       .high = type | c.code.value_or(0xff)}});
  }
  // The packet's own mark, as "first" asks it: both must say the same of it.
  if (c.option == "mark" && c.negated) {
    return these({Test{.field = Field::Mark, .low = c.low, .high = c.high}});
  }
  return std::nullopt;
}

namespace {

std::string print_range(std::string_view what, const Test& test) {
  return test.low == test.high ? fmt::format("{} {}", what, test.low)
                               : fmt::format("{} {}-{}", what, test.low, test.high);
}

std::string print_test(const Test& test) {
  const std::string_view ip = test.version == IpVersion::V6 ? "ip6" : "ip";
  const std::string inner = fmt::format("inner {}", ip);
  const std::string star = test.name_prefix ? "*" : "";
  switch (test.field) {
    case Field::Version: return fmt::format("nfproto {}", test.version == IpVersion::V6 ? "ipv6" : "ipv4");
    case Field::Protocol: return fmt::format("l4proto {}", test.low);
    case Field::Source: return fmt::format("{} saddr {}", ip, packet::print_prefix(test.prefix));
    case Field::Destination: return fmt::format("{} daddr {}", ip, packet::print_prefix(test.prefix));
    case Field::SourcePort: return print_range("th sport", test);
    case Field::DestinationPort: return print_range("th dport", test);
    case Field::InName: return fmt::format("iifname {}{}", test.name, star);
    case Field::OutName: return fmt::format("oifname {}{}", test.name, star);
    case Field::InKind: return fmt::format("iifkind {}", test.name);
    case Field::IcmpType: return print_range("icmp type", test);
    case Field::IcmpCode: return print_range("icmp code", test);
    case Field::Mark: return fmt::format("mark & {:#x} == {:#x}", test.high, test.low);
    case Field::LaterFragment: return fmt::format("{} later fragment", ip);
    case Field::AuthenticationHeader: return "exthdr ah exists";
    case Field::InnerProtocol: return fmt::format("{} protocol {}", inner, test.low);
    case Field::InnerSource: return fmt::format("{} saddr {}", inner, packet::print_prefix(test.prefix));
    case Field::InnerDestination: return fmt::format("{} daddr {}", inner, packet::print_prefix(test.prefix));
    case Field::InnerSourcePort: return print_range(inner + " sport", test);
    case Field::InnerDestinationPort: return print_range(inner + " dport", test);
    case Field::CtDirection: return fmt::format("ct direction {}", test.low == 0 ? "original" : "reply");
    case Field::CtTranslated: return "ct status snat,dnat";
    case Field::CtProtocol: return fmt::format("ct original protocol {}", test.low);
    case Field::CtSource:
      return fmt::format("ct original {} saddr {}", ip, packet::print_prefix(test.prefix));
    case Field::CtDestination:
      return fmt::format("ct original {} daddr {}", ip, packet::print_prefix(test.prefix));
    case Field::CtSourcePort: return print_range("ct original proto-src", test);
    case Field::CtDestinationPort: return print_range("ct original proto-dst", test);
    case Field::Learned: return fmt::format("{} tuple @{}", ip, learned_set(test.version));
  }
  return "";
}

}  // namespace

bool ArmingRule::needs_conntrack() const {
  return end == End::Learn || std::ranges::any_of(tests, [](const Test& test) {
           switch (test.field) {
             case Field::CtDirection:
             case Field::CtTranslated:
             case Field::CtProtocol:
             case Field::CtSource:
             case Field::CtDestination:
             case Field::CtSourcePort:
             case Field::CtDestinationPort:
             case Field::Learned: return true;
             default: return false;
           }
         });
}

std::string print_rule(const ArmingRule& rule) {
  std::string text;
  for (const Test& test : rule.tests) text += print_test(test) + " ";
  switch (rule.end) {
    case ArmingRule::End::Accept: return text + "accept";
    case ArmingRule::End::Return: return text + "return";
    case ArmingRule::End::Jump: return text + "jump " + rule.target;
    case ArmingRule::End::Arm: return text + "goto " + rule.target;
    case ArmingRule::End::Learn: return text + "learn its reply, accept";
  }
  return text;
}

}  // namespace fwtrace::host
