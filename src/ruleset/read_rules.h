// Rule sources as people have them: iptables-save, `iptables -S [-v]`, `iptables -L -n -v --line-numbers`, of
// either family and backend, and `nft -a list ruleset` (nft_listing.h), whole or pasted with prose around them.
//
// One reader for all of them, told line by line what it is looking at: a paste often mixes forms. What is not a
// rule is counted; what looks like a rule and cannot be read gets a diagnostic with its column. Reading never
// fails: the caller looks at the diagnostics and at how much was found.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/diagnostic.h"
#include "ruleset/model.h"

namespace fwtrace::ruleset {

struct RulesFound {
  std::uint64_t rules = 0, chains = 0, tables = 0;
  std::uint64_t other_lines = 0;       // prose, prompts, comments: not rules, not an error
  bool legacy_tables_warning = false;  // "# Warning: iptables-legacy tables present": two backends hold rules
  bool is_nft_json = false;            // `nft -j list ruleset`: not read here
};

// Adds what `text` holds to `book`. `source` is the index of its name in Sources; `file_name` helps to guess the
// family ("rules.v6", "ip6tables.save") where the text does not say it.
RulesFound read_rules(std::string_view text, std::uint32_t source, std::string_view file_name, Rulebook& book,
                      base::Diagnostics& diagnostics);

}  // namespace fwtrace::ruleset
