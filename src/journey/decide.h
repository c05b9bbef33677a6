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
  bool has_rules = false;         // is there a ruleset for this journey's family
  bool doubtful_backend = false;  // it is of the other backend than the trace
  bool sent_again = false;        // the same segment was sent again later: an answer may be to that
  bool legacy_unheard =
      false;            // live: rules of iptables-legacy stand on its way, and their events do not come
  bool misfit = false;  // it does not fit this journey: its verdicts are not to be trusted
  // Walks journeys whose packets came from where the given one went, until the visitor says false; may be empty.
  std::function<void(const packet::Packet&, const std::function<bool(const Journey&)>&)> from_there;
};

void decide(Journey& journey, const Evidence& evidence);

}  // namespace fwtrace::journey
