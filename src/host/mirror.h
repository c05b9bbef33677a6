// The mirror image of a filter: what the replies to its packets look like, as far as that can be said.
#pragma once

#include <optional>
#include <vector>

#include "packet/filter.h"

namespace fwtrace::host {

struct Mirrored {
  packet::Filter filter;
  std::vector<std::size_t>
      ignored;  // indices in it: conditions that cannot be told of a reply (marks, after NAT)
};

// Nothing if such packets have no replies (`--icmp-type redirect`).
std::optional<Mirrored> mirror(const packet::Filter& filter, const std::vector<std::size_t>& after_nat);

}  // namespace fwtrace::host
