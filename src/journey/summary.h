// Summary: what a whole run held, in counts that add up. Its size does not grow with the input.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/diagnostic.h"
#include "journey/journey.h"
#include "trace/event.h"

namespace fwtrace::journey {

inline constexpr std::size_t kOutcomeKinds = 10;

struct Summary {
  // Journeys. `journeys` counts all; `shown` those that passed the user's filter.
  std::uint64_t journeys = 0, shown = 0;
  // Of the shown ones:
  std::uint64_t would_need_rules = 0;  // shown, left open, and a ruleset would tell
  std::uint64_t starts_late = 0, ends_early = 0, overlap_loss = 0, damaged = 0;
  std::array<std::uint64_t, kOutcomeKinds> outcomes{};  // of the shown ones, by OutcomeKind

  // The rules that decided, of the shown ones, most frequent first once sorted().
  struct Decider {
    std::string where;  // "filter FORWARD rule 7"
    std::string rule;   // its text, "" if not known
    OutcomeKind kind{};
    std::uint64_t count = 0;
  };
  static constexpr std::size_t kMaxDeciders = 4096;
  std::unordered_map<std::string, Decider> deciders;
  std::uint64_t deciders_not_kept = 0;
  std::vector<Decider> sorted() const;

  // Live tracing.
  bool live = false;
  std::uint64_t matched = 0, armed = 0;  // packets, by the counters of the arming rules
  std::uint64_t started = 0,
                unstarted = 0;  // packets of ours seen: from where we armed them; without that, by a loss
  std::uint64_t foreign = 0;    // packets that other rules than ours traced
  // Armed packets of which no event came.
  std::uint64_t wholly_lost() const { return armed > started + unstarted ? armed - started - unstarted : 0; }

  // Input.
  std::uint64_t events = 0;                               // events read
  std::uint64_t clock_forwards = 0, clock_backwards = 0;  // between neighbouring events with a time
  std::uint64_t bytes = 0, lines = 0;
  std::array<std::uint64_t, trace::kLineKinds> line_kinds{};
  std::uint64_t lost_lines = 0;           // exactly counted
  bool losses_counted = false;            // the source shows every loss: kmsg sequence numbers
  std::uint64_t losses_uncounted = 0;     // notes that some were lost, without a number
  std::vector<trace::Loss> first_losses;  // at most 8
  base::Diagnostics diagnostics;

  void add(const Journey& journey, bool is_shown);
  void add(const trace::Loss& loss);
};

// "filter FORWARD rule 7", "filter INPUT policy", "inet fw forward handle 12": what people call a step.
std::string print_where(const Step& step);

}  // namespace fwtrace::journey
