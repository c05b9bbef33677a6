// The rules of a running machine over time, so that each step shows the text that was true at its event.
//
// Captures (ruleset/capture.h) are taken while events come in; both are put on one scale, the count of events read.
//   nft      counts generations. If the generation was the same before a journey's first event and behind its last, the
//            capture of that generation is exact. Else a rule is known by its table's handle and its own: the kernel
//            gives neither out twice, so a text found before or after is true if both captures hold the same table.
//            If the table is another one behind it, all that is known is what both captures agree on, and that only if
//            there was no generation between the two.
//   legacy   counts nothing. Its text is shown if the captures before and behind the journey agree, and fit it; else
//            both are.
// Where that does not settle it, the step says "rules changed", and has no text that might be false.
//
// What an event's number says about time: events up to the count at some moment happened before it. Those behind that
// count did not all happen after it, for they may have been queued: only when the queue has been read to its end once
// more (read_all) is it known which came after.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "journey/join.h"
#include "journey/journey.h"
#include "ruleset/capture.h"

namespace fwtrace::journey {

class RuleVersions {
 public:
  explicit RuleVersions(Joiner::Complain complain) : complain_(std::move(complain)) {}

  // nft's generation was this when `events` events had been read.
  void saw_generation(std::uint64_t events, std::uint32_t generation);
  // Taken while the count of events went from `begun` to `ended`.
  void add(const ruleset::Capture& capture, std::uint64_t begun, std::uint64_t ended);
  // `events` are read, and among them all that happened before the calls made until now.
  void read_all(std::uint64_t events);
  bool empty() const { return versions_.empty(); }
  // Can the journey be joined with all that there ever will be to know? Else a capture that begins now is wanted.
  bool ready(const Journey& journey) const;

  struct Joined {
    bool has_rules = false;
    bool misfit = false;
    bool changed = false;  // at least one step's rule is not known because the rules changed
  };
  Joined join(Journey& journey);

  // What the rule of this legacy step does, by the newest capture.
  ruleset::Effect effect_of(const Step& step) const;
  // Rules by the newest capture.
  std::uint64_t legacy_rules() const;
  std::uint64_t nft_rules() const;
  const ruleset::Rulebook* newest() const;
  std::uint64_t changes() const { return changes_; }  // captures that differed from the one before

 private:
  static constexpr std::uint64_t kOpen = ~std::uint64_t{0};
  struct Version {
    std::shared_ptr<const ruleset::Rulebook> book;
    std::string legacy;
    std::uint32_t generation = 0;                   // 0: not exactly one
    std::uint64_t first_ended = 0, last_begun = 0;  // first_ended: kOpen until it is known
    std::unique_ptr<Joiner> joiner;
  };
  struct Generation {
    std::uint64_t first_seen = 0, last_seen = 0;  // events read then; first_seen: kOpen until it is known
    std::uint32_t number = 0;
  };
  Version* before(const Journey& journey);
  Version* after(const Journey& journey);
  const Version* after(const Journey& journey) const;
  std::optional<std::uint32_t> generation_of(const Journey& journey) const;
  Joined join_with(Version& version, Journey& journey);
  void settle(Journey& journey, const Journey& earlier, const Version& before, const Version& after,
              Joined& joined) const;
  bool legacy_held(const Version& before, const Version& after) const;
  static void doubt(Journey& journey, Joined& joined, bool nft_too);

  Joiner::Complain complain_;
  std::deque<Version> versions_;        // at most kMaxVersions, oldest first
  std::deque<Generation> generations_;  // likewise
  std::uint64_t changes_ = 0;
};

}  // namespace fwtrace::journey
