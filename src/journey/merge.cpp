#include "journey/merge.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "journey/identity.h"

namespace fwtrace::journey {
namespace {

using packet::Hook;

struct Rank {
  int hook = 0;
  std::int64_t priority = 0;
  bool operator<=(const Rank& other) const {
    return hook != other.hook ? hook < other.hook : priority <= other.priority;
  }
};

// A packet meets either input, or forward and then postrouting, or output and then postrouting; by lo it comes round.
int hook_order(Hook hook) {
  switch (hook) {
    case Hook::Output: return 1;
    case Hook::None:
    case Hook::Ingress: return 2;
    case Hook::Prerouting: return 3;
    case Hook::Input:
    case Hook::Forward: return 4;
    case Hook::Postrouting: return 5;
    case Hook::Egress: return 6;
  }
  return 2;
}

constexpr std::int64_t kFirst = std::numeric_limits<std::int32_t>::min(),
                       kLast = std::numeric_limits<std::int32_t>::max();

std::int64_t priority_of_marker(const Step& step) {
  switch (*step.marker) {
    case trace::Marker::Start:
      return step.chain.text().find("original") != std::string_view::npos ? -199 : kFirst;
    case trace::Marker::Again: return kFirst;
    case trace::Marker::Delivered:
    case trace::Marker::Left: return kLast;
    case trace::Marker::Passing: break;
  }
  const std::string_view chain = step.chain.text();
  if (chain == "before-snat") return 99;
  return chain == "after-dnat" || chain == "after-output-nat" ? -99 : -199;
}

const ruleset::Chain* find_chain(const ruleset::Rulebook& rules, const Step& step) {
  for (const ruleset::Ruleset& ruleset : rules.rulesets) {
    if (ruleset.backend == ruleset::Backend::Legacy || ruleset.family != step.family) continue;
    if (const ruleset::Table* table = ruleset.find_table(step.table.text()))
      if (const ruleset::Chain* chain = table->find_chain(step.chain.text())) return chain;
  }
  return nullptr;
}

// Where a step of the marked journey stands; what is not known is where the one before it is.
Rank rank_of(const Step& step, const Rank& before, const ruleset::Rulebook* rules) {
  if (step.marker) return {hook_order(step.hook), priority_of_marker(step)};
  if (step.depth == 0 && rules != nullptr) {
    if (const ruleset::Chain* chain = find_chain(*rules, step); chain != nullptr && chain->priority)
      return {hook_order(chain->hook), *chain->priority};
  }
  return before;
}

}  // namespace

bool is_same_packet(const Journey& marked, const Journey& logged) {
  if (marked.forms.empty() || logged.forms.empty() || marked.family != logged.family) return false;
  return same_packet(marked.forms.front(), logged.forms.front(), false, false);
}

void merge_logged(Journey& marked, Journey&& logged, const ruleset::Rulebook* rules) {
  const auto shift = static_cast<std::uint32_t>(marked.forms.size());
  for (packet::Packet& form : logged.forms) marked.forms.push_back(std::move(form));
  std::vector<Step> merged;
  std::size_t next = 0;
  Rank here{};
  const auto take_logged = [&](const Rank* until) {
    while (next < logged.steps.size()) {
      const Step& first = logged.steps[next];
      const Rank rank{hook_order(first.hook),
                      packet::legacy_priority(first.table.text(), first.hook).value_or(0)};
      if (until != nullptr && *until <= rank) return;
      // The whole walk of that table.
      for (bool same = true; same;) {
        logged.steps[next].form += shift;
        merged.push_back(std::move(logged.steps[next++]));
        same = next < logged.steps.size() && logged.steps[next].table == merged.back().table &&
               logged.steps[next].hook == merged.back().hook;
      }
    }
  };
  for (Step& step : marked.steps) {
    const Rank rank = rank_of(step, here, rules);
    const bool begins = step.marker || step.kind == trace::EventKind::Headers || step.depth == 0;
    if (begins) take_logged(&rank);
    here = rank;
    merged.push_back(std::move(step));
  }
  take_logged(nullptr);
  marked.steps = std::move(merged);
  marked.damaged |= logged.damaged;
  marked.overlaps_loss |= logged.overlaps_loss;
  marked.loss_inside |= logged.loss_inside;
  marked.first_event = std::min(marked.first_event, logged.first_event);
}

}  // namespace fwtrace::journey
