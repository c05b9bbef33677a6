// Journey: what happened to one packet: its ordered steps, the forms it took, and how it ended.
//
// THE structure of fwtrace. An observed run and a predicted run both yield it, so every report serves both.
// It is filled in three passes, each in its own file of this room:
//   group    events → journeys with steps and forms              (group.h)
//   join     each step → the rule it speaks of, and what that step did   (join.h)
//   decide   the outcome, and the sentence why                    (decide.h)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "base/place.h"
#include "base/stamp.h"
#include "packet/netfilter.h"
#include "packet/packet.h"
#include "ruleset/model.h"
#include "trace/event.h"
#include "trace/markers.h"

namespace fwtrace::journey {

// What a step did to the packet, once the trap table of the legacy log (facts: netfilter trace) has been read
// with the chain's length. Unknown is an answer: without a ruleset a legacy line often does not say.
enum class Did : std::uint8_t {
  Unknown,
  Continue,  // matched, and went on to the next rule
  Jump,
  Goto,      // into another chain
  Return,    // an explicit RETURN
  ChainEnd,  // fell off the end of a user chain: implicit return
  Accept,
  Drop,
  Reject,
  Queue,
  Stolen,  // by a rule
  PolicyAccept,
  PolicyDrop,     // by the chain's policy
  PolicyUnknown,  // the policy spoke; what it said is not known
  Headers,        // nothing: the headers at the start of a base chain's walk
};
std::string_view to_text(Did did);
bool is_final(Did did);  // ends the walk of its table: accept, drop, policy …
bool is_accept(Did did);
bool is_drop(Did did);  // Drop, Reject, PolicyDrop

struct Step {
  trace::Dialect dialect = trace::Dialect::KernelLog;
  trace::EventKind kind = trace::EventKind::Rule;
  // A chain of our own arming table: the packet was here, and looked so. `did` is then Headers.
  std::optional<trace::Marker> marker;
  Did did = Did::Unknown;
  packet::Hook hook = packet::Hook::None;
  packet::Family family = packet::Family::None;
  packet::Verdict verdict = packet::Verdict::None;  // as the trace said it
  bool continues_at_end = false;                    // nft: a chain's end without a rule
  std::uint16_t depth = 0;                          // chains deep: 0 in the base chain
  std::uint32_t number = 0;                         // legacy rule number; 0 = not said
  std::uint64_t handle = 0;
  base::Name table, chain, target_chain;
  std::uint32_t form = 0;  // index into Journey::forms: the headers at this moment
  std::uint32_t trace_id = 0;
  bool has_trace_id = false;
  base::Stamp time;
  base::Place place;
  const ruleset::Rule* rule = nullptr;  // the rule it speaks of, in a Rulebook that outlives us
  std::string rule_text;                // as the trace itself printed it (nft, xtables-monitor)
  bool rules_changed = false;           // live: the rules changed meanwhile; rule_text tells both
};

// An address or port rewrite seen between two steps.
struct Rewrite {
  bool destination = false;  // DNAT, REDIRECT, de-SNAT; else source
  std::uint32_t from_form = 0, to_form = 0;
  std::uint32_t after_step = 0;  // the last step that still saw the old one
  std::uint32_t by_step = 0;     // the step that did it, if that is known
  bool by_known = false;         // else: conntrack (a reply), or a rule the trace does not show
};

enum class OutcomeKind : std::uint8_t {
  Dropped,
  Rejected,
  Delivered,  // to this machine
  Forwarded,
  Sent,
  Queued,      // given to user space
  Stolen,      // taken out of the normal way: nft fwd, synproxy …
  Lost,        // no rule dropped it, yet the next hook never came
  Undecided,   // the record is whole, but it does not say the verdict
  Incomplete,  // the record is not whole: starts late, stops early, events lost
};
std::string_view to_text(OutcomeKind kind);  // "dropped", "rejected", …

struct Outcome {
  OutcomeKind kind = OutcomeKind::Undecided;
  std::optional<OutcomeKind> likely;  // for Undecided and Incomplete: what most likely happened
  std::optional<std::uint32_t> step;  // the deciding step; for the open kinds the last step seen
  std::string because;                // one sentence, lower case, no full stop
  std::vector<std::string> assumes;   // what we took for granted without seeing it
};

struct Journey {
  trace::Dialect dialect =
      trace::Dialect::KernelLog;                 // of its first step; steps of a live journey have their own
  packet::Family family = packet::Family::None;  // Ip, Ip6, Arp, Bridge: of the packet
  base::Name host;
  std::vector<packet::Packet> forms;  // distinct headers in order of appearance; may be empty
  std::vector<Step> steps;            // never empty
  std::vector<Rewrite> rewrites;

  bool starts_late = false;     // the first step cannot have been the packet's first
  std::string starts_late_why;  // "the first line is mangle PRE_public rule 3, inside a user chain"
  bool ends_early = false;      // the input ended, or was cut, while this was going on
  bool overlaps_loss = false;   // events were lost while this was going on
  bool loss_inside = false;     // and events of it came after that loss: steps may be missing in the middle
  bool damaged = false;         // at least one of its lines was damaged
  bool looped = false;          // went out by lo and came in again: one packet, two passes
  std::uint64_t copy_of = 0;    // the serial of the packet that a bridge copied to another port; 0 = none
  std::uint64_t serial = 0;     // 1, 2, 3 … in order of the first event
  // Live tracing, and recordings of it. `armed`: it begins where we armed it; else some other rule did, or that event
  // was lost. `armed_late`: behind conntrack, so that raw before it was not seen. `answers`: the serial of the packet
  // that it is a reply to; 0 = none known.
  bool live = false, armed = false, armed_late = false;
  bool marked = false;  // our markers stand at every hook, so what they did not see did not get there
  std::uint64_t answers = 0;
  std::uint64_t first_event = 0, last_event = 0;   // counted from 1 over the whole run
  std::shared_ptr<const ruleset::Rulebook> rules;  // keeps what the steps' rules point to

  Outcome outcome;

  // The first headers that tell both ends, or else the first.
  const packet::Packet* first_form() const {
    for (const packet::Packet& form : forms) {
      const bool from = !form.source.empty() || !form.source_text.empty();
      const bool to = !form.destination.empty() || !form.destination_text.empty();
      if (from && to) return &form;
    }
    return forms.empty() ? nullptr : &forms.front();
  }
  const packet::Packet* last_form() const { return forms.empty() ? nullptr : &forms.back(); }
};

}  // namespace fwtrace::journey
