// The state of reading one text of rules: what was said of what follows, and the drafts being filled.
// read_rules.cpp tells lines apart; read_rule_lines.cpp carries out the ones that hold rules.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ruleset/command_line.h"
#include "ruleset/draft.h"
#include "ruleset/listing.h"
#include "ruleset/nft_listing.h"
#include "ruleset/read_rules.h"
#include "ruleset/rule_words.h"

namespace fwtrace::ruleset {

packet::Verdict policy_of(std::string_view word);  // of "ACCEPT", "DROP"; None for the rest
bool is_policy(std::string_view word);
std::optional<Counters> parse_counters(std::string_view text);  // "[12:840]"

class Reader {
 public:
  Reader(std::uint32_t source, base::Diagnostics& diagnostics)
      : source_(source), diagnostics_(diagnostics), nft_(source, diagnostics) {}

  void read(std::string_view text, bool skip);
  RulesFound found;
  std::vector<Draft> take_drafts() { return std::move(drafts_); }
  NftListing& nft() { return nft_; }

 private:
  // What a header or a command said of what follows.
  struct Said {
    packet::Family family = packet::Family::None;
    Backend backend = Backend::Unknown;
    std::string table;
    bool one_chain = false, whole = false;
  };

  void line(std::string_view raw);
  bool nft_line(std::string_view raw, std::string_view text);
  bool known_line(std::string_view text);
  bool comment_line(std::string_view text);
  bool table_line(std::string_view text);
  bool chain_line(std::string_view text);
  bool counted_line(std::string_view text);
  bool rule_line(std::string_view text, std::optional<Counters> counters);
  bool operation(std::string_view text, Draft& draft, const std::optional<Counters>& counters);
  bool listing_line(std::string_view text);
  bool listed_rule(std::string_view text);
  bool command_line(std::string_view text);

  Draft& open_draft(Form form, const Said& said);
  Draft& loose_draft(Form form);
  Draft& declare(Form form, std::string_view name, bool has_policy_already);
  Draft& script_draft(const CommandLine& command);
  Draft* current() { return is_open_ ? &drafts_.back() : nullptr; }
  void close();
  void skip_rules(std::string_view what);

  base::Place place(std::string_view at) const {
    const std::size_t column =
        at.data() < raw_.data() ? 0 : static_cast<std::size_t>(at.data() - raw_.data());
    return {source_, line_, static_cast<std::uint32_t>(std::min<std::size_t>(column, UINT32_MAX - 1) + 1)};
  }
  void tell(base::Severity severity, std::string_view code, std::string_view at, std::string message,
            std::vector<std::string> hints = {}) {
    diagnostics_.add({severity, code, place(at), std::move(message), std::move(hints),
                      std::string(raw_.substr(0, base::Diagnostic::kMaxLine))});
  }

  std::uint32_t source_ = 0;
  base::Diagnostics& diagnostics_;
  std::string_view raw_;
  std::uint32_t line_ = 0;
  std::vector<Draft> drafts_;
  bool is_open_ = false;   // drafts_.back() may still grow
  bool skipping_ = false;  // within ebtables or arptables output
  bool nft_json_ = false;
  NftListing nft_;
  Said command_, header_;
  bool has_header_ = false;
  std::size_t first_of_command_ = 0;
  std::string listed_chain_;
  ListedColumns columns_;
  bool after_blank_ = false;
  std::vector<std::string_view> words_;  // memory to reuse
  RuleWords parsed_;
};

}  // namespace fwtrace::ruleset
