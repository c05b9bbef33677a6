#include "trace/markers.h"

#include <algorithm>
#include <array>

namespace fwtrace::trace {
namespace {

using packet::Hook;

constexpr auto kRows = std::to_array<MarkerRow>({
    {"start", Hook::Prerouting, Marker::Start, "came in"},
    {"start-fragment", Hook::Prerouting, Marker::Start, "came in, as a later fragment"},
    {"start-original", Hook::Prerouting, Marker::Start, "came in, armed behind conntrack", true},
    {"start-sent", Hook::Output, Marker::Start, "sent from here"},
    {"start-original-sent", Hook::Output, Marker::Start, "sent from here, armed behind conntrack", true},
    {"first", Hook::Prerouting, Marker::Again, "came in again"},
    {"fragments", Hook::Prerouting, Marker::Passing, "after defragmentation"},
    {"original", Hook::Prerouting, Marker::Passing, "after conntrack"},
    {"sent", Hook::Output, Marker::Again, "sent from here again"},
    {"original-sent", Hook::Output, Marker::Passing, "after conntrack of output"},
    {"after-conntrack", Hook::Prerouting, Marker::Passing, "after conntrack"},
    {"after-dnat", Hook::Prerouting, Marker::Passing, "after DNAT"},
    {"delivered", Hook::Input, Marker::Delivered, "behind all of input"},
    {"after-output-nat", Hook::Output, Marker::Passing, "after DNAT of output"},
    {"before-snat", Hook::Postrouting, Marker::Passing, "before SNAT"},
    {"left", Hook::Postrouting, Marker::Left, "behind all of postrouting"},
});

}  // namespace

bool is_our_table(std::string_view table) {
  static constexpr std::string_view kPrefix = "fwtrace-";
  if (!table.starts_with(kPrefix) || table.size() == kPrefix.size()) return false;
  return std::ranges::all_of(table.substr(kPrefix.size()), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<MarkerRow> find_marker(std::string_view table, std::string_view chain) {
  if (!is_our_table(table)) return std::nullopt;
  const MarkerRow* const row = find_marker_row(chain);
  if (row == nullptr) return std::nullopt;
  return *row;
}

const MarkerRow* find_marker_row(std::string_view chain) {
  const auto* const row = std::ranges::find(kRows, chain, &MarkerRow::chain);
  return row == kRows.end() ? nullptr : row;
}

}  // namespace fwtrace::trace
