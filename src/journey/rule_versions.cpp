#include "journey/rule_versions.h"

#include <algorithm>
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
  generations_.push_back({events, events, generation});
  if (generations_.size() > kMaxGenerations) generations_.pop_front();
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
      last.last_begun = begun, last.last_ended = ended;
      return;
    }
    ++changes_;
  }
  Version version;
  base::Diagnostics diagnostics;
  version.book = std::make_shared<const Rulebook>(ruleset::read_capture(capture, diagnostics));
  version.legacy = std::move(legacy);
  version.generation = generation;
  version.first_begun = version.last_begun = begun;
  version.first_ended = version.last_ended = ended;
  version.joiner = std::make_unique<Joiner>(*version.book, complain_);
  versions_.push_back(std::move(version));
  if (versions_.size() > kMaxVersions) versions_.pop_front();
}

// The generation of all its events, if it was one.
std::optional<std::uint32_t> RuleVersions::generation_of(const Journey& journey) const {
  for (auto known = generations_.rbegin(); known != generations_.rend(); ++known) {
    if (known->first_seen < journey.first_event)
      return known->last_seen >= journey.last_event ? std::optional(known->number) : std::nullopt;
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

// `journey` was joined with `after`, `earlier` with `before`: what both agree on holds.
void RuleVersions::settle(Journey& journey, const Journey& earlier, const Version& before,
                          const Version& after, Joined& joined) {
  for (std::size_t i = 0; i < journey.steps.size(); ++i) {
    Step& now = journey.steps[i];
    const Step& then = earlier.steps[i];
    if (now.marker || (text_of(now) == text_of(then) && now.did == then.did)) continue;
    if (now.dialect == Dialect::NftMonitor && same_tables(*before.book, *after.book, now)) {
      if (now.rule != nullptr && then.rule != nullptr) continue;  // one handle, one rule
      if (now.rule == nullptr) {
        // The rule is gone since. Its text was true; the book that holds it must live as long as the journey.
        now.rule_text = text_of(then), now.did = then.did, now.number = 0;
      }
      continue;
    }
    joined.changed = true;
    now.rules_changed = true;
    const auto quoted = [](const Step& step) {
      return step.rule == nullptr ? std::string("not there") : step.rule->text;
    };
    now.rule_text = "before: " + quoted(then) + " · now: " + quoted(now);
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
  for (Version& version : versions_) {
    const bool nft_exact = generation && version.generation == *generation;
    if (nft_exact && (!legacy || (then != nullptr && now != nullptr && then->legacy == now->legacy &&
                                  version.legacy == now->legacy)))
      return join_with(version, journey);
  }
  if (then == nullptr || now == nullptr || then == now) {
    Version& only = now != nullptr ? *now : then != nullptr ? *then : versions_.back();
    return join_with(only, journey);
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
  for (const Version* version = versions_.empty() ? nullptr : &versions_.back(); version != nullptr;
       version = nullptr) {
    for (const auto& ruleset : version->book->rulesets)
      count += ruleset.backend == Backend::Legacy ? ruleset.rule_count() : 0;
  }
  return count;
}

std::uint64_t RuleVersions::nft_rules() const {
  return versions_.empty() ? 0 : versions_.back().book->rule_count() - legacy_rules();
}

const Rulebook* RuleVersions::newest() const {
  return versions_.empty() ? nullptr : versions_.back().book.get();
}

}  // namespace fwtrace::journey
