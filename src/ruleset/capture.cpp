// From listings to one Rulebook. What iptables-nft wrote stands in two listings: in its own words, without handles,
// and in nft's, with them. The order of the rules in a chain is the same in both, so they are joined by position, if
// the counts agree. But iptables-nft-save also prints rules that it did not write, and leaves out what it has no
// words for: "tcp dport { 1, 2 } accept" comes out as "-p tcp -j ACCEPT" (1.8.9). Such rules keep nft's words. They are
// known by having no counter, which iptables gives to every rule, or by a set, which only few matches have.
#include "ruleset/capture.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "ruleset/nft_words.h"
#include "ruleset/read_rules.h"
#include "ruleset/rule_words.h"

namespace fwtrace::ruleset {

using packet::Family;

namespace {

struct Tool {
  std::string_view command;
  Family family;
  Backend backend;
};
constexpr auto kTools = std::to_array<Tool>({{"iptables-legacy-save", Family::Ip, Backend::Legacy},
                                             {"ip6tables-legacy-save", Family::Ip6, Backend::Legacy},
                                             {"iptables-nft-save", Family::Ip, Backend::NftCompat},
                                             {"ip6tables-nft-save", Family::Ip6, Backend::NftCompat},
                                             {"ebtables-nft-save", Family::Bridge, Backend::NftCompat},
                                             {"arptables-nft-save", Family::Arp, Backend::NftCompat},
                                             {"nft", Family::None, Backend::Nft}});

const Tool* find_tool(std::string_view command) {
  const std::string_view name = command.substr(0, command.find(' '));
  const auto* const tool = std::ranges::find(kTools, name, &Tool::command);
  return tool == kTools.end() ? nullptr : &*tool;
}

Ruleset* find_ruleset(Rulebook& book, Family family, Backend backend) {
  for (Ruleset& ruleset : book.rulesets) {
    if (ruleset.family == family && ruleset.backend == backend) return &ruleset;
  }
  return nullptr;
}

Ruleset& ruleset_of(Rulebook& book, const Tool& tool) {
  if (Ruleset* known = find_ruleset(book, tool.family, tool.backend)) return *known;
  Ruleset& made = book.rulesets.emplace_back();
  made.family = tool.family;
  made.family_said = true;
  made.backend = tool.backend;
  return made;
}

// The command that printed the text is known: it says family and backend also where the text does not (iptables
// before 1.8.8).
void read_iptables(std::string_view text, std::uint32_t source, const Tool& tool, Rulebook& book,
                   base::Diagnostics& diagnostics) {
  Rulebook own;
  read_rules(text, source, tool.command, own, diagnostics);
  for (Ruleset& read : own.rulesets) {
    Ruleset& ruleset = ruleset_of(book, tool);
    std::ranges::move(read.tables, std::back_inserter(ruleset.tables));
  }
}

// ebtables and arptables: texts only. What the rules do is taken from nft's listing.
void read_bridge_or_arp(std::string_view text, std::uint32_t source, const Tool& tool, Rulebook& book) {
  Ruleset& ruleset = ruleset_of(book, tool);
  std::vector<std::string_view> words;
  RuleWords parsed;
  std::uint32_t line_number = 0;
  std::unordered_map<std::string_view, std::size_t> positions;  // of the table's chains
  for (const std::string_view line : base::split(text, '\n')) {
    ++line_number;
    if (line.starts_with('*')) {
      ruleset.tables.emplace_back().name = base::trim(line.substr(1));
      positions.clear();
      continue;
    }
    if (ruleset.tables.empty()) continue;
    std::vector<Chain>& chains = ruleset.tables.back().chains;
    if (line.starts_with(':')) {
      const std::string_view name = line.substr(1, std::min(line.find(' '), line.size()) - 1);
      if (!positions.emplace(name, chains.size()).second) continue;
      Chain& chain = chains.emplace_back();
      chain.name = name;
      chain.place = {source, line_number, 1};
    } else if (line.starts_with("-A ")) {
      parse_rule_words(line, Quoting::Restore, words, parsed);
      const auto position = positions.find(parsed.chain);
      if (position == positions.end()) continue;
      std::vector<Rule>& rules = chains[position->second].rules;
      parsed.rule.place = {source, line_number, 1};
      parsed.rule.number = static_cast<std::uint32_t>(rules.size() + 1);
      rules.push_back(std::move(parsed.rule));
    }
  }
}

// Matches that nft shows with a set, though iptables wrote them.
bool has_match_with_set(std::string_view text) {
  for (const std::string_view match : {" -m multiport ", " -m hashlimit ", " -m connlimit ", " -m dccp ",
                                       " -m set ", " -m recent ", " --among-"}) {
    if (text.find(match) != std::string_view::npos) return true;
  }
  return false;
}

bool is_by_iptables(const Rule& saved, const Rule& native) {
  if (!native.counters) return false;
  return (!has_nft_word(native.text, "{") && !has_nft_word(native.text, "@")) ||
         has_match_with_set(saved.text);
}

// Moves what nft knows of the chain into the saved one. False: they are not the same rules.
bool join_chain(Chain& saved, const Chain& native, Family family) {
  if (saved.rules.size() != native.rules.size()) return false;
  const bool texts_only = family == Family::Bridge || family == Family::Arp;
  for (std::size_t i = 0; i < saved.rules.size(); ++i) {
    Rule& rule = saved.rules[i];
    const Rule& twin = native.rules[i];
    if (!is_by_iptables(rule, twin)) {
      const base::Place place = rule.place;
      rule = twin;
      rule.place = place;
    } else if (texts_only) {
      const Rule words = std::exchange(rule, twin);
      rule.text = words.text;
      rule.place = words.place;
      if (!words.comment.empty()) rule.comment = words.comment;
    }
    rule.handle = twin.handle;
    if (!rule.counters) rule.counters = twin.counters;
  }
  saved.handle = native.handle;
  saved.type = native.type;
  saved.priority = native.priority;
  saved.hook = native.hook;
  if (native.policy != packet::Verdict::None) saved.policy = native.policy;
  return true;
}

bool has_rule_by_iptables(const Table& saved, const Table& native) {
  bool any = false;
  for (const Chain& chain : saved.chains) {
    const Chain* const twin = native.find_chain(chain.name);
    if (twin == nullptr) continue;
    if (twin->rules.size() != chain.rules.size()) return true;
    for (std::size_t i = 0; i < chain.rules.size(); ++i) {
      any = true;
      if (is_by_iptables(chain.rules[i], twin->rules[i])) return true;
    }
  }
  return !any;
}

// Leaves each chain in one of the two.
void join_table(Table& saved, Table& native, Family family, base::Diagnostics& diagnostics) {
  if (!has_rule_by_iptables(saved, native)) {
    saved.chains.clear();
    return;
  }
  saved.handle = native.handle;
  saved.dormant = native.dormant;
  std::vector<bool> joined(native.chains.size(), false);
  std::erase_if(saved.chains, [&](Chain& chain) {
    const Chain* const twin = native.find_chain(chain.name);
    // iptables-nft-save prints built-in chains that are not in the kernel.
    if (twin == nullptr && chain.rules.empty()) return true;
    if (twin != nullptr && join_chain(chain, *twin, family)) {
      joined[static_cast<std::size_t>(twin - native.chains.data())] = true;
      return false;
    }
    diagnostics.add({base::Severity::Warning,
                     "listings-differ",
                     chain.place,
                     "chain \"" + chain.name + "\" of table \"" + saved.name + "\" has " +
                         std::to_string(chain.rules.size()) + " rules for iptables and " +
                         std::to_string(twin == nullptr ? 0 : twin->rules.size()) +
                         " for nft: its rules are shown in nft's words",
                     {},
                     {}});
    return true;
  });
  std::vector<Chain> left;
  for (std::size_t i = 0; i < native.chains.size(); ++i) {
    if (!joined[i]) left.push_back(std::move(native.chains[i]));
  }
  native.chains = std::move(left);
  native.index_chains();
  saved.index_chains();
}

void join_listings(Rulebook& book, base::Diagnostics& diagnostics) {
  for (Ruleset& saved : book.rulesets) {
    if (saved.backend != Backend::NftCompat) continue;
    Ruleset* const native = find_ruleset(book, saved.family, Backend::Nft);
    if (native == nullptr) continue;
    for (Table& table : saved.tables) {
      const auto twin = std::ranges::find(native->tables, table.name, &Table::name);
      if (twin == native->tables.end()) continue;
      join_table(table, *twin, saved.family, diagnostics);
      if (twin->chains.empty()) native->tables.erase(twin);
    }
    std::erase_if(saved.tables, [](const Table& table) { return table.chains.empty(); });
  }
  std::erase_if(book.rulesets, [](const Ruleset& ruleset) { return ruleset.tables.empty(); });
}

// ":INPUT ACCEPT [12:840]" → ":INPUT ACCEPT"; "[1:60] -A …" → "-A …"
std::string_view without_counters(std::string_view line) {
  if (line.starts_with(':') && line.ends_with(']')) return base::trim(line.substr(0, line.rfind('[')));
  if (line.starts_with('[')) {
    const std::size_t end = line.find("] ");
    if (end != std::string_view::npos) return base::trim(line.substr(end + 2));
  }
  return line;
}

}  // namespace

Rulebook read_capture(const Capture& capture, base::Diagnostics& diagnostics, std::uint32_t first_source) {
  Rulebook book;
  for (std::uint32_t i = 0; i < capture.listings.size(); ++i) {
    const Capture::Listing& listing = capture.listings[i];
    const std::uint32_t source = first_source == 0 ? 0 : first_source + i;
    const Tool* const tool = find_tool(listing.command);
    if (tool == nullptr) {
      diagnostics.add({base::Severity::Warning,
                       "unknown-listing",
                       {source, 0, 0},
                       "the listing of \"" + listing.command + "\" is not known; it is not read",
                       {},
                       {}});
      continue;
    }
    if (tool->backend == Backend::Nft) read_rules(listing.text, source, "nft", book, diagnostics);
    else if (tool->family == Family::Bridge || tool->family == Family::Arp)
      read_bridge_or_arp(listing.text, source, *tool, book);
    else read_iptables(listing.text, source, *tool, book, diagnostics);
  }
  join_listings(book, diagnostics);
  return book;
}

std::string legacy_text(const Capture& capture) {
  std::string text;
  for (const Capture::Listing& listing : capture.listings) {
    const Tool* const tool = find_tool(listing.command);
    if (tool == nullptr || tool->backend != Backend::Legacy) continue;
    bool any = false;
    for (const std::string_view line : base::split(listing.text, '\n')) {
      if (line.empty() || line.starts_with('#')) continue;
      if (!any) text.append("# ").append(tool->command) += '\n';
      any = true;
      text.append(without_counters(line)) += '\n';
    }
  }
  return text;
}

}  // namespace fwtrace::ruleset
