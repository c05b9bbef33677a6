// The path of a journey, as lines: by hook, then one line a walk of a base chain, folded to what matters; or every
// step on its own line.
//
//   prerouting  raw      PREROUTING policy ACCEPT
//               mangle   PREROUTING → PRE_public → PRE_public_allow ↩ ↩ · policy ACCEPT
//               nat      PREROUTING rule 1 → PREROUTING_direct rule 1   DNAT 10.32.105.30:80 ⇒ 192.168.101.10:80
//   routing     forward to virbr1 (ttl 59 → 58)
//   forward     filter   FORWARD rule 7   REJECT ✗
//
// "→" enters a chain, "↩" leaves it. A jump names its rule only if something happened in the chain it leads to.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/place.h"
#include "journey/journey.h"
#include "report/wrap.h"

namespace fwtrace::report {

// What changed in the headers, and the step it is told with. Changes that no step of the trace accounts for are
// told between the walks, before the step.
struct Change {
  std::uint32_t step = 0;
  bool before = false;   // no step did it
  bool rewrite = false;  // an address or port changed
  std::string text;      // "mark 0x0 ⇒ 0x100", "DNAT 10.32.105.30:80 ⇒ 192.168.101.10:80"
};
// The step before this one in the same layer: a frame's way through a bridge goes round its way through IP. Null if none.
const journey::Step* step_before(const journey::Journey& journey, std::uint32_t i);

std::vector<Change> find_changes(const journey::Journey& journey);  // in order of step

// The steps [first, last) of one walk of a base chain, folded: "FORWARD → FORWARD_direct ↩ · policy ACCEPT".
std::string print_walk(const journey::Journey& journey, std::uint32_t first, std::uint32_t last,
                       std::span<const Change> changes);

// "rule 7", "rules 1, 2, 5 to 9": numbers in the order of the trace, runs of at least three in a row shortened.
std::string print_numbers(std::span<const std::uint64_t> numbers, std::string_view singular,
                          std::string_view plural);

struct PathStyle {
  bool every_step = false;
  int width = 0;
  Paint paint;
};
void append_path(std::string& out, const journey::Journey& journey, const base::Sources& sources,
                 PathStyle style);

}  // namespace fwtrace::report
