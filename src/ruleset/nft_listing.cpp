#include "ruleset/nft_listing.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "ruleset/nft_words.h"

namespace fwtrace::ruleset {

using base::trim;
using packet::Family;

namespace {

// "fwtrace-1234": made by a run of fwtrace, not by the machine's owner.
bool is_our_table(std::string_view name) {
  static constexpr std::string_view kPrefix = "fwtrace-";
  return name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
         std::ranges::all_of(name.substr(kPrefix.size()), base::is_digit);
}

// Takes "# handle 7" off the end of a line.
std::optional<std::uint64_t> take_handle(std::string_view& text) {
  static constexpr std::string_view kMark = "# handle ";
  const std::size_t at = text.rfind(kMark);
  if (at == std::string_view::npos || (at > 0 && !base::is_space(text[at - 1]))) return std::nullopt;
  const auto handle = base::parse_number<std::uint64_t>(text.substr(at + kMark.size()));
  if (handle) text = trim(text.substr(0, at));
  return handle;
}

bool has_open_quote(std::string_view text, bool quote) {
  return (std::ranges::count(text, '"') % 2 != 0) != quote;
}

std::string_view without_quotes(std::string_view text) {
  if (text.size() > 1 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

// "inet fw {": what stands between the first word and the brace.
struct TableHead {
  Family family = Family::Ip;  // scripts may leave it out
  std::string_view name, rest;
};
std::optional<TableHead> parse_table_head(std::string_view text) {
  if (!text.starts_with("table ")) return std::nullopt;
  const std::size_t brace = text.find('{');
  if (brace == std::string_view::npos) return std::nullopt;
  const auto words = base::split_words(text.substr(0, brace));
  if (words.size() < 2 || words.size() > 3) return std::nullopt;
  TableHead head{.name = without_quotes(words.back()), .rest = text.substr(brace + 1)};
  if (words.size() == 3) {
    const auto family = packet::parse_family(words[1]);
    if (!family) return std::nullopt;
    head.family = *family;
  }
  return head;
}

}  // namespace

bool NftListing::begins_table(std::string_view text) { return parse_table_head(text).has_value(); }

base::Place NftListing::place(std::string_view at) const {
  const bool within = at.data() >= raw_.data() && at.data() <= raw_.data() + raw_.size();
  const std::size_t column = within ? static_cast<std::size_t>(at.data() - raw_.data()) : 0;
  return {source_, line_, static_cast<std::uint32_t>(std::min<std::size_t>(column, UINT32_MAX - 1) + 1)};
}

void NftListing::tell_cut_off() {
  diagnostics_.add({base::Severity::Warning,
                    "nft-cut-off",
                    place(raw_),
                    "table \"" + table().name + "\" is not closed before this; it may be cut off",
                    {},
                    std::string(raw_.substr(0, base::Diagnostic::kMaxLine))});
}

// The indentation of nft's own output says more than a quote or a brace that somebody left open.
bool NftListing::lost_track(std::string_view raw) const {
  const bool open = level_ == Level::Body || (level_ == Level::Chain && (quote_ || depth_ > 0));
  return open && raw.starts_with("\tchain ") && trim(raw.substr(0, raw.find('#'))).ends_with('{');
}

void NftListing::cut_off() {
  if (!inside()) return;
  tell_cut_off();
  if (level_ == Level::Chain) finish_statement(0);
  level_ = Level::Outside;
}

void NftListing::line(std::string_view raw, std::string_view text, std::uint32_t number) {
  raw_ = raw;
  line_ = number;
  if (inside() && raw.starts_with("table ") && begins_table(text)) cut_off();
  if (lost_track(raw)) {
    if (level_ == Level::Chain) finish_statement(0);
    level_ = Level::Table;
  }
  std::string_view rest = text;
  if (level_ == Level::Chain) {
    std::string_view rule = rest;
    if (const auto handle = take_handle(rule)) {
      const bool open = has_open_quote(rule, quote_);
      if (!open || rule.ends_with('"')) return handled_rule(rule, *handle);
    }
  }
  std::optional<std::uint64_t> handle;
  if (level_ == Level::Table || level_ == Level::Outside) handle = take_handle(rest);
  if (rest.empty() && level_ != Level::Chain) return;
  do {
    switch (level_) {
      case Level::Outside:
        if (!begins_table(rest)) return;
        open_table(rest, handle);
        rest = parse_table_head(rest)->rest;
        handle.reset();
        break;
      case Level::Table: rest = table_part(rest, handle); break;
      case Level::Chain: rest = chain_part(rest); break;
      case Level::Body: rest = body_part(rest); break;
    }
    rest = trim(rest);
  } while (!rest.empty());
}

void NftListing::open_table(std::string_view text, std::optional<std::uint64_t> handle) {
  const auto head = parse_table_head(text);
  Read& read = read_.emplace_back();
  read.family = head->family;
  read.table.name = head->name;
  read.table.handle = handle.value_or(0);
  read.table.place = place(text);
  level_ = Level::Table;
}

void NftListing::open_chain(std::string_view name, std::optional<std::uint64_t> handle,
                            std::string_view text) {
  Chain& made = table().chains.emplace_back();
  made.name = without_quotes(trim(name));
  made.handle = handle.value_or(0);
  made.place = place(text);
  level_ = Level::Chain;
  statement_.clear();
  depth_ = 0;
  quote_ = false;
}

// One thing in a table: a chain's beginning, a set's, a flag, the table's end. Returns what is left of the line.
std::string_view NftListing::table_part(std::string_view text, std::optional<std::uint64_t> handle) {
  if (text[0] == '}') {
    level_ = Level::Outside;
    return "";
  }
  if (text[0] == '#') return "";
  if (text[0] == ';') return text.substr(1);
  const std::size_t brace = text.find('{');
  if (text.starts_with("chain ") && brace != std::string_view::npos) {
    const std::string_view behind = text.substr(6);
    if (handle && behind.ends_with('{')) {
      open_chain(behind.substr(0, behind.size() - 1), handle, text);
      return "";
    }
    open_chain(text.substr(6, brace - 6), std::nullopt, text);
    return text.substr(brace + 1);
  }
  const std::size_t end = std::min(text.find(';'), text.find('}'));
  if (text.starts_with("comment ")) {
    const std::size_t quote = text.find('"', text.find('"') + 1);
    return text.find('"') == std::string_view::npos || quote == std::string_view::npos
               ? ""
               : text.substr(quote + 1);
  }
  if (brace != std::string_view::npos && brace < end) {
    level_ = Level::Body;
    depth_ = 1;
    return text.substr(brace + 1);
  }
  const std::string_view word = trim(text.substr(0, end));
  if (word.starts_with("flags ")) {
    for (const std::string_view flag : base::split(word.substr(6), ','))
      table().dormant = table().dormant || trim(flag) == "dormant";
  }
  return end == std::string_view::npos ? "" : text.substr(end);
}

// Within a set, an object or a flowtable: nothing of it is kept.
std::string_view NftListing::body_part(std::string_view text) {
  bool quote = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quote = !quote;
    if (quote) continue;
    if (text[i] == '#' && (i == 0 || base::is_space(text[i - 1]))) return "";
    if (text[i] == '{') ++depth_;
    if (text[i] == '}' && --depth_ == 0) {
      level_ = Level::Table;
      return text.substr(i + 1);
    }
  }
  return "";
}

void NftListing::begin_statement(std::string_view at) {
  if (statement_.empty()) statement_at_ = place(at);
}

// A line of a chain that ends in a handle: what stands in it, with what was left open before it, is one rule.
void NftListing::handled_rule(std::string_view text, std::uint64_t handle) {
  begin_statement(text);
  statement_ += text;
  finish_statement(handle);
}

// Statements of a chain as a script has them. Returns what is behind the chain's end.
std::string_view NftListing::chain_part(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quote_ = !quote_;
    if (!quote_) {
      if (c == '#' && (i == 0 || base::is_space(text[i - 1]))) break;
      if (c == '\\' && i + 1 == text.size()) {
        statement_ += ' ';
        return "";
      }
      if (c == '}' && depth_ == 0) {
        finish_statement(0);
        level_ = Level::Table;
        return text.substr(i + 1);
      }
      if (c == '{') ++depth_;
      if (c == '}') --depth_;
      if (c == ';' && depth_ == 0) {
        finish_statement(0);
        continue;
      }
    }
    if (statement_.empty() && base::is_space(c)) continue;
    begin_statement(text.substr(i));
    statement_ += c;
  }
  if (quote_ || depth_ > 0) statement_ += ' ';
  else finish_statement(0);
  return "";
}

void NftListing::finish_statement(std::uint64_t handle) {
  const std::string statement = std::exchange(statement_, {});
  const std::string_view text = trim(statement);
  depth_ = 0;
  quote_ = false;
  if (handle == 0) {
    if (text.empty() || text.starts_with("comment ") || text.starts_with("flags ") ||
        text.starts_with("devices ") || text.starts_with("device "))
      return;
    Chain probe;
    if (text.starts_with("type ") && parse_nft_hook(text, read_.back().family, probe)) {
      chain().type = std::move(probe.type);
      chain().hook = probe.hook;
      chain().priority = probe.priority;
      // A policy that is not said is "accept" (kernel: nf_tables_addchain).
      if (chain().policy == packet::Verdict::None) chain().policy = packet::Verdict::Accept;
      return;
    }
    if (text.starts_with("policy ")) {
      const auto policy = packet::parse_verdict(trim(text.substr(7)));
      chain().policy = policy.value_or(packet::Verdict::None);
      return;
    }
  }
  Rule rule = parse_nft_rule(text);
  rule.handle = handle;
  rule.number = static_cast<std::uint32_t>(chain().rules.size() + 1);
  rule.place = statement_at_;
  chain().rules.push_back(std::move(rule));
}

void NftListing::add_to(Rulebook& book, RulesFound& found) {
  if (inside()) {
    raw_ = {};
    cut_off();
  }
  struct Known {
    std::size_t ruleset = 0, table = 0;
    std::unordered_map<std::string, std::size_t> chains;  // positions by name
  };
  std::map<std::pair<Family, std::string>, Known> known;
  for (std::size_t r = 0; r < book.rulesets.size(); ++r) {
    if (book.rulesets[r].backend != Backend::Nft) continue;
    const auto& tables = book.rulesets[r].tables;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      Known& place_of = known[{book.rulesets[r].family, tables[t].name}];
      place_of.ruleset = r;
      place_of.table = t;
      for (std::size_t c = 0; c < tables[t].chains.size(); ++c)
        place_of.chains.emplace(tables[t].chains[c].name, c);
    }
  }
  for (Read& read : read_) {
    if (is_our_table(read.table.name)) continue;
    ++found.tables;
    found.chains += read.table.chains.size();
    for (const Chain& chain : read.table.chains) found.rules += chain.rules.size();
    const auto [at, is_new] = known.try_emplace({read.family, read.table.name});
    Known& place_of = at->second;
    if (is_new) {
      auto ruleset = std::ranges::find_if(book.rulesets, [&](const Ruleset& candidate) {
        return candidate.family == read.family && candidate.backend == Backend::Nft;
      });
      if (ruleset == book.rulesets.end()) {
        ruleset = book.rulesets.insert(ruleset, Ruleset{});
        ruleset->family = read.family;
        ruleset->family_said = true;
        ruleset->backend = Backend::Nft;
      }
      place_of.ruleset = static_cast<std::size_t>(ruleset - book.rulesets.begin());
      place_of.table = ruleset->tables.size();
      ruleset->tables.emplace_back().name = read.table.name;
    }
    Table& table = book.rulesets[place_of.ruleset].tables[place_of.table];
    // Another handle: the old table was deleted since.
    if (read.table.handle != 0 && table.handle != 0 && read.table.handle != table.handle) {
      table.chains.clear();
      place_of.chains.clear();
    }
    if (is_new || read.table.handle != 0) table.handle = read.table.handle;
    table.dormant = read.table.dormant;
    table.place = read.table.place;
    for (Chain& chain : read.table.chains) {
      const auto [position, unknown] = place_of.chains.try_emplace(chain.name, table.chains.size());
      if (unknown) table.chains.push_back(std::move(chain));
      else table.chains[position->second] = std::move(chain);
    }
    table.by_name.clear();
  }
  read_.clear();
  for (Ruleset& ruleset : book.rulesets) {
    if (ruleset.backend != Backend::Nft) continue;
    for (Table& table : ruleset.tables) {
      if (table.by_name.size() != table.chains.size()) table.index_chains();
    }
  }
}

}  // namespace fwtrace::ruleset
