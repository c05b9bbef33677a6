// The lines that hold rules, chains and policies: what each does to the draft it belongs to.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "ruleset/reader.h"

namespace fwtrace::ruleset {

using base::Severity;
using packet::Family;
using packet::Hook;

packet::Verdict policy_of(std::string_view word) {
  if (word == "ACCEPT") return packet::Verdict::Accept;
  return word == "DROP" ? packet::Verdict::Drop : packet::Verdict::None;
}
bool is_policy(std::string_view word) {
  return word == "ACCEPT" || word == "DROP" || word == "QUEUE" || word == "RETURN";
}

// "[12:840]"
std::optional<Counters> parse_counters(std::string_view text) {
  if (text.size() < 5 || text.front() != '[' || text.back() != ']') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto packets = base::parse_number<std::uint64_t>(text.substr(0, colon));
  const auto bytes = base::parse_number<std::uint64_t>(text.substr(colon + 1));
  if (!packets || !bytes) return std::nullopt;
  return Counters{*packets, *bytes};
}

bool Reader::rule_line(std::string_view text, std::optional<Counters> counters) {
  const std::size_t blank = text.find_first_of(" \t");
  const Operation what = operation_of(text.substr(0, blank));
  if (what == Operation::None) return false;
  if (skipping_) return true;
  const bool in_save = is_open_ && drafts_.back().form == Form::Save;
  if (in_save) {
    parse_rule_words(text, Quoting::Restore, words_, parsed_);
    return operation(text, drafts_.back(), counters);
  }
  // Outside a table it may be prose: "-A adds a rule".
  parse_rule_words(text, Quoting::Restore, words_, parsed_);
  const auto word = [&](std::size_t i) { return i < words_.size() ? words_[i] : std::string_view(); };
  switch (what) {
    case Operation::Append:
      if (word(1).empty() || word(1)[0] == '-' || word(1)[0] == '!') {
        if (word(1).empty() && parsed_.problem.empty()) return false;
        tell(Severity::Warning, "damaged-rule", text.substr(std::min(parsed_.at, text.size())),
             parsed_.problem.empty() ? "this rule names no chain" : parsed_.problem);
        return true;
      }
      if (parsed_.problem.empty() && !word(2).empty() && word(2)[0] != '-' && word(2)[0] != '!') return false;
      break;
    case Operation::Insert: {
      const std::size_t next = parsed_.position > 0 ? 3 : 2;
      if (parsed_.chain.empty() || (!word(next).empty() && word(next)[0] != '-' && word(next)[0] != '!'))
        return false;
      break;
    }
    case Operation::Policy:
      if (!is_policy(parsed_.policy)) return false;
      break;
    case Operation::NewChain:
      if (words_.size() != 2) return false;
      break;
    default:
      if (!is_open_) return false;
      return operation(text, drafts_.back(), counters);
  }
  const bool declares = what == Operation::Policy || what == Operation::NewChain;
  Draft* draft = nullptr;
  if (declares) draft = &declare(Form::Commands, parsed_.chain, what == Operation::Policy);
  else draft = &loose_draft(Form::Commands);
  // A rule of a chain that the said table cannot have is not of that table.
  const Hook hook = packet::hook_of_chain(parsed_.chain);
  if (!declares && hook != Hook::None && !draft->table.empty() && is_table_name(draft->table) &&
      !has_chain_at(draft->table, hook)) {
    Said said = command_;
    said.table.clear();
    said.one_chain = said.whole = false;
    draft = &open_draft(Form::Commands, said);
  }
  return operation(text, *draft, counters);
}

// Carries out what parsed_ says.
bool Reader::operation(std::string_view text, Draft& draft, const std::optional<Counters>& counters) {
  RuleWords& rule = parsed_;
  const bool adds = rule.operation == Operation::Append || rule.operation == Operation::Insert;
  if (!rule.problem.empty()) {
    tell(Severity::Warning, "damaged-rule", text.substr(std::min(rule.at, text.size())), rule.problem,
         adds && !rule.chain.empty()
             ? std::vector<std::string>{"it keeps its number, and its target is taken as unknown"}
             : std::vector<std::string>{});
    if (!adds || rule.chain.empty()) return true;
    rule.rule = Rule{};
    rule.rule.text = text;
    rule.rule.effect = Effect::Unknown;
  }
  if (counters) rule.rule.counters = counters;
  rule.rule.place = place(text);
  if (draft.form == Form::Save && draft.family == Family::None && !draft.not_for_ip) {
    for (const std::string_view mark :
         {" --logical-", " --h-length ", " --opcode ", " -p IPv4", " -p ARP", " -p 802_1Q"}) {
      draft.not_for_ip = draft.not_for_ip || rule.rule.text.find(mark) != std::string::npos;
    }
  }
  if (rule.operation == Operation::Flush || rule.operation == Operation::DeleteChain) {
    const bool flush = rule.operation == Operation::Flush;
    if (rule.chain.empty()) flush ? draft.flush_all() : draft.remove_empty();
    else if (draft.has(rule.chain))
      flush ? draft.flush(draft.chain(rule.chain, place(text), false))
            : draft.remove(draft.chain(rule.chain, place(text), false));
    return true;
  }
  if (rule.operation == Operation::Other) return true;
  const bool declares = rule.operation == Operation::Policy || rule.operation == Operation::NewChain;
  if (!declares) draft.saw_rule_line = true;
  const std::uint32_t chain = draft.chain(rule.chain, place(text), declares);
  switch (rule.operation) {
    case Operation::Append: draft.append(chain, std::move(rule.rule)); break;
    case Operation::Insert:
      if (!draft.insert(chain, rule.position, std::move(rule.rule))) {
        tell(Severity::Warning, "too-many-changes", text,
             "too many rules were put into the middle of chains; this one is left out");
      }
      break;
    case Operation::Policy:
      draft.at(chain).policy = policy_of(rule.policy);
      if (rule.rule.counters) draft.at(chain).counters = rule.rule.counters;
      break;
    case Operation::Replace:
    case Operation::Delete: {
      const bool done = rule.operation == Operation::Replace
                            ? draft.replace(chain, rule.position, std::move(rule.rule))
                        : rule.position > 0 ? draft.erase(chain, rule.position)
                                            : draft.erase(chain, rule.rule.text);
      if (!done)
        tell(Severity::Note, "nothing-to-change", text,
             "no rule was found that this line is about; it changes nothing");
      break;
    }
    default: break;
  }
  return true;
}

bool Reader::listing_line(std::string_view text) {
  if (text.starts_with("Chain ")) {
    Chain chain;
    if (!parse_listed_chain(text, chain)) return false;
    if (skipping_) return true;
    Draft& draft = declare(Form::Listing, chain.name, true);
    Chain& kept = draft.at(draft.chain(chain.name, place(text), true));
    kept.policy = chain.policy;
    kept.counters = chain.counters;
    listed_chain_ = chain.name;
    columns_ = ListedColumns{};
    return true;
  }
  if (!is_open_ || drafts_.back().form != Form::Listing || listed_chain_.empty()) return false;
  return parse_listed_columns(text, columns_) || listed_rule(text);
}

bool Reader::listed_rule(std::string_view text) {
  Draft& draft = drafts_.back();
  Rule rule;
  const Listed listed = parse_listed_rule(text, listed_chain_, columns_, rule);
  if (listed == Listed::Other || (listed == Listed::Damaged && after_blank_)) return false;
  if (listed == Listed::Damaged) {
    tell(Severity::Warning, "damaged-rule", text,
         "this line of the listing has not the columns its header says",
         {"it keeps its number, and its target is taken as unknown",
          "paste the output of iptables-save: it survives line breaks better"});
    rule = Rule{};
    rule.text = text;
    rule.effect = Effect::Unknown;
  }
  rule.place = place(text);
  draft.append(draft.chain(listed_chain_, place(text), true), std::move(rule));
  return true;
}

bool Reader::command_line(std::string_view text) {
  const auto command = find_command_line(text);
  if (!command) return false;
  const bool for_ip =
      command->family == Family::Ip || command->family == Family::Ip6 || command->family == Family::None;
  if (command->operation_at > 0) {
    if (!for_ip) return false;
    const std::string_view words = text.substr(command->operation_at);
    parse_rule_words(words, Quoting::Shell, words_, parsed_);
    return operation(words, script_draft(*command), std::nullopt);
  }
  close();
  skipping_ = has_header_ = false;
  header_ = Said{};
  command_ = Said{command->family, command->backend, command->table.value_or(""), !command->chain.empty(),
                  command->table.has_value() && command->chain.empty()};
  first_of_command_ = drafts_.size();
  if (!for_ip) skip_rules("this is the output of " + std::string(command->tool));
  return false;  // counted among the other lines
}

Draft& Reader::open_draft(Form form, const Said& said) {
  close();
  Draft& draft = drafts_.emplace_back();
  draft.form = form;
  draft.table = said.table;
  draft.family = said.family;
  draft.backend = said.backend;
  draft.one_chain = said.one_chain;
  draft.whole = said.whole;
  draft.place = place(raw_);
  is_open_ = true;
  listed_chain_.clear();
  return draft;
}

// The draft for a line outside "*table": the open one if it is of that form.
Draft& Reader::loose_draft(Form form) {
  return is_open_ && drafts_.back().form == form ? drafts_.back() : open_draft(form, command_);
}

// For a line that declares a chain: does it go on with the open draft, or begin another table's?
Draft& Reader::declare(Form form, std::string_view name, bool says_policy) {
  Draft* draft = &loose_draft(form);
  const Hook hook = packet::hook_of_chain(name);
  const bool illegal = hook != Hook::None && !draft->table.empty() && !has_chain_at(draft->table, hook);
  // The old nat table lists POSTROUTING before OUTPUT.
  const bool backwards = hook != Hook::None && hook < draft->last_hook &&
                         !(hook == Hook::Output && draft->last_hook == Hook::Postrouting &&
                           !draft->has("FORWARD") && !draft->has("OUTPUT"));
  const bool again = draft->has(name) && draft->at(draft->chain(name, place(raw_), false)).declared;
  const bool after_users =
      hook != Hook::None && (draft->saw_user_chain || (form == Form::Commands && draft->saw_rule_line));
  if (illegal || (says_policy && (backwards || again || after_users))) {
    Said said = command_;
    if (illegal) {
      said.table.clear();
      said.whole = false;
    }
    draft = &open_draft(form, said);
    if (hook != Hook::None && !draft->table.empty() && !has_chain_at(draft->table, hook))
      draft->table.clear();
  }
  if (hook == Hook::None) draft->saw_user_chain = true;
  else draft->last_hook = hook;
  return *draft;
}

// The table a script's line changes: one read above, or a new one.
Draft& Reader::script_draft(const CommandLine& command) {
  close();
  const std::string table = command.table.value_or("filter");
  for (std::size_t i = drafts_.size(), tries = 0; i-- > 0 && tries < 16; ++tries) {
    Draft& draft = drafts_[i];
    if (draft.table == table && (draft.family == command.family || draft.family == Family::None))
      return draft;
  }
  Draft& draft = open_draft(Form::Commands, Said{command.family, command.backend, table, false, false});
  is_open_ = false;
  return draft;
}

void Reader::close() {
  if (is_open_ && drafts_.back().form == Form::Save && !drafts_.back().committed) {
    diagnostics_.add({Severity::Note,
                      "no-commit",
                      drafts_.back().place,
                      "table \"" + drafts_.back().table + "\" ends without COMMIT; it may be cut off",
                      {},
                      {}});
  }
  is_open_ = false;
  listed_chain_.clear();
}

void Reader::skip_rules(std::string_view what) {
  close();
  skipping_ = true;
  tell(Severity::Note, "not-for-ip", raw_,
       std::string(what) + "; its rules are not used for traces of IP packets");
}

}  // namespace fwtrace::ruleset
