#include "host/mirror.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace fwtrace::host {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;
constexpr auto kSwapped = std::to_array<Pair>({
    {"source", "destination"},
    {"source-port", "destination-port"},
    {"in-interface", "out-interface"},
});

struct Answered {
  std::string_view option;
  std::uint8_t request, reply;
};
constexpr auto kIcmpAnswers = std::to_array<Answered>({
    {"icmp-type", 8, 0},        // echo
    {"icmp-type", 13, 14},      // timestamp
    {"icmp-type", 15, 16},      // information
    {"icmp-type", 17, 18},      // address mask
    {"icmpv6-type", 128, 129},  // echo
    {"icmpv6-type", 133, 134},  // router
    {"icmpv6-type", 135, 136},  // neighbour
});

}  // namespace

std::optional<Mirrored> mirror(const packet::Filter& filter, const std::vector<std::size_t>& after_nat) {
  Mirrored mirrored{.filter = filter, .ignored = after_nat};
  for (std::size_t i = 0; i < mirrored.filter.conditions.size(); ++i) {
    packet::FilterCondition& c = mirrored.filter.conditions[i];
    if (c.option == "mark") {
      if (!c.negated) mirrored.ignored.push_back(i);
      continue;
    }
    if (c.option == "icmp-type" || c.option == "icmpv6-type") {
      const auto answer = std::ranges::find_if(kIcmpAnswers, [&](const Answered& row) {
        return row.option == c.option && (row.request == c.number || row.reply == c.number);
      });
      if (answer == kIcmpAnswers.end()) {
        if (!c.negated) return std::nullopt;
        continue;  // not redirects: nor is any reply one
      }
      c.number = answer->request == c.number ? answer->reply : answer->request;
      continue;
    }
    for (const auto& [one, other] : kSwapped) {
      if (c.option == one) {
        c.option = other;
      } else if (c.option == other) {
        c.option = one;
      }
    }
  }
  return mirrored;
}

}  // namespace fwtrace::host
