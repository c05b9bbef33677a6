// One logical line of `nft monitor trace`, taken apart: "trace id 1c241ab8 inet filter input rule … (verdict …)".
//
// Written by nft's trace_print_hdr and what follows it (src/netlink.c, src/trace.c since 1.0.8). Three things can
// be misread: a rule's comment or log prefix may hold "(verdict drop)" or even "trace id 1 ip"; tables and chains
// may be named like keywords ("rule"); and the id is printed with as few digits as the version likes.
#pragma once

#include <cstdint>
#include <string_view>

#include "packet/netfilter.h"

namespace fwtrace::trace {

struct NftLine {
  enum class Kind : std::uint8_t { None, Packet, Conntrack, Rule, Verdict, Policy };
  Kind kind = Kind::None;
  packet::Family family = packet::Family::None;
  std::uint32_t id = 0;
  bool has_id = false;
  bool damaged_head = false;  // table, chain or family are not all there
  std::size_t damaged_at = 0;
  std::string_view table, chain;  // without quotes
  std::size_t payload = 0;        // offset of what follows the keyword
  std::string_view rule_text;     // without "# handle N"
  std::uint64_t handle = 0;
  packet::Verdict verdict = packet::Verdict::None;
  std::string_view target;  // of jump and goto
  std::size_t rest = 0;     // offset of what follows a verdict or policy without a rule ("meta mark 0x2a")
  bool complete = false;    // a rule, verdict or policy line with its end; headers have no end to see
};

NftLine read_nft_line(std::string_view text);  // text begins with "trace id "

// Offset of the next "trace id HEX FAMILY …" at or behind `from`, or npos; not inside a quoted string.
std::size_t find_nft_line(std::string_view text, std::size_t from);

// A word that nft could print at the start of a wrapped part of a rule.
bool is_nft_rule_word(std::string_view word);

}  // namespace fwtrace::trace
