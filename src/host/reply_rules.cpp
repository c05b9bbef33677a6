#include "host/reply_rules.h"

#include <algorithm>
#include <utility>

#include "host/direction.h"
#include "host/test_of.h"

namespace fwtrace::host {

using packet::Filter;
using packet::FilterCondition;
using packet::IpVersion;
using Field = Test::Field;
using End = ArmingRule::End;

namespace {

// What must hold of the original tuple beside version and protocol, which are the frame's; and what must not.
struct Flow {
  std::vector<Test> tests;
  std::vector<std::vector<Test>> excluded;
  bool left_out = false;  // an interface or a mark
  // Would it be every reply of a protocol, though that was not asked for?
  bool unspecific(const Frame& frame) const { return tests.empty() && (left_out || !frame.protocol); }
};

Flow flow_of(const Filter& filter, const std::vector<std::size_t>& ignored) {
  Flow flow;
  for (std::size_t i = 0; i < filter.conditions.size(); ++i) {
    const FilterCondition& c = filter.conditions[i];
    const auto wanted = original_tests_of(c);
    if (!wanted) {
      flow.left_out = flow.left_out || !c.negated;
      continue;
    }
    if (c.negated) {
      flow.excluded.insert(flow.excluded.end(), wanted->alternatives.begin(), wanted->alternatives.end());
      continue;
    }
    if (std::ranges::find(ignored, i) != ignored.end()) continue;
    for (const Test& test : wanted->alternatives.front()) {
      const bool framed =
          test.field == Field::Version || test.field == Field::Protocol || test.field == Field::CtProtocol;
      if (!framed && std::ranges::find(flow.tests, test) == flow.tests.end()) flow.tests.push_back(test);
    }
  }
  return flow;
}

FlowRules exclusions(const Flow& flow) {
  FlowRules rules;
  for (const auto& tests : flow.excluded) rules.excluded.push_back({.tests = tests, .end = End::Accept});
  return rules;
}

std::vector<Test> joined(std::vector<Test> first, const std::vector<Test>& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

}  // namespace

FlowRules original_rules(const Filter& filter, const std::vector<std::size_t>& ignored,
                         const std::string& target) {
  const Frame frame = frame_of(filter, ignored);
  const Flow flow = flow_of(filter, ignored);
  if (frame.contradiction || flow.unspecific(frame)) return {};
  FlowRules rules = exclusions(flow);
  const auto add = [&](std::vector<Test> tests) {
    tests.push_back(test_number(Field::CtDirection, 1));
    rules.required.push_back(
        {.tests = joined(std::move(tests), flow.tests), .end = End::Arm, .target = target});
  };
  const auto add_carriers = [&](std::uint8_t protocol) {
    for (auto& carrier : carriers_of(frame.version, protocol)) add(std::move(carrier));
  };
  if (frame.protocol && carries_ports(*frame.protocol)) {
    add_carriers(*frame.protocol);
  } else if (frame.needs_ports) {
    std::ranges::for_each(kPortProtocols, add_carriers);
  } else {
    std::vector<Test> first;
    if (frame.version != IpVersion::None) first.push_back(test_version(frame.version));
    // Errors about ICMP are ICMP too; other protocols are known by their number in the flow alone.
    const bool icmp = frame.protocol == packet::proto::kIcmp || frame.protocol == packet::proto::kIcmpv6;
    if (icmp) first.push_back(test_number(Field::Protocol, *frame.protocol));
    if (frame.protocol) first.push_back(test_number(Field::CtProtocol, *frame.protocol));
    add(std::move(first));
  }
  return rules;
}

FlowRules learning_rules(const Filter& filter, const std::vector<std::size_t>& ignored) {
  const Frame frame = frame_of(filter, ignored);
  const Flow flow = flow_of(filter, ignored);
  if (frame.contradiction || flow.unspecific(frame)) return {};
  FlowRules rules = exclusions(flow);
  for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
    if (contradicts(version, frame.version)) continue;
    for (const std::uint8_t protocol : kPortProtocols) {
      if (frame.protocol && *frame.protocol != protocol) continue;
      rules.required.push_back(
          {.tests = joined({test_version(version), test_number(Field::Protocol, protocol),
                            test_number(Field::CtDirection, 0), Test{.field = Field::CtTranslated}},
                           flow.tests),
           .end = End::Learn});
      // Once more: of the first, nft thinks that the ports to be learned imply it, and lists the rule without it.
      rules.required.back().tests.push_back(test_number(Field::Protocol, protocol));
    }
  }
  if (rules.required.empty()) return {};
  return rules;
}

std::vector<ArmingRule> learned_rules(End end, const std::string& target) {
  std::vector<ArmingRule> rules;
  for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
    rules.push_back({.tests = {{.field = Field::Learned, .version = version}}, .end = end, .target = target});
  }
  return rules;
}

}  // namespace fwtrace::host
