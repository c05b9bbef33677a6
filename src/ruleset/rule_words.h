// One line of iptables words ("-A FORWARD -i br0 -m comment --comment "x" -j ACCEPT"), taken apart as far as a
// trace needs it: operation, chain, target, whether there is any condition, counters, comment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ruleset/model.h"

namespace fwtrace::ruleset {

// iptables-restore's own splitting: blanks separate, "…" keeps them, a backslash escapes within quotes only.
// Shell adds '…', backslashes anywhere, and an end at `#`, `;`, `|`, `&&` or a redirection.
enum class Quoting { Restore, Shell };

// Puts the words, still quoted, into `words` (cleared first). False if a quote is never closed; then
// `open_quote` is its offset in `line`.
bool split_quoted(std::string_view line, Quoting quoting, std::vector<std::string_view>& words,
                  std::size_t& open_quote);
std::string unquote(std::string_view word, Quoting quoting);

enum class Operation { None, Append, Insert, Delete, Replace, Policy, NewChain, DeleteChain, Flush, Other };
Operation operation_of(std::string_view word);  // "-A", "--append" → Append; None for any other word

struct RuleWords {
  Operation operation = Operation::None;
  std::string_view chain;      // "" if there is none
  std::uint32_t position = 0;  // of -I, -D, -R; 0 = not said
  std::string_view policy;     // of -P: "ACCEPT"
  Rule rule;  // text, target, effect (Goto, else Continue until resolved), conditional, counters, comment
  std::string problem;  // why the line cannot be read; then `at` is the offset in the line
  std::size_t at = 0;
};

// `line` begins at the operation. `words` is memory to reuse. Counters ("-c 1 60") are taken out of the text.
void parse_rule_words(std::string_view line, Quoting quoting, std::vector<std::string_view>& words,
                      RuleWords& out);

}  // namespace fwtrace::ruleset
