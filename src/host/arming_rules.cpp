#include "host/arming_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/check.h"
#include "host/direction.h"
#include "host/mirror.h"
#include "host/reply_rules.h"
#include "host/test_of.h"
#include "trace/markers.h"

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

constexpr std::int32_t kAfterConntrack = -199;  // kernel: NF_IP_PRI_CONNTRACK is -200

// Names and hooks of our chains are in trace/markers.h; the priorities are here.
struct Placed {
  std::string_view chain;
  std::int32_t priority;
};
constexpr auto kInetMarkers = std::to_array<Placed>({
    {"after-conntrack", kAfterConntrack},
    {"after-dnat", -99},
    {"delivered", kLast},
    {"after-output-nat", -99},
    {"before-snat", 99},
    {"left", kLast},
});
constexpr auto kBridgeMarkers = std::to_array<Placed>({
    {"delivered", kLast},
    {"left", kLast},
});

ArmingChain new_chain(std::string_view name, std::int32_t priority) {
  const trace::MarkerRow* row = trace::find_marker_row(name);
  CHECK(row != nullptr);
  return {.name = std::string(name), .hook = row->hook, .priority = priority};
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
    if (wish_.conntrack.v4 == wish_.conntrack.v6) {
      table(Family::Inet, wish_.conntrack.v4);
    } else {
      if (!contradicts(IpVersion::V4, frame.version)) table(Family::Ip, wish_.conntrack.v4);
      if (!contradicts(IpVersion::V6, frame.version)) table(Family::Ip6, wish_.conntrack.v6);
    }
    if (wish_.bridge) table(Family::Bridge, false);
    return std::move(plan_);
  }

 private:
  // An arming base chain: where it stands, where it arms, and what it decides on.
  struct Decider {
    std::string_view name, start;
    Place place;
    std::int32_t priority;
    std::string_view behind_conntrack, start_behind;  // its second half; "" for none
  };
  static constexpr Decider kFirstChain{.name = "first",
                                       .start = "start",
                                       .place = Place::First,
                                       .priority = kFirst,
                                       .behind_conntrack = "original",
                                       .start_behind = "start-original"};
  static constexpr Decider kSentChain{.name = "sent",
                                      .start = "start-sent",
                                      .place = Place::Sent,
                                      .priority = kFirst,
                                      .behind_conntrack = "original-sent",
                                      .start_behind = "start-original-sent"};

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

  void table(Family family, bool conntrack) {
    table_ = {.family = family};
    const bool bridge = family == Family::Bridge;
    const bool behind = conntrack && mirrored_.has_value();
    learning_ = behind ? both_ways([](const Filter& filter, const auto& ignored) {
      return learning_rules(filter, ignored);
    })
                       : FlowRules{};
    table_.learns = !learning_.required.empty();
    decider(kFirstChain, behind);
    decider({.name = "fragments",
             .start = "start-fragment",
             .place = Place::Fragments,
             .priority = bridge ? kAfterBridgeDefrag : kAfterDefrag,
             .behind_conntrack = {},
             .start_behind = {}},
            false);
    if (!bridge) decider(kSentChain, behind);
    if (bridge) {
      std::ranges::for_each(kBridgeMarkers, [&](const Placed& placed) { marker(placed); });
    } else {
      std::ranges::for_each(kInetMarkers, [&](const Placed& placed) { marker(placed); });
    }
    if (family == Family::Ip || family == Family::Ip6) keep_version(family);
    plan_.tables.push_back(std::move(table_));
  }

  // A packet in reply direction may be the reply to one that the filter describes; or the filter describes it itself,
  // as it looks when its translation is undone (`-d` an address behind masquerade): then the mirrored one describes
  // the flow. Where a negated condition could exclude one of the two only, the first has the word.
  template <class Rules>
  FlowRules both_ways(Rules rules) const {
    FlowRules back = rules(mirrored_->filter, mirrored_->ignored);
    if (!wish_.replies) return back;
    FlowRules both = rules(wish_.filter, wish_.after_nat);
    if (both.excluded.empty() && back.excluded.empty()) add_missing(both.required, back.required);
    return both;
  }

  void marker(const Placed& placed) {
    // "original" says the same, and one event is enough.
    const bool said = placed.chain == "after-conntrack" && has_chain("original");
    if (said) return;
    ArmingChain chain = new_chain(placed.chain, placed.priority);
    if (placed.chain == "delivered" || placed.chain == "left") {
      chain.rules = learning_.excluded;
      chain.rules.insert(chain.rules.end(), learning_.required.begin(), learning_.required.end());
    }
    chain.rules.emplace_back();
    table_.chains.push_back(std::move(chain));
  }

  bool has_chain(std::string_view name) const {
    return std::ranges::any_of(table_.chains, [&](const ArmingChain& c) { return c.name == name; });
  }

  // A table of one IP version: rules about the other can go.
  void keep_version(Family family) {
    const IpVersion version = family == Family::Ip ? IpVersion::V4 : IpVersion::V6;
    for (ArmingChain& chain : table_.chains) {
      std::erase_if(chain.rules, [&](const ArmingRule& rule) {
        return std::ranges::any_of(rule.tests,
                                   [&](const Test& t) { return contradicts(t.version, version); });
      });
    }
  }

  // One arming base chain, the chain that spends its limit, and a chain for each direction that has exclusions.
  void decider(const Decider& at, bool behind_conntrack) {
    const Place place = at.place;
    const std::string name(at.name), start(at.start);
    ArmingChain base = new_chain(name, at.priority);
    const bool bridge = table_.family == Family::Bridge;
    const bool enters = place != Place::Sent && !bridge;  // decided on before if it came by lo or a bridge
    for (const Connection& connection : wish_.excluded) exclude(base, connection);
    if (place == Place::First) {
      for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
        if (!contradicts(version, wish_.filter.version)) {
          base.rules.push_back({.tests = {{.field = Field::LaterFragment, .version = version}}});
        }
      }
    }
    std::vector<ArmingRule> armed;
    add_direction(armed, name + "-forth", direction_of(wish_.filter, wish_.after_nat, place, start), true,
                  place);
    // Nobody before could test the interface that the filter names: lo is no interface of what is sent, and a bridge
    // is none of its ports.
    std::size_t asked_before = 0;
    if (enters && asks_in_interface()) {
      asked_before = armed.size();
      base.rules.insert(base.rules.end(), armed.begin(), armed.end());
    }
    if (wish_.replies) {
      if (mirrored_) {
        add_direction(armed, name + "-back",
                      direction_of(mirrored_->filter, mirrored_->ignored, place, start), false, place);
      }
      if (place != Place::Fragments) add_missing(armed, errors_about(wish_.filter, wish_.after_nat, start));
    }
    const Test from_lo{.field = Field::InName, .name = "lo"};
    const Test from_bridge{.field = Field::InKind, .name = "bridge"};
    const bool learned = behind_conntrack && table_.learns;
    const bool more = armed.size() > asked_before || learned;
    if (enters && more) base.rules.push_back({.tests = {from_lo}});
    if (learned) {
      // Only the tables with conntrack learn. So what came from a bridge was not asked this before; unless it was
      // armed there for another reason.
      if (enters && wish_.bridge) append(base.rules, seen(armed, name + "-bridged", from_bridge));
      append(base.rules, learned_rules(End::Arm, start));
    }
    if (enters && wish_.bridge && more) base.rules.push_back({.tests = {from_bridge}});
    base.rules.insert(base.rules.end(), armed.begin() + static_cast<std::ptrdiff_t>(asked_before),
                      armed.end());
    // Already traced packets tell that they were here: one event, where falling through would be three.
    base.rules.emplace_back();
    if (armed.empty() && place == Place::Fragments) {
      return;  // nothing of the filter can be seen in a fragment
    }
    FlowRules original;
    if (behind_conntrack) {
      original = both_ways([&](const Filter& filter, const auto& ignored) {
        return original_rules(filter, ignored, std::string(at.start_behind));
      });
    }
    std::vector<ArmingRule> seen_before;
    if (!original.required.empty()) seen_before = seen(armed, std::string(at.behind_conntrack) + "-seen", {});
    table_.chains.push_back({.name = start, .hook = Hook::None, .arms = true});
    for (ArmingChain& sub : subchains_) table_.chains.push_back(std::move(sub));
    subchains_.clear();
    table_.chains.push_back(std::move(base));
    if (original.required.empty()) return;
    // Behind conntrack: whatever was decided on at the first chain passes by.
    ArmingChain second = new_chain(at.behind_conntrack, kAfterConntrack);
    for (const Connection& connection : wish_.excluded) exclude(second, connection);
    second.rules.push_back({.tests = {{.field = Field::CtDirection, .low = 0, .high = 0}}});
    if (enters) second.rules.push_back({.tests = {from_lo}});
    append(second.rules, seen_before);
    if (learned) append(second.rules, learned_rules(End::Accept, ""));
    append(second.rules, original.excluded);
    append(second.rules, original.required);
    second.rules.emplace_back();
    table_.chains.push_back({.name = std::string(at.start_behind), .hook = Hook::None, .arms = true});
    table_.chains.push_back(std::move(second));
  }

  static void append(std::vector<ArmingRule>& rules, const std::vector<ArmingRule>& more) {
    rules.insert(rules.end(), more.begin(), more.end());
  }

  // Rules that accept what `armed` decides on, each with `also` in front; "-forth" and "-back" under new names.
  std::vector<ArmingRule> seen(const std::vector<ArmingRule>& armed, const std::string& prefix,
                               const std::optional<Test>& also) {
    std::vector<ArmingRule> rules;
    for (ArmingRule rule : armed) {
      if (rule.end == End::Jump) {
        const auto of = std::ranges::find(subchains_, rule.target, &ArmingChain::name);
        CHECK(of != subchains_.end());
        ArmingChain copy = *of;
        copy.name = prefix + copy.name.substr(copy.name.rfind('-'));
        for (ArmingRule& each : copy.rules) {
          if (each.end == End::Arm) each.end = End::Accept, each.target.clear();
        }
        rule.target = copy.name;
        subchains_.push_back(std::move(copy));
      } else {
        rule.end = End::Accept;
        rule.target.clear();
      }
      if (also) rule.tests.insert(rule.tests.begin(), *also);
      rules.push_back(std::move(rule));
    }
    return rules;
  }

  void add_direction(std::vector<ArmingRule>& armed, const std::string& subchain, Direction direction,
                     bool forth, Place place) {
    if (direction.required.empty()) return;
    if (!forth && (direction.tests_nothing || direction.unspecific) && !wish_.filter.empty()) {
      // Only interfaces, marks or a protocol were asked for: arming "the replies" would be arming everything.
      if (place == Place::First && table_.family != Family::Bridge && !plan_.everything) {
        constexpr std::string_view kSaid =
            "replies that enter: nothing tells them from other packets when they do";
        if (std::ranges::find(plan_.narrower, kSaid) == plan_.narrower.end())
          plan_.narrower.emplace_back(kSaid);
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
  FlowRules learning_;
  std::vector<ArmingChain> subchains_;
};

}  // namespace

ArmingPlan plan_arming(const ArmingWish& wish) { return Planner(wish).plan(); }

}  // namespace fwtrace::host
