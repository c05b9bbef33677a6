#include "host/direction.h"

#include <algorithm>

#include "host/test_of.h"

namespace fwtrace::host {

using packet::Filter;
using packet::FilterCondition;
using packet::IpVersion;
using Field = Test::Field;
using End = ArmingRule::End;

bool contradicts(IpVersion a, IpVersion b) { return a != IpVersion::None && b != IpVersion::None && a != b; }

void Frame::require(IpVersion wanted) {
  if (contradicts(version, wanted)) contradiction = true;
  if (wanted != IpVersion::None) version = wanted;
}

void Frame::require(std::uint8_t wanted) {
  if (protocol && *protocol != wanted) contradiction = true;
  protocol = wanted;
}

bool carries_ports(std::uint8_t protocol) {
  return std::ranges::find(kPortProtocols, protocol) != kPortProtocols.end();
}

Frame frame_of(const Filter& filter, const std::vector<std::size_t>& ignored) {
  Frame frame;
  frame.require(filter.version);
  for (std::size_t i = 0; i < filter.conditions.size(); ++i) {
    const FilterCondition& c = filter.conditions[i];
    if (c.negated || std::ranges::find(ignored, i) != ignored.end()) continue;
    if (c.option == "protocol") frame.require(c.number);
    if (c.option == "source" || c.option == "destination") frame.require(c.prefix.address.version);
    if (c.option == "source-port" || c.option == "destination-port") frame.needs_ports = true;
    if (c.option == "icmp-type") frame.require(packet::proto::kIcmp), frame.require(IpVersion::V4);
    if (c.option == "icmpv6-type") frame.require(packet::proto::kIcmpv6), frame.require(IpVersion::V6);
  }
  if (frame.needs_ports && frame.protocol && !carries_ports(*frame.protocol)) frame.contradiction = true;
  return frame;
}

namespace {

// `tests` once for every protocol that has ports, if ports are tested and no protocol is named.
std::vector<std::vector<Test>> with_protocol(const Frame& frame, const std::vector<Test>& tests) {
  std::vector<std::vector<Test>> alternatives;
  const auto add = [&](std::vector<Test> first) {
    first.insert(first.end(), tests.begin(), tests.end());
    alternatives.push_back(std::move(first));
  };
  const auto version_first = [&](std::vector<Test> rest) {
    if (frame.version != IpVersion::None) rest.insert(rest.begin(), test_version(frame.version));
    return rest;
  };
  if (frame.protocol) {
    add(version_first({test_number(Field::Protocol, *frame.protocol)}));
    // IPv6 calls the authentication header an extension, so that it is nobody's transport protocol.
    if (*frame.protocol == packet::proto::kAh && frame.version != IpVersion::V4) {
      add({test_version(IpVersion::V6), Test{.field = Field::AuthenticationHeader}});
    }
  } else if (frame.needs_ports) {
    for (const std::uint8_t protocol : kPortProtocols) {
      add(version_first({test_number(Field::Protocol, protocol)}));
    }
  } else {
    add(version_first({}));
  }
  return alternatives;
}

}  // namespace

Direction direction_of(const Filter& filter, const std::vector<std::size_t>& ignored, Place place,
                       const std::string& target) {
  Direction direction;
  const Frame frame = frame_of(filter, ignored);
  if (frame.contradiction) return direction;
  std::vector<Test> tests;
  bool left_out = false;
  for (std::size_t i = 0; i < filter.conditions.size(); ++i) {
    const FilterCondition& c = filter.conditions[i];
    if (c.negated) {
      for (auto& refused : tests_of(c, place).alternatives) {
        direction.excluded.push_back({.tests = std::move(refused), .end = End::Return});
      }
      continue;
    }
    if (std::ranges::find(ignored, i) != ignored.end() || c.option == "protocol") continue;
    Tests wanted = tests_of(c, place);
    if (wanted.answer == Tests::Answer::Never) return direction;
    left_out = left_out || wanted.answer == Tests::Answer::Untestable;
    if (wanted.answer == Tests::Answer::Untestable) continue;
    // A positive condition is one conjunction; its version and protocol are the frame's.
    for (const Test& test : wanted.alternatives.front()) {
      const bool framed = test.field == Field::Version || test.field == Field::Protocol;
      if (!framed && std::ranges::find(tests, test) == tests.end()) tests.push_back(test);
    }
  }
  direction.unspecific = left_out && tests.empty();
  for (auto& alternative : with_protocol(frame, tests)) {
    if (place != Place::Fragments) {
      direction.tests_nothing = alternative.empty() && direction.excluded.empty();
      direction.required.push_back({.tests = std::move(alternative), .end = End::Arm, .target = target});
      continue;
    }
    for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
      if (contradicts(version, frame.version)) continue;
      std::vector<Test> of_fragment = alternative;
      std::erase(of_fragment, test_version(version));
      of_fragment.insert(of_fragment.begin(), {.field = Field::LaterFragment, .version = version});
      direction.required.push_back({.tests = std::move(of_fragment), .end = End::Arm, .target = target});
    }
  }
  return direction;
}

std::vector<ArmingRule> errors_about(const Filter& filter, const std::vector<std::size_t>& ignored,
                                     const std::string& target) {
  std::vector<ArmingRule> rules;
  const Frame frame = frame_of(filter, ignored);
  if (frame.contradiction) return rules;
  std::vector<Test> quoted;
  if (frame.protocol) quoted.push_back(test_number(Field::InnerProtocol, *frame.protocol));
  for (std::size_t i = 0; i < filter.conditions.size(); ++i) {
    const FilterCondition& c = filter.conditions[i];
    if (c.negated) return {};  // an error cannot be told from the errors about what is excluded
    if (std::ranges::find(ignored, i) == ignored.end()) {
      if (const auto test = quoted_test_of(c)) quoted.push_back(*test);
    }
  }
  if (quoted.empty()) return rules;
  const auto add = [&](IpVersion version, std::uint8_t protocol, std::uint32_t low, std::uint32_t high) {
    if (contradicts(version, frame.version)) return;
    // Without a protocol the quoted ports may be something else: then the five that have ports.
    std::vector<std::optional<std::uint8_t>> inner{std::nullopt};
    if (frame.needs_ports && !frame.protocol) inner.assign(kPortProtocols.begin(), kPortProtocols.end());
    for (const auto& number : inner) {
      ArmingRule rule{.tests = {test_version(version), test_number(Field::Protocol, protocol),
                                Test{.field = Field::IcmpType, .low = low, .high = high}},
                      .end = End::Arm,
                      .target = target};
      if (number) rule.tests.push_back(test_number(Field::InnerProtocol, *number));
      for (Test test : quoted) {
        test.version = version;
        rule.tests.push_back(std::move(test));
      }
      rules.push_back(std::move(rule));
    }
  };
  add(IpVersion::V4, packet::proto::kIcmp, 3, 5);    // unreachable, source quench, redirect
  add(IpVersion::V4, packet::proto::kIcmp, 11, 12);  // time exceeded, parameter problem
  add(IpVersion::V6, packet::proto::kIcmpv6, 1, 4);  // all the errors there are
  return rules;
}

}  // namespace fwtrace::host
