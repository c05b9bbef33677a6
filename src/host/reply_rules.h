// Replies through NAT as rules: what conntrack knows of the flow that a packet belongs to. Within this room only.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "host/arming_rules.h"

namespace fwtrace::host {

struct FlowRules {
  std::vector<ArmingRule> excluded;  // each ends in Accept
  std::vector<ArmingRule> required;
};

// Arms in `target` what goes in reply direction in a flow whose original tuple fits `filter`. Nothing if the filter
// says only what conntrack does not know (interfaces), or all of it is ignored: that would be every reply there is.
FlowRules original_rules(const packet::Filter& filter, const std::vector<std::size_t>& ignored,
                         const std::string& target);

// Learns the replies of requests that fit and were translated. Of protocols with ports only: others have none that a
// set could hold.
FlowRules learning_rules(const packet::Filter& filter, const std::vector<std::size_t>& ignored);

// "first" and "sent": what was learned is armed in `target`.
std::vector<ArmingRule> learned_rules(ArmingRule::End end, const std::string& target);

}  // namespace fwtrace::host
