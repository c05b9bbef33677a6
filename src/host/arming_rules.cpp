#include "host/arming_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/check.h"
#include "host/mirror.h"
#include "host/test_of.h"

namespace fwtrace::host {

using packet::Family;
using packet::Filter;
using packet::FilterCondition;
using packet::Hook;
using packet::IpVersion;
using Field = Test::Field;
using End = ArmingRule::End;

namespace {

// Not INT_MIN itself: there br_netfilter takes out packets that it has already shown to these hooks (kernel:
// ip_sabotage_in), and we would see them a second time.
constexpr std::int32_t kFirst = std::numeric_limits<std::int32_t>::min() + 1;
constexpr std::int32_t kLast = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kAfterDefrag = -350;        // kernel: NF_IP_PRI_CONNTRACK_DEFRAG is -400, raw -300
constexpr std::int32_t kAfterBridgeDefrag = -150;  // kernel: nf_conntrack_bridge defragments at -200

struct Marker {
  std::string_view name;
  Hook hook;
  std::int32_t priority;
};
constexpr auto kInetMarkers = std::to_array<Marker>({
    {"after-conntrack", Hook::Prerouting, -199},
    {"after-dnat", Hook::Prerouting, -99},
    {"delivered", Hook::Input, kLast},
    {"after-output-nat", Hook::Output, -99},
    {"before-snat", Hook::Postrouting, 99},
    {"left", Hook::Postrouting, kLast},
});
constexpr auto kBridgeMarkers = std::to_array<Marker>({
    {"delivered", Hook::Input, kLast},
    {"left", Hook::Postrouting, kLast},
});

bool contradicts(IpVersion a, IpVersion b) { return a != IpVersion::None && b != IpVersion::None && a != b; }

bool carries_ports(std::uint8_t protocol) {
  return std::ranges::find(kPortProtocols, protocol) != kPortProtocols.end();
}

// The rules of one direction at one place, as a whole: what must hold, and what must not.
struct Direction {
  std::vector<ArmingRule> required;  // alternatives; empty: this direction is not armed here
  std::vector<ArmingRule> excluded;  // each ends in Return
  bool tests_nothing = false;        // every packet would be armed
  bool unspecific = false;           // an interface was left out, and no address, port or type is left
};

// What the positive conditions of a filter say of version and protocol together.
struct Frame {
  IpVersion version = IpVersion::None;
  std::optional<std::uint8_t> protocol;
  bool needs_ports = false, contradiction = false;

  void require(IpVersion wanted) {
    if (contradicts(version, wanted)) contradiction = true;
    if (wanted != IpVersion::None) version = wanted;
  }
  void require(std::uint8_t wanted) {
    if (protocol && *protocol != wanted) contradiction = true;
    protocol = wanted;
  }
};

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

// The conditions of `filter` as rules for `place`.
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

// ICMP errors that quote a packet of the filter: REJECT's answer, "fragmentation needed", "time exceeded".
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

void add_missing(std::vector<ArmingRule>& rules, const std::vector<ArmingRule>& more) {
  for (const ArmingRule& rule : more) {
    if (std::ranges::find(rules, rule) == rules.end()) rules.push_back(rule);
  }
}

std::string print_condition(const FilterCondition& c) {
  Filter one;
  one.conditions.push_back(c);
  return packet::print_filter(one);
}

class Planner {
 public:
  explicit Planner(const ArmingWish& wish) : wish_(wish), mirrored_(mirror(wish.filter, wish.after_nat)) {}

  ArmingPlan plan() {
    const Frame frame = frame_of(wish_.filter, wish_.after_nat);
    if (frame.contradiction) {
      plan_.nothing = true;
      return std::move(plan_);
    }
    tell_wider();
    table(Family::Inet);
    if (wish_.bridge) table(Family::Bridge);
    return std::move(plan_);
  }

 private:
  void tell_wider() {
    for (std::size_t i = 0; i < wish_.filter.conditions.size(); ++i) {
      const FilterCondition& c = wish_.filter.conditions[i];
      if (c.negated) continue;
      if (std::ranges::find(wish_.after_nat, i) != wish_.after_nat.end()) {
        plan_.wider.push_back(print_condition(c) + " (may hold only after NAT)");
      } else if (c.option == "out-interface") {
        plan_.wider.push_back(print_condition(c) + " (routing decides it later)");
      } else if (c.option == "mark") {
        plan_.wider.push_back(print_condition(c) + " (rules set it later)");
      }
    }
    const bool mirrors = mirrored_.has_value() || !wish_.replies;
    if (!mirrors) plan_.narrower.emplace_back("replies: this ICMP type has none");
  }

