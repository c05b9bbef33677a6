// Deciding: how the journey ended, which step decided, and the sentence why.
//
// Evidence, strongest first: a step that dropped; a step that accepted at the last place the packet can meet;
// silence where a table that speaks for every packet would have spoken (seen.h); an answer that only the
// receiver can have sent. Where all of it together does not decide, the outcome is Undecided (the record is
// whole) or Incomplete (it is not), with what most likely happened and what would settle it.
#pragma once

#include <functional>

#include "base/diagnostic.h"
#include "journey/journey.h"
#include "journey/seen.h"

namespace fwtrace::journey {

struct Evidence {
  const Seen* seen = nullptr;
  bool has_rules = false;        // is there a ruleset for this journey's family
  bool doubtful_backend = false; // it is of the other backend than the trace
  bool misfit = false;           // it does not fit this journey: its verdicts are not to be trusted
  // Walks the journeys that began later, until the visitor says false; may be empty.
  std::function<void(const std::function<bool(const Journey&)>&)> later;
};

void decide(Journey& journey, const Evidence& evidence);

// Does `later` answer `asked`: the reverse flow, acknowledging or replying to just this packet?
bool is_answer(const Journey& asked, const Journey& later);

}  // namespace fwtrace::journey
