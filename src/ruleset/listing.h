// `iptables -L [-n] [-v] [-x] [--line-numbers]`: chain headers, column headers and rule lines, and the way back
// from a listed rule to iptables words.
//
// A listing shows less than -S does (addresses without "/32", interfaces only with -v), and every match in words
// of its own. What is certain is put back into iptables words; from the first thing that is not, the rest stands
// in the rule's text as it was listed: "/* listed as: tcp flags:0x17/0x02 */".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ruleset/model.h"

namespace fwtrace::ruleset {

// "Chain FORWARD (policy DROP 1 packets, 4028 bytes)", "Chain svc (2 references)". Place and hook are left alone.
bool parse_listed_chain(std::string_view line, Chain& chain);

struct ListedColumns {
  bool known = false;  // false: a header line was not seen; each line is tried in every form
  bool numbers = false, counters = false, interfaces = false;
};
// "num   pkts bytes target     prot opt in     out     source               destination"
bool parse_listed_columns(std::string_view line, ListedColumns& columns);

enum class Listed { Rule, Damaged, Other };  // Damaged: has the marks of a rule line and cannot be read
// `rule.number` is 0 if the line does not show it. Effect is Goto or Continue, to be resolved.
Listed parse_listed_rule(std::string_view line, std::string_view chain, const ListedColumns& columns,
                         Rule& rule);

// What stands behind the addresses, put into iptables words (listing_matches.cpp).
struct ListedRest {
  std::string matches;    // "-m tcp --dport 80 -m comment --comment \"x\"", "" for none
  std::string options;    // of the target: "--reject-with tcp-reset"
  std::string as_listed;  // what could not be put into words
  std::string comment;
};
ListedRest translate_listed_rest(std::string_view rest, std::string_view target);

}  // namespace fwtrace::ruleset
