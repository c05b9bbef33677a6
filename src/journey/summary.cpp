#include "journey/summary.h"

#include <algorithm>
#include <tuple>

namespace fwtrace::journey {
namespace {

constexpr std::size_t kFirstLosses = 8;

// Tables that iptables has, and so needs no family to name.
bool is_iptables_table(const Step& step) {
  using packet::Family;
  if (step.family != Family::None && step.family != Family::Ip && step.family != Family::Ip6) return false;
  const std::string_view table = step.table.text();
  return table.empty() || packet::is_iptables_table(table);
}

// Only an outcome that is sure was decided by its step; for the others it is the last one seen.
bool has_decider(const Journey& journey) {
  switch (journey.outcome.kind) {
    case OutcomeKind::Dropped:
    case OutcomeKind::Rejected:
    case OutcomeKind::Delivered:
    case OutcomeKind::Forwarded:
    case OutcomeKind::Sent:
    case OutcomeKind::Stolen:
    case OutcomeKind::Queued: return journey.outcome.step && *journey.outcome.step < journey.steps.size();
    case OutcomeKind::Lost:
    case OutcomeKind::Undecided:
    case OutcomeKind::Incomplete: return false;
  }
  return false;
}

// What makes two deciding steps the same. A known rule is told by its address (which fits into the string without
// an allocation); otherwise by its name and family, since IPv4 and IPv6 have a "filter FORWARD" each. The policy
// has no rule, and a rule that the trace printed itself is told by that text too.
std::string decider_key(const Step& step, OutcomeKind kind) {
  std::string key;
  key += static_cast<char>(kind);
  if (step.rule != nullptr) {
    const ruleset::Rule* rule = step.rule;
    key.append(reinterpret_cast<const char*>(&rule), sizeof(std::uintptr_t));
    return key;
  }
  key += static_cast<char>(step.family);
  key += print_where(step);
  if (!step.rule_text.empty()) key.append(1, '\n').append(step.rule_text);
  return key;
}

}  // namespace

std::string print_where(const Step& step) {
  std::string out;
  const auto word = [&out](std::string_view text) {
    if (text.empty()) return;
    if (!out.empty()) out += ' ';
    out += text;
  };
  const auto numbered = [&](std::string_view name, std::string_view separator, std::uint64_t number) {
    word(name);
    if (number != 0) out.append(separator).append(std::to_string(number));
  };
  if (!is_iptables_table(step)) word(to_text(step.family));
  word(step.table.text());
  word(step.chain.text());
  switch (step.did) {
    case Did::PolicyAccept:
    case Did::PolicyDrop:
    case Did::PolicyUnknown: word("policy"); return out;
    case Did::ChainEnd: word("end of chain"); return out;
    case Did::Headers: return out;
    case Did::Unknown:
      // "return:4" may be the chain's end or its rule 4: then the kernel's own word is all there is to say.
      if (step.kind == trace::EventKind::Return) return numbered("return", ":", step.number), out;
      if (step.kind == trace::EventKind::Policy) return numbered("policy", ":", step.number), out;
      break;
    case Did::Continue:
    case Did::Jump:
    case Did::Goto:
    case Did::Return:
    case Did::Accept:
    case Did::Drop:
    case Did::Reject:
    case Did::Queue:
    case Did::Stolen: break;
  }
  if (step.number != 0) numbered("rule", " ", step.number);
  else if (step.handle != 0) numbered("handle", " ", step.handle);
  else if (step.rule != nullptr && step.rule->number != 0) numbered("rule", " ", step.rule->number);
  else if (step.kind == trace::EventKind::Rule) word("rule");  // nft's text form says no more
  return out;
}

std::vector<Summary::Decider> Summary::sorted() const {
  std::vector<Decider> all;
  all.reserve(deciders.size());
  for (const auto& [key, decider] : deciders) all.push_back(decider);
  std::sort(all.begin(), all.end(), [](const Decider& a, const Decider& b) {
    // What stopped packets first, then by count.
    const bool a_passes = a.kind > OutcomeKind::Rejected, b_passes = b.kind > OutcomeKind::Rejected;
    return std::tie(a_passes, b.count, a.where, a.kind, a.rule) <
           std::tie(b_passes, a.count, b.where, b.kind, b.rule);
  });
  return all;
}

void Summary::add(const Journey& journey, bool is_shown) {
  ++journeys;
  if (!is_shown) return;
  ++shown;
  starts_late += journey.starts_late ? 1U : 0U;
  ends_early += journey.ends_early ? 1U : 0U;
  overlap_loss += journey.overlaps_loss ? 1U : 0U;
  damaged += journey.damaged ? 1U : 0U;
  ++outcomes.at(static_cast<std::size_t>(journey.outcome.kind));
  if (!has_decider(journey)) return;
  const Step& step = journey.steps[*journey.outcome.step];
  std::string key = decider_key(step, journey.outcome.kind);
  if (const auto known = deciders.find(key); known != deciders.end()) {
    ++known->second.count;
  } else if (deciders.size() < kMaxDeciders) {
    Decider decider{print_where(step), {}, journey.outcome.kind, 1};
    decider.rule = step.rule != nullptr && !step.rule->text.empty() ? step.rule->text : step.rule_text;
    deciders.emplace(std::move(key), std::move(decider));
  } else {
    ++deciders_not_kept;
  }
}

void Summary::add(const trace::Loss& loss) {
  lost_lines += loss.lines;
  losses_uncounted += loss.lines == 0 ? 1U : 0U;
  if (first_losses.size() < kFirstLosses) first_losses.push_back(loss);
}

}  // namespace fwtrace::journey
