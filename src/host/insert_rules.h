// The third rung's rules: an ArmingPlan in the words of iptables-legacy, for the user's raw table.
//
//   PREROUTING 1   -m comment --comment fwtrace-12 -m time --datestop … -j fwtrace-12-in
//   OUTPUT 1       the same, -j fwtrace-12-out
//   fwtrace-12-in, -out   the plan's chains "first" and "sent"
//   fwtrace-12-arm        counts, spends the rate limit, TRACE
//
// So each built-in chain has one rule more, whatever the filter is, and renewing the time limit touches that rule only.
// What nft ends with `accept` returns here: an ACCEPT would pass by the user's own raw rules. Raw comes after
// defragmentation, so there is no chain of its own for later fragments.
//
// iptables cannot look into the packet that an ICMP error quotes, so these errors are not armed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/arming_rules.h"

namespace fwtrace::host {

struct RawRules {
  std::vector<std::string> chains;  // to be made
  std::vector<std::string> rules;   // "-A CHAIN words", a jump behind the chain it leads to
  bool arms = false;                // false: the filter is not about this IP version
  bool without_errors = false;      // ICMP errors were left out
};
// `name` is "fwtrace-12". Words never need quoting.
RawRules to_raw_rules(const ArmingPlan& plan, packet::IpVersion version, const std::string& name);

// The rule of the chain "fwtrace-12-arm" that spends the limit, without "-A CHAIN". kernel: xt_limit cannot do more
// than 10,000 a second.
std::string raw_limit_rule(std::uint32_t rate, std::uint32_t burst);
// The words behind "-I PREROUTING 1" of the rule that leads to our chains until `stop`, seconds since 1970.
std::string raw_entry_rule(const std::string& name, std::string_view suffix, std::int64_t stop);

// What takes the rules of `name` out again, worked out from what iptables-save prints of the raw table: lines for
// iptables-restore, none if nothing of ours is there. `entries_only`: only what leads to our chains.
std::vector<std::string> removal_of(std::string_view saved, const std::string& name, bool entries_only);

}  // namespace fwtrace::host
