// Two records of one packet in one journey: what came by netlink, with our markers, and what iptables-legacy said in
// the kernel log. The two queues have no common clock, so the steps are put together by where they stand: by hook and
// priority, which is the order in which the packet met them.
#pragma once

#include "journey/journey.h"
#include "ruleset/model.h"

namespace fwtrace::journey {

// Are they of one packet? By the headers that both begin with.
bool is_same_packet(const Journey& marked, const Journey& logged);

// Puts the steps of `logged` into `marked`. `rules` may be null: then nft chains stand where the step before them does.
void merge_logged(Journey& marked, Journey&& logged, const ruleset::Rulebook* rules);

}  // namespace fwtrace::journey
