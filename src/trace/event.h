// Event: one thing the kernel said about one packet: "it met this rule", "this chain ended", "the policy spoke".
//
// Every dialect (kernel log, nft monitor trace, xtables-monitor, later netlink and recordings) is turned into
// Events by its reader; nothing behind this header knows dialects. A legacy log line carries no verdict; an nft
// line carries no rule number; what is not said is empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/diagnostic.h"
#include "base/names.h"
#include "base/place.h"
#include "base/stamp.h"
#include "packet/netfilter.h"
#include "packet/packet.h"

namespace fwtrace::trace {

enum class Dialect : std::uint8_t { KernelLog, NftMonitor, XtablesMonitor };
std::string_view to_text(Dialect dialect);  // "kernel", "nft", "xtables" (the words of --from)

// What was reported. The words are those of the legacy log; the trap table of what they really mean is
// journey/join.h's business, not the reader's.
enum class EventKind : std::uint8_t {
  Rule,     // a matching rule
  Return,   // legacy "return:N", nft end-of-chain
  Policy,   // legacy "policy:N", nft policy
  Headers,  // nft "packet:", xtables-monitor "PACKET:": the headers alone, at the start of a base chain's walk
};
std::string_view to_text(EventKind kind);  // "rule", "return", "policy", "packet"

struct Event {
  Dialect dialect = Dialect::KernelLog;
  EventKind kind = EventKind::Rule;
  packet::Family family = packet::Family::None;  // of the chain (nft), or of the packet (legacy)
  packet::Hook hook = packet::Hook::None;  // live legacy events: where, in user chains too; else not said
  packet::Verdict verdict = packet::Verdict::None;
  packet::Maybe<std::uint32_t> mark;  // live nft events: the packet's mark behind this step, 0 if it has none
  bool continues_at_end = false;      // nft "verdict continue" without a rule: the end of a chain
  base::Place place;
  base::Stamp time;
  base::Name host;
  base::Name table, chain;
  base::Name target_chain;     // of a jump or goto verdict
  std::uint32_t number = 0;    // legacy rule number, counted from 1; 0 = not said
  std::uint64_t handle = 0;    // nft handle; 0 = not said
  std::uint32_t trace_id = 0;  // as nft prints it, in host order of the printed hex; see has_trace_id
  bool has_trace_id = false;
  std::string_view rule_text;  // the rule as the trace printed it; valid during the call
  // The headers at this moment, valid during the call; null when the event carries none (nft rule lines).
  const packet::Packet* packet = nullptr;
  // Equal non-zero form numbers from one reader mean equal *packet: lets a reader's memo save comparisons.
  std::uint64_t form = 0;
};

// What a run of input held besides events. Kinds are counted by name; nothing is lost without a count.
enum class LineKind : std::uint8_t {
  Trace,         // at least one event came of it
  Log,           // a LOG/NFLOG/nft-log line of netfilter, without TRACE
  Continuation,  // a wrapped part, joined to the line before
  Foreign,       // none of ours
  Blank,
  Header,      // "-- Logs begin at …", "-- Boot …": the tool's own words
  LossNote,    // the logger says that it lost lines
  RepeatNote,  // "last message repeated 3 times"
  Damaged,     // meant to be a trace line, but not readable at all: has a diagnostic
};
inline constexpr std::size_t kLineKinds = 9;
std::string_view to_text(LineKind kind);

// Lines known to be lost: by the reader from kmsg sequence gaps, or said by the logger.
struct Loss {
  base::Place place;
  base::Name host;
  base::Stamp time;
  std::uint64_t lines = 0;  // exact; 0 = some, the source does not say how many
  std::string reason;       // "kmsg sequence gap", "journald: missed kernel messages" …
};

// Where readers put what they read. A seam: live, file, test and fuzzer each have one.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void event(const Event& event) = 0;
  virtual void loss(const Loss& loss) = 0;
  virtual void diagnostic(base::Diagnostic diagnostic) = 0;
};

}  // namespace fwtrace::trace
