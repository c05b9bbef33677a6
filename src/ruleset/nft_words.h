// One rule in nft's words, taken apart as far as a trace needs it: what it does with the packet at its end, its
// counters, its comment. What its conditions mean is not known here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "packet/netfilter.h"
#include "ruleset/model.h"

namespace fwtrace::ruleset {

// Text, target, effect, conditional, counters and comment of a rule. Counters are taken out of the text ("counter
// packets 3 bytes 180 drop" becomes "counter drop"), so that the same rule has the same text a second later.
// Verdict maps decide by the packet: their effect is Unknown.
Rule parse_nft_rule(std::string_view text);

// Do these words stand in the rule outside of quotes, as words of their own: "xt", "@", "{"?
bool has_nft_word(std::string_view text, std::string_view word);

// "type filter hook ingress device "d0" priority filter + 5": false if it is no such statement. Policy is a
// statement of its own.
bool parse_nft_hook(std::string_view text, packet::Family family, Chain& chain);

// "filter - 5", "dstnat", "-300". The names stand for other numbers in the bridge family.
std::optional<std::int32_t> parse_nft_priority(std::string_view text, packet::Family family);

}  // namespace fwtrace::ruleset
