// How deciding calls things in its sentences. Within this room only.
#pragma once

#include <string>
#include <string_view>

#include "base/names.h"
#include "journey/journey.h"
#include "journey/seen.h"

namespace fwtrace::journey {

std::string text(base::Name name);
std::string upper(packet::Hook hook);
// "rule 7 of FORWARD", "the policy of FORWARD", "a rule of fw"
std::string entry_name(const Step& step);
// "filter INPUT or FORWARD"
std::string next_name(const Seen::Next& next);
// The chains a packet fell out of on its way to the policy: "FORWARD, FORWARD_direct".
std::string fell_out_of(const Journey& journey, const Step& policy);
// One of iptables' tables that people do not filter in.
bool hardly_filters(std::string_view table);

}  // namespace fwtrace::journey
