// Words: what the reports call things, in one place: the marks and words of verdicts, how a rule, an end point and
// a device are named. Everything that came from outside leaves here safe to show (base::to_printable).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "journey/journey.h"

namespace fwtrace::report {

// Lost, Undecided, Incomplete: the step of such an outcome is the last one seen, not the one that decided.
bool is_open(journey::OutcomeKind kind);
std::string_view mark_of(journey::OutcomeKind kind);       // "✗", "✓", "?", "→"
std::string_view verdict_word(journey::OutcomeKind kind);  // "REJECTED"
std::string_view json_word(journey::Did did);              // "policy_accept": snake case, stable

void append_printable(std::string& out, std::string_view text);
void append_number(std::string& out, std::uint64_t number);
void append_hex(std::string& out, std::uint64_t number, int digits = 1);  // at least so many digits, no "0x"

// The rule's own text: as its owner wrote it if a ruleset is known, else as the trace printed it; "" if neither.
std::string_view rule_text(const journey::Step& step);

// The same for where there is little room: counters left out, at most 40 columns; safe to show.
std::string short_rule_text(const journey::Step& step);
// Where a jump or goto leads; "" if not known.
std::string_view target_of(const journey::Step& step);

// Does the step speak of an iptables chain (then words are upper case: ACCEPT) or of an nft one (accept)?
bool is_iptables(const journey::Step& step);
// A live journey may meet a table "filter" of iptables-legacy and one of iptables-nft: then each is named by its backend,
// " legacy" or " nft"; else "".
std::string_view backend_word(const journey::Journey& journey, const journey::Step& step);

// "ACCEPT", "MASQUERADE", "drop"; "" for steps that end nothing or whose verdict is not known. For the policies the
// verdict alone.
std::string final_word(const journey::Step& step);
bool is_policy(journey::Did did);

// The step an outcome points at; null if none.
const journey::Step* deciding_step(const journey::Journey& journey);

// "10.0.0.1:80", "[fd00::1]:80", "10.0.0.1"; "" if the address is not known.
std::string print_endpoint(const packet::IpAddress& address, packet::Maybe<std::uint16_t> port);

// How the packet came and left: "em1 → virbr1", "in em1, to this machine", "out eth0"; "" if not known.
void append_devices(std::string& out, const journey::Journey& journey);

// "✗ REJECTED", "? LOST after nat PREROUTING", "? INCOMPLETE (log starts late; most likely dropped)".
void append_verdict(std::string& out, const journey::Journey& journey);

// "1 s", "1.5 s", "204 ms", "15 µs".
std::string print_interval(std::int64_t us);

}  // namespace fwtrace::report
