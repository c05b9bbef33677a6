#include "journey/rule_versions.h"

#include <algorithm>
#include <ranges>
#include <utility>

namespace fwtrace::journey {
namespace {

using ruleset::Backend;
using ruleset::Rulebook;
using trace::Dialect;

constexpr std::size_t kMaxVersions = 64, kMaxGenerations = 4096;

bool has_steps_of(const Journey& journey, Dialect dialect) {
  return std::ranges::any_of(journey.steps,
                             [&](const Step& step) { return !step.marker && step.dialect == dialect; });
}

const ruleset::Table* find_nft_table(const Rulebook& book, const Step& step) {
  for (const ruleset::Ruleset& ruleset : book.rulesets) {
    if (ruleset.backend == Backend::Legacy || ruleset.family != step.family) continue;
    if (const ruleset::Table* table = ruleset.find_table(step.table.text())) return table;
  }
  return nullptr;
}

bool same_tables(const Rulebook& a, const Rulebook& b, const Step& step) {
  const ruleset::Table* x = find_nft_table(a, step);
  const ruleset::Table* y = find_nft_table(b, step);
  return x != nullptr && y != nullptr && x->handle != 0 && x->handle == y->handle;
}

std::string_view text_of(const Step& step) {
  return step.rule != nullptr ? std::string_view(step.rule->text) : std::string_view();
}

}  // namespace

void RuleVersions::saw_generation(std::uint64_t events, std::uint32_t generation) {
  if (!generations_.empty() && generations_.back().number == generation) {
    generations_.back().last_seen = events;
    return;
  }
  generations_.push_back({kOpen, events, generation});
  if (generations_.size() > kMaxGenerations) generations_.pop_front();
}

void RuleVersions::read_all(std::uint64_t events) {
  if (!generations_.empty() && generations_.back().first_seen == kOpen)
    generations_.back().first_seen = events;
  for (Version& version : versions_) {
    if (version.first_ended == kOpen) version.first_ended = events;
  }
}

void RuleVersions::add(const ruleset::Capture& capture, std::uint64_t begun, std::uint64_t ended) {
  const std::uint32_t generation = capture.nft_exact() ? capture.generation_before : 0;
  std::string legacy = ruleset::legacy_text(capture);
  if (!versions_.empty()) {
    Version& last = versions_.back();
    // Nothing changed: the same version was still true then.
    // Without generations (no nf_tables) there is only legacy text to compare, unless nft changed while it was listed.
    const bool no_nft = capture.generation_before == 0 && capture.generation_after == 0;
    if (generation == last.generation && legacy == last.legacy && (generation != 0 || no_nft)) {
      last.last_begun = begun;
      return;
    }
    ++changes_;
  }
  Version version;
  base::Diagnostics diagnostics;
  version.book = std::make_shared<const Rulebook>(ruleset::read_capture(capture, diagnostics));
  version.legacy = std::move(legacy);
  version.generation = generation;
  version.last_begun = begun;
  version.first_ended = ended == 0 ? 0 : kOpen;  // 0: taken before anything was armed
  version.joiner = std::make_unique<Joiner>(*version.book, complain_);
  versions_.push_back(std::move(version));
  if (versions_.size() > kMaxVersions) versions_.pop_front();
}

// The generation of all its events, if it was one.
std::optional<std::uint32_t> RuleVersions::generation_of(const Journey& journey) const {
  for (const Generation& known : generations_ | std::views::reverse) {
    if (known.first_seen < journey.first_event)
      return known.last_seen >= journey.last_event ? std::optional(known.number) : std::nullopt;
  }
  return std::nullopt;
}

// The newest that was whole when the journey began.
RuleVersions::Version* RuleVersions::before(const Journey& journey) {
  Version* found = nullptr;
  for (Version& version : versions_) {
    if (version.first_ended < journey.first_event) found = &version;
  }
  return found;
}

// The oldest that was begun when the journey was over.
const RuleVersions::Version* RuleVersions::after(const Journey& journey) const {
  for (const Version& version : versions_) {
    if (version.last_begun >= journey.last_event) return &version;
  }
  return nullptr;
}
RuleVersions::Version* RuleVersions::after(const Journey& journey) {
  return const_cast<Version*>(std::as_const(*this).after(journey));
}

bool RuleVersions::ready(const Journey& journey) const {
  if (after(journey) != nullptr) return true;
  const bool legacy = has_steps_of(journey, Dialect::KernelLog);
  const bool nft = has_steps_of(journey, Dialect::NftMonitor);
  if (legacy) return false;
  if (!nft) return true;
  const auto generation = generation_of(journey);
  return generation && std::ranges::any_of(versions_, [&](const Version& version) {
           return version.generation == *generation;
         });
}

RuleVersions::Joined RuleVersions::join_with(Version& version, Journey& journey) {
  journey.rules = version.book;
  version.joiner->join(journey);
  return {.has_rules = !version.book->empty(), .misfit = version.joiner->misfit()};
}

// Was the legacy text the same in all captures from one to the other?
bool RuleVersions::legacy_held(const Version& before, const Version& after) const {
  bool between = false;
  for (const Version& version : versions_) {
    between |= &version == &before;
    if (between && version.legacy != before.legacy) return false;
    if (&version == &after) break;
  }
  return true;
}

// The rules cannot be trusted to be those that the journey met.
void RuleVersions::doubt(Journey& journey, Joined& joined, bool nft_too) {
  for (Step& step : journey.steps) {
    if (step.marker || (step.dialect != Dialect::KernelLog && !nft_too)) continue;
    const bool legacy_rule = step.dialect == Dialect::KernelLog && step.kind == trace::EventKind::Rule;
    if (step.rule == nullptr && !legacy_rule) continue;
    if (step.dialect == Dialect::KernelLog) step.did = Did::Unknown;
    step.rule = nullptr;
    step.rule_text.clear();
    step.rules_changed = joined.changed = true;
  }
  if (joined.changed) joined.misfit = false;  // it is said already
}

// `journey` was joined with `after`, `earlier` with `before`: what both agree on holds, if nothing can have lain between.
void RuleVersions::settle(Journey& journey, const Journey& earlier, const Version& before,
                          const Version& after, Joined& joined) const {
  const bool next = before.generation != 0 && after.generation == before.generation + 1;
  const bool legacy_holds = !joined.misfit && legacy_held(before, after);
  for (std::size_t i = 0; i < journey.steps.size(); ++i) {
    Step& now = journey.steps[i];
    const Step& then = earlier.steps[i];
    if (now.marker) continue;
    const bool alike = text_of(now) == text_of(then) && now.did == then.did;
    const bool no_such_rule = now.dialect == Dialect::KernelLog && now.kind == trace::EventKind::Rule;
    if (alike && now.rule == nullptr && !no_such_rule) continue;
    if (now.dialect == Dialect::NftMonitor && same_tables(*before.book, *after.book, now)) {
      // One handle, one rule; if it is gone since, its text was true.
      if (now.rule == nullptr) now.rule_text = text_of(then), now.did = then.did, now.number = 0;
      continue;
    }
    if (alike && (now.dialect == Dialect::NftMonitor ? next : legacy_holds)) continue;
    joined.changed = true;
    now.rules_changed = true;
    const auto quoted = [](const Step& step) {
      return step.rule == nullptr ? std::string("not there") : step.rule->text;
    };
    now.rule_text = alike ? "" : "before: " + quoted(then) + " · now: " + quoted(now);
    now.rule = nullptr;
    if (now.did != then.did) now.did = now.verdict == packet::Verdict::None ? Did::Unknown : now.did;
  }
}

RuleVersions::Joined RuleVersions::join(Journey& journey) {
  if (versions_.empty()) {
    static const Rulebook kNone;
    Joiner joiner(kNone, complain_);
    joiner.join(journey);
    return {};
  }
  const bool legacy = has_steps_of(journey, Dialect::KernelLog);
  Version* const then = before(journey);
  Version* const now = after(journey);
  const auto generation = generation_of(journey);
  const bool legacy_holds = !legacy || (then != nullptr && now != nullptr && legacy_held(*then, *now));
  for (Version& version : versions_) {
    if (!generation || version.generation != *generation || !legacy_holds) continue;
    if (legacy && version.legacy != now->legacy) continue;
    Joined joined = join_with(version, journey);
    if (joined.misfit) doubt(journey, joined, false);  // there and back between two captures
    return joined;
  }
  if (then == nullptr || now == nullptr || then == now) {
    Version& only = now != nullptr ? *now : then != nullptr ? *then : versions_.back();
    Joined joined = join_with(only, journey);
    // Nothing was captured on one side of it: true as far as the rules never changed.
    if (then != now && changes_ > 0) doubt(journey, joined, true);
    else if (joined.misfit) doubt(journey, joined, false);
    return joined;
  }
  Journey earlier = journey;
  (void)join_with(*then, earlier);
  Joined joined = join_with(*now, journey);
  settle(journey, earlier, *then, *now, joined);
  if (joined.changed) joined.misfit = false;  // it is said already
  return joined;
}

ruleset::Effect RuleVersions::effect_of(const Step& step) const {
  using ruleset::Effect;
  if (versions_.empty() || step.marker || step.dialect != Dialect::KernelLog) return Effect::Unknown;
  const ruleset::Ruleset* ruleset = versions_.back().book->find(step.family, Backend::Legacy);
  const ruleset::Table* table = ruleset == nullptr ? nullptr : ruleset->find_table(step.table.text());
  const ruleset::Chain* chain = table == nullptr ? nullptr : table->find_chain(step.chain.text());
  if (chain == nullptr || step.number == 0) return Effect::Unknown;
  if (step.number <= chain->rules.size()) return chain->rules[step.number - 1].effect;
  return chain->policy == packet::Verdict::Drop ? Effect::Drop : Effect::Unknown;
}

std::uint64_t RuleVersions::legacy_rules() const {
  std::uint64_t count = 0;
  if (versions_.empty()) return count;
  for (const ruleset::Ruleset& ruleset : versions_.back().book->rulesets)
    count += ruleset.backend == Backend::Legacy ? ruleset.rule_count() : 0;
  return count;
}

std::uint64_t RuleVersions::nft_rules() const {
  return versions_.empty() ? 0 : versions_.back().book->rule_count() - legacy_rules();
}

const Rulebook* RuleVersions::newest() const {
  return versions_.empty() ? nullptr : versions_.back().book.get();
}

}  // namespace fwtrace::journey
