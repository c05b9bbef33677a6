// Is connection tracking on in this network namespace, for which IP version? It is on while somebody holds it: a rule
// with a ct match, any NAT rule, … A rule of ours with a `ct` expression would be such a somebody, so it may be put in
// only where another one is.
//
// What does not tell: the entries in /proc/net/nf_conntrack and their number. They stay, for up to five days, after
// conntrack was switched off (seen on Linux 6.18).
#pragma once

#include <optional>

#include "host/arming_rules.h"
#include "ruleset/model.h"

namespace fwtrace::host {

// By the hooks that are registered (kernel: nfnetlink_hook, 5.14 and later), which is exact. Nothing where the kernel
// does not list them or does not name them.
std::optional<Conntrack> find_conntrack_hooks();

// By the rules that are in: each of these holds conntrack on. True is certain, if `book` is what is in now; false may
// be wrong, as others than rules can hold it on (ipvs, openvswitch, tc).
Conntrack find_conntrack(const ruleset::Rulebook& book);

// The first if it tells, else the second.
Conntrack find_conntrack_here(const ruleset::Rulebook& book);

}  // namespace fwtrace::host
