// Which conditions of a filter may hold only after NAT: `-d 192.168.101.10` where a rule translates to that address.
// Tracing is armed before NAT, where such a condition cannot be tested. So it is left out there, and asked again of
// the whole journey (ArmingWish::after_nat).
//
// From the text of the rules alone: what a NAT rule can make of a packet is compared with the filter; which packets
// get to the rule is not asked. A target that is not a plain address or port (a map, a set, an unknown extension) may
// make anything. Negated conditions must hold for every form of the packet, so also for the first: they are never
// meant here.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "packet/address.h"
#include "packet/filter.h"
#include "ruleset/model.h"

namespace fwtrace::host {

// Indices of conditions, ascending. `own` are this machine's addresses: what masquerade and redirect translate to.
std::vector<std::size_t> find_after_nat(const packet::Filter& filter, const ruleset::Rulebook& book,
                                        std::span<const packet::IpAddress> own);

// Of the calling thread's namespace (getifaddrs(3)).
base::Result<std::vector<packet::IpAddress>> find_own_addresses();

}  // namespace fwtrace::host