  void table(Family family) {
    table_ = {.family = family, .chains = {}};
    const bool bridge = family == Family::Bridge;
    chain("start", Place::First, "first", Hook::Prerouting, kFirst);
    chain("start-fragment", Place::Fragments, "fragments", Hook::Prerouting,
          bridge ? kAfterBridgeDefrag : kAfterDefrag);
    if (!bridge) chain("start-sent", Place::Sent, "sent", Hook::Output, kFirst);
    const auto mark = [&](const Marker& marker) {
      table_.chains.push_back({.name = std::string(marker.name),
                               .hook = marker.hook,
                               .priority = marker.priority,
                               .rules = {ArmingRule{}}});
    };
    if (bridge) {
      std::ranges::for_each(kBridgeMarkers, mark);
    } else {
      std::ranges::for_each(kInetMarkers, mark);
    }
    plan_.tables.push_back(std::move(table_));
  }

  // One arming base chain, the chain that spends its limit, and a chain for each direction that has exclusions.
  void chain(const std::string& start, Place place, const std::string& name, Hook hook,
             std::int32_t priority) {
    ArmingChain base{.name = name, .hook = hook, .priority = priority};
    const bool bridge = table_.family == Family::Bridge;
    for (const Connection& connection : wish_.excluded) exclude(base, connection);
    if (place == Place::First) {
      for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
        if (!contradicts(version, wish_.filter.version)) {
          base.rules.push_back({.tests = {{.field = Field::LaterFragment, .version = version}}});
        }
      }
    }
    if (place != Place::Sent && !bridge && !asks_in_interface()) {
      base.rules.push_back({.tests = {{.field = Field::InName, .name = "lo"}}});
    }
    if (place != Place::Sent && !bridge && wish_.bridge) {
      base.rules.push_back({.tests = {{.field = Field::InKind, .name = "bridge"}}});
    }
    std::vector<ArmingRule> armed;
    add_direction(base, armed, name + "-forth", direction_of(wish_.filter, wish_.after_nat, place, start),
                  true, place);
    if (wish_.replies) {
      if (mirrored_) {
        add_direction(base, armed, name + "-back",
                      direction_of(mirrored_->filter, mirrored_->ignored, place, start), false, place);
      }
      if (place != Place::Fragments) add_missing(armed, errors_about(wish_.filter, wish_.after_nat, start));
    }
    base.rules.insert(base.rules.end(), armed.begin(), armed.end());
    // Already traced packets tell that they were here: one event, where falling through would be three.
    base.rules.emplace_back();
    if (armed.empty() && place == Place::Fragments)
      return;  // nothing of the filter can be seen in a fragment
    table_.chains.push_back({.name = start, .hook = Hook::None, .arms = true});
    for (ArmingChain& sub : subchains_) table_.chains.push_back(std::move(sub));
    subchains_.clear();
    table_.chains.push_back(std::move(base));
  }

  void add_direction(const ArmingChain& base, std::vector<ArmingRule>& armed, const std::string& subchain,
                     Direction direction, bool forth, Place place) {
    if (direction.required.empty()) return;
    if (!forth && (direction.tests_nothing || direction.unspecific) && !wish_.filter.empty()) {
      // Only interfaces, marks or a protocol were asked for: arming "the replies" would be arming everything.
      if (place == Place::First && base.hook == Hook::Prerouting && !plan_.everything) {
        plan_.narrower.emplace_back("replies that enter: nothing tells them from other packets when they do");
      }
      return;
    }
    if (forth && place == Place::First && direction.tests_nothing) plan_.everything = true;
    if (direction.excluded.empty()) return add_missing(armed, direction.required);
    ArmingChain sub{.name = subchain, .hook = Hook::None, .rules = std::move(direction.excluded)};
    sub.rules.insert(sub.rules.end(), direction.required.begin(), direction.required.end());
    const bool known =
        std::ranges::any_of(subchains_, [&](const ArmingChain& c) { return c.rules == sub.rules; });
    if (known) return;  // a filter that is its own mirror image
    armed.push_back({.tests = {}, .end = End::Jump, .target = sub.name});
    subchains_.push_back(std::move(sub));
  }

  void exclude(ArmingChain& base, const Connection& c) const {
    const auto rule = [&](const packet::IpAddress& from, std::uint16_t from_port, const packet::IpAddress& to,
                          std::uint16_t to_port) {
      base.rules.push_back(
          {.tests = {test_version(c.local.version), test_number(Field::Protocol, packet::proto::kTcp),
                     test_address(Field::Source, from), test_address(Field::Destination, to),
                     test_number(Field::SourcePort, from_port),
                     test_number(Field::DestinationPort, to_port)}});
    };
    rule(c.local, c.local_port, c.remote, c.remote_port);
    rule(c.remote, c.remote_port, c.local, c.local_port);
  }

  bool asks_in_interface() const {
    return std::ranges::any_of(wish_.filter.conditions, [](const FilterCondition& c) {
      return !c.negated && c.option == "in-interface";
    });
  }

  const ArmingWish& wish_;
  std::optional<Mirrored> mirrored_;
  ArmingPlan plan_;
  ArmingTable table_;
  std::vector<ArmingChain> subchains_;
};

}  // namespace

ArmingPlan plan_arming(const ArmingWish& wish) { return Planner(wish).plan(); }

}  // namespace fwtrace::host
