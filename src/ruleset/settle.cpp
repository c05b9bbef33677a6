// From drafts to the book: which table, family and backend each is of, what it replaces, and where jumps lead.
#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "ruleset/draft.h"

namespace fwtrace::ruleset {
namespace {

using base::Severity;
using packet::Family;
using packet::Hook;

constexpr std::size_t kDraftsSearched = 64;  // so that hostile text cannot make the guesses quadratic

struct Hooks {
  bool prerouting = false, input = false, forward = false, output = false, postrouting = false;
  bool any() const { return prerouting || input || forward || output || postrouting; }
};

Hooks hooks_of(const Draft& draft) {
  Hooks hooks;
  draft.each_chain([&](const Chain& chain) {
    hooks.prerouting |= chain.hook == Hook::Prerouting;
    hooks.input |= chain.hook == Hook::Input;
    hooks.forward |= chain.hook == Hook::Forward;
    hooks.output |= chain.hook == Hook::Output;
    hooks.postrouting |= chain.hook == Hook::Postrouting;
  });
  return hooks;
}

bool has_nat_target(const Chain& chain) {
  return std::ranges::any_of(chain.rules, [](const Rule& rule) { return is_nat_target(rule.target); });
}
bool has_nat_target(const Draft& draft) {
  bool found = false;
  draft.each_chain([&](const Chain& chain) { found = found || has_nat_target(chain); });
  return found;
}
bool has_raw_target(const Draft& draft) {
  bool found = false;
  draft.each_chain([&](const Chain& chain) {
    for (const Rule& rule : chain.rules)
      found |= rule.target == "TRACE" || rule.target == "NOTRACK" || rule.target == "CT";
  });
  return found;
}

// The table that these chains can be of; "" if nothing tells.
std::string_view guess_by_chains(const Draft& draft) {
  const Hooks hooks = hooks_of(draft);
  if (has_nat_target(draft)) return "nat";
  if (!hooks.any()) return "";
  if (!hooks.prerouting && !hooks.postrouting) return "filter";
  if (hooks.forward) return "mangle";
  if (hooks.postrouting || hooks.input) return "nat";
  return hooks.output || has_raw_target(draft) ? "raw" : "nat";
}

void note(base::Diagnostics& diagnostics, Severity severity, std::string_view code, const base::Place& place,
          std::string message, std::vector<std::string> hints = {}) {
  diagnostics.add({severity, code, place, std::move(message), std::move(hints), {}});
}

// Rule lines of several tables pasted in one go: what can only be in nat goes there, the rest to filter.
void split_mixed(std::vector<Draft>& drafts) {
  for (std::size_t i = 0, count = drafts.size(); i < count; ++i) {
    Draft& draft = drafts[i];
    const Hooks hooks = hooks_of(draft);
    if (!draft.table.empty() || draft.form != Form::Commands || !(hooks.forward || hooks.input) ||
        !(hooks.prerouting || hooks.postrouting) || !has_nat_target(draft))
      continue;
    if (hooks.prerouting && hooks.input && hooks.output && hooks.postrouting && !hooks.forward)
      continue;  // nat as a whole
    Draft nat = draft, filter = draft;
    nat.take_chains();
    filter.take_chains();
    for (Chain& chain : draft.take_chains()) {
      const bool to_nat =
          has_nat_target(chain) || chain.hook == Hook::Prerouting || chain.hook == Hook::Postrouting;
      Draft& part = to_nat ? nat : filter;
      const std::uint32_t position = part.chain(chain.name, chain.place, chain.declared);
      part.at(position) = std::move(chain);
    }
    nat.table = "nat";
    filter.table = "filter";
    draft = std::move(filter);
    drafts.push_back(std::move(nat));
  }
}

void guess_tables(std::vector<Draft>& drafts, base::Diagnostics& diagnostics) {
  split_mixed(drafts);
  for (Draft& draft : drafts) {
    if (!draft.table.empty()) continue;
    draft.table = guess_by_chains(draft);
    if (draft.table.empty()) {
      // Only user chains: is one of them known from a table that was named?
      for (std::size_t i = 0; i < std::min(drafts.size(), kDraftsSearched) && draft.table.empty(); ++i) {
        draft.each_chain([&](const Chain& chain) {
          if (draft.table.empty() && &drafts[i] != &draft && drafts[i].has(chain.name))
            draft.table = drafts[i].table;
        });
      }
    }
    if (draft.table.empty()) {
      draft.table = "filter";
      note(diagnostics, Severity::Warning, "no-table", draft.place,
           "these rules stand in no table and have no built-in chain; they are taken for table \"filter\"",
           {"write \"*filter\" (or the table they are of) on a line before them"});
      continue;
    }
    note(
        diagnostics, Severity::Note, "guessed-table", draft.place,
        "the text does not say of which table this is; by its chains it is taken for \"" + draft.table + "\"",
        {"write \"*" + draft.table + "\" on a line before it, or the command that showed it"});
  }
}

// Does the text of a rule show its family? Only words that the other family cannot have.
Family family_of_rule(std::string_view text) {
  if (text.find("icmpv6") != std::string_view::npos || text.find("ipv6-") != std::string_view::npos ||
      text.find("icmp6-") != std::string_view::npos)
    return Family::Ip6;
  for (const std::string_view option : {" -s ", " -d ", " --to-destination ", " --to-source "}) {
    const std::size_t at = text.find(option);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = text.substr(at + option.size());
    const std::string_view value = rest.substr(0, rest.find_first_of(" /,"));
    if (value.find(':') != value.rfind(':') || value.starts_with('[')) return Family::Ip6;
    if (value.find('.') != std::string_view::npos) return Family::Ip;
  }
  if (text.find(" -p icmp ") != std::string_view::npos ||
      text.find("reject-with icmp-") != std::string_view::npos)
    return Family::Ip;
  return Family::None;
}

Family family_of_content(const Draft& draft) {
  Family family = Family::None;
  draft.each_chain([&](const Chain& chain) {
    for (const Rule& rule : chain.rules) {
      if (family != Family::None) return;
      family = family_of_rule(rule.text);
    }
  });
  return family;
}

// Tables in a row that say no family are one dump of one family, until a table's name comes again.
void guess_families(std::vector<Draft>& drafts) {
  for (std::size_t begin = 0; begin < drafts.size();) {
    if (drafts[begin].family != Family::None) {
      ++begin;
      continue;
    }
    Family family = Family::None;
    std::unordered_set<std::string_view> seen;
    std::size_t end = begin;
    while (end < drafts.size() && drafts[end].family == Family::None &&
           seen.insert(drafts[end].table).second) {
      if (family == Family::None) family = family_of_content(drafts[end]);
      ++end;
    }
    for (; begin < end; ++begin) drafts[begin].family = family == Family::None ? Family::Ip : family;
  }
}

// A machine's iptables and iptables-save are one program: what one of them says of the backend holds for both.
void share_backends(std::vector<Draft>& drafts) {
  for (const Family family : {Family::Ip, Family::Ip6}) {
    Backend known = Backend::Unknown;
    bool one = true;
    for (const Draft& draft : drafts) {
      if (draft.family != family || draft.backend == Backend::Unknown) continue;
      one = one && (known == Backend::Unknown || known == draft.backend);
      known = draft.backend;
    }
    if (!one) continue;
    for (Draft& draft : drafts) {
      if (draft.family == family && draft.backend == Backend::Unknown) draft.backend = known;
    }
  }
}

bool is_whole(const Draft& draft) {
  if (draft.one_chain) return false;
  if (draft.whole) return true;
  for (const Hook hook : {Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting}) {
    if (!has_chain_at(draft.table, hook)) continue;
    bool found = false;
    draft.each_chain([&](const Chain& chain) { found = found || (chain.hook == hook && chain.declared); });
    if (!found) return false;
  }
  return true;
}

// A listing after a save of the same rules: the rules' own words are worth more, the counters are newer.
void keep_own_words(const Chain& old, Chain& listed) {
  if (old.rules.size() != listed.rules.size() || old.place.source != listed.place.source) return;
  for (std::size_t i = 0; i < old.rules.size(); ++i) {
    if (old.rules[i].number != listed.rules[i].number || old.rules[i].target != listed.rules[i].target)
      return;
  }
  for (std::size_t i = 0; i < old.rules.size(); ++i) {
    const std::optional<Counters> counters = listed.rules[i].counters;
    listed.rules[i] = old.rules[i];
    if (counters) listed.rules[i].counters = counters;
  }
  if (!listed.counters) listed.counters = old.counters;
}

std::string where(const base::Place& old, const base::Place& now) {
  return old.source == now.source ? "in line " + std::to_string(old.line) : "read before";
}

using Positions = std::unordered_map<std::string, std::size_t>;  // of a table's chains, by name

void index(const std::vector<Chain>& chains, Positions& out) {
  out.clear();
  for (std::size_t i = 0; i < chains.size(); ++i) out.emplace(chains[i].name, i);
}

void merge(Table& table, Positions& old, Draft& draft, RulesFound& found, base::Diagnostics& diagnostics) {
  const Backend backend = draft.backend;
  const bool whole = is_whole(draft), listing = draft.form == Form::Listing;
  const std::string of = "table \"" + draft.table + "\"" +
                         (backend == Backend::Unknown ? "" : " (" + std::string(to_text(backend)) + ")");
  std::vector<Chain> chains = draft.take_chains();
  ++found.tables;
  found.chains += chains.size();
  for (const Chain& chain : chains) found.rules += chain.rules.size();
  if (table.chains.empty()) {
    table.place = draft.place;
    table.chains = std::move(chains);
    index(table.chains, old);
    return;
  }
  if (old.empty()) index(table.chains, old);
  std::size_t replaced = 0;
  std::string one;
  for (Chain& chain : chains) {
    const auto known = old.find(chain.name);
    if (known != old.end()) {
      if (listing) keep_own_words(table.chains[known->second], chain);
      if (replaced++ == 0) one = chain.name;
    }
    if (whole) continue;
    if (known != old.end()) {
      table.chains[known->second] = std::move(chain);
    } else {
      old.emplace(chain.name, table.chains.size());
      table.chains.push_back(std::move(chain));
    }
  }
  if (whole) {
    note(diagnostics, Severity::Note, "replaced-table", draft.place,
         of + " is here again: this replaces the one " + where(table.place, draft.place));
    table.chains = std::move(chains);
    table.place = draft.place;
    index(table.chains, old);
  } else if (replaced > 0) {
    note(diagnostics, Severity::Note, "replaced-chain", draft.place,
         "chain " + one + (replaced > 1 ? " and " + std::to_string(replaced - 1) + " more" : "") + " of " +
             of + " is here again: this replaces the one " + where(table.place, draft.place));
  }
}

void resolve_jumps(Table& table) {
  table.index_chains();
  std::unordered_map<std::string_view, Effect> effects;
  for (Chain& chain : table.chains) {
    for (Rule& rule : chain.rules) {
      if (rule.target.empty() || rule.effect == Effect::Goto) continue;
      const auto [at, is_new] = effects.try_emplace(rule.target, Effect::Jump);
      if (is_new && !table.find_chain(rule.target)) at->second = effect_of_target(rule.target);
      rule.effect = at->second;
    }
  }
}

}  // namespace

void settle(std::vector<Draft> drafts, Family family_of_file, Rulebook& book, RulesFound& found,
            base::Diagnostics& diagnostics) {
  std::erase_if(drafts, [&](const Draft& draft) {
    if (draft.not_for_ip) {
      note(diagnostics, Severity::Note, "not-for-ip", draft.place,
           "these are ebtables or arptables rules; they are not used for traces of IP packets");
    }
    return draft.not_for_ip || draft.empty();
  });
  guess_tables(drafts, diagnostics);
  std::vector<bool> said(drafts.size());
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    if (drafts[i].family == Family::None) drafts[i].family = family_of_file;
    said[i] = drafts[i].family != Family::None;
  }
  guess_families(drafts);
  share_backends(drafts);
  std::map<std::tuple<Family, Backend, std::string>, Positions> positions;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    Draft& draft = drafts[i];
    auto ruleset = std::ranges::find_if(book.rulesets, [&](const Ruleset& r) {
      return r.family == draft.family && r.backend == draft.backend;
    });
    if (ruleset == book.rulesets.end()) {
      book.rulesets.emplace_back();
      ruleset = std::prev(book.rulesets.end());
      ruleset->family = draft.family;
      ruleset->backend = draft.backend;
    }
    ruleset->family_said = ruleset->family_said || said[i];
    auto table = std::ranges::find(ruleset->tables, draft.table, &Table::name);
    if (table == ruleset->tables.end()) {
      ruleset->tables.emplace_back();
      table = std::prev(ruleset->tables.end());
      table->name = draft.table;
    }
    table->by_name.clear();
    merge(*table, positions[{draft.family, draft.backend, draft.table}], draft, found, diagnostics);
  }
  for (Ruleset& ruleset : book.rulesets) {
    if (ruleset.backend == Backend::Nft) continue;  // its words say what is a chain
    for (Table& table : ruleset.tables) {
      if (table.by_name.size() != table.chains.size()) resolve_jumps(table);
    }
  }
}

}  // namespace fwtrace::ruleset
