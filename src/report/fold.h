// Retransmit folding: TCP segments sent again that met the same fate are one block, "×4, after 1 s 2 s 4 s".
//
// A segment is another's repetition if everything that TCP repeats is equal (flow, sequence and acknowledgement
// numbers, flags, length), and it took the same steps to the same outcome. Only TCP says when a packet is a
// repetition, so nothing else folds. Journeys are held back, the latest kHeld, in order: memory is bounded.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "journey/journey.h"

namespace fwtrace::report {

struct Folded {
  journey::Journey journey;  // the first of them
  std::uint64_t times = 1;
  std::vector<std::int64_t> gaps_us;  // between one and the next; at most kGaps
  bool gaps_known = true;             // all times are known and run forwards
  bool seconds_only = false;          // the times have no fraction
  static constexpr std::size_t kGaps = 8;
};

class RetransmitFold {
 public:
  static constexpr std::size_t kHeld = 32;

  // Takes the journey in; gives the oldest one back once there are more than kHeld.
  std::optional<Folded> add(const journey::Journey& journey);
  std::optional<Folded> take();  // the oldest; nothing once empty
  // For who cannot wait: what this journey repeats, with it counted in, or null; then it is remembered.
  const Folded* find_repeated(const journey::Journey& journey);

 private:
  Folded* repeat(const journey::Journey& journey, std::uint64_t hash);
  struct Held {
    std::uint64_t hash = 0;  // 0: cannot be repeated
    base::Stamp last;        // when its latest repetition began
    Folded folded;
  };
  std::deque<Held> held_;
};

// "×4, after 1 s 2 s 4 s", "×4", or "" for a journey that was not repeated.
std::string print_repetitions(const Folded& folded);

}  // namespace fwtrace::report
