// The chains of fwtrace's own nft tables ("fwtrace-1234"): their names, where they stand, and what an event of
// theirs says. host/ makes them, journey/ reads their events; a recording or an nft monitor text holds them too.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "packet/netfilter.h"

namespace fwtrace::trace {

enum class Marker : std::uint8_t {
  Start,      // armed here: the packet's way begins
  Again,      // already traced when it came in, or left, here: from lo, a bridge, or armed by somebody else
  Passing,    // was here
  Delivered,  // input, behind every chain
  Left,       // postrouting, behind every chain
};

struct MarkerRow {
  std::string_view chain;
  packet::Hook hook = packet::Hook::None;
  Marker marker = Marker::Passing;
  std::string_view place;  // in words: "after conntrack"
  bool late = false;       // Start: not where packets come in or leave; what stands before was not seen
};

// Is it a table of ours: "fwtrace-" and a number?
bool is_our_table(std::string_view table);
// The row of a chain of ours; nothing for a chain's name that we do not use (it has still no meaning for users).
std::optional<MarkerRow> find_marker(std::string_view table, std::string_view chain);
// The same for whoever makes these chains.
const MarkerRow* find_marker_row(std::string_view chain);

}  // namespace fwtrace::trace
