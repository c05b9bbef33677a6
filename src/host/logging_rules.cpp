#include "host/logging_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/text.h"
#include "trace/markers.h"

namespace fwtrace::host {
namespace {

// Words, with text in quotes as one word, its quotes kept. A backslash takes the next character as it is.
std::vector<std::string_view> quoted_words(std::string_view line) {
  std::vector<std::string_view> words;
  std::size_t begin = std::string_view::npos;
  bool quoted = false;
  for (std::size_t i = 0; i <= line.size(); ++i) {
    const bool ends = i == line.size() || (!quoted && base::is_space(line[i]));
    if (ends) {
      if (begin != std::string_view::npos) words.push_back(line.substr(begin, i - begin));
      begin = std::string_view::npos;
      continue;
    }
    if (begin == std::string_view::npos) begin = i;
    if (line[i] == '"') quoted = !quoted;
    else if (line[i] == '\\' && i + 1 < line.size()) ++i;
  }
  return words;
}

// The word behind `name`; nothing if it is not there.
std::optional<std::string_view> word_after(const std::vector<std::string_view>& words,
                                           std::string_view name) {
  const auto at = std::ranges::find(words, name);
  if (at == words.end() || at + 1 == words.end()) return std::nullopt;
  return *(at + 1);
}

std::optional<LoggingRule::Kind> kind_of_iptables(const std::vector<std::string_view>& words) {
  const auto target = word_after(words, "-j");
  if (target == "TRACE") return LoggingRule::Kind::Trace;
  if (target == "LOG") return LoggingRule::Kind::Log;
  // iptables prints no group if it is 0, the default.
  if (target == "NFLOG" && word_after(words, "--nflog-group").value_or("0") == "0")
    return LoggingRule::Kind::Group0;
  return std::nullopt;
}

std::optional<LoggingRule::Kind> kind_of_nft(const std::vector<std::string_view>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "nftrace" && i > 0 && words[i - 1] == "meta" && i + 2 < words.size() &&
        words[i + 1] == "set" && words[i + 2] != "0")
      return LoggingRule::Kind::Trace;
    if (words[i] == "log") {
      const std::vector<std::string_view> rest(words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      const auto group = word_after(rest, "group");
      if (!group) return LoggingRule::Kind::Log;
      if (group == "0") return LoggingRule::Kind::Group0;
    }
  }
  return std::nullopt;
}

// "… # handle 12" as its two parts; 0 if there is none. The last one: a quoted comment may hold the words too.
std::uint64_t take_handle(std::string_view& line) {
  constexpr std::string_view kMark = "# handle ";
  const auto at = line.rfind(kMark);
  if (at == std::string_view::npos) return 0;
  const auto handle = base::parse_number<std::uint64_t>(base::trim(line.substr(at + kMark.size())));
  if (!handle) return 0;
  line = base::trim(line.substr(0, at));
  return *handle;
}

// A word of the -save text, which has iptables' own quoting.
std::string unquoted(std::string_view word) {
  std::string plain;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '"') continue;
    if (word[i] == '\\' && i + 1 < word.size()) ++i;
    plain += word[i];
  }
  return plain;
}

}  // namespace

std::string LoggingRule::removal() const {
  if (tool == "nft") {
    return fmt::format("nft delete rule {} {} {} handle {}", family, base::to_shell_word(table),
                       base::to_shell_word(chain), handle);
  }
  std::string command = fmt::format("{} -t {} -D", tool, table);
  const auto words = quoted_words(text);  // "-A CHAIN …"
  for (std::size_t i = 1; i < words.size(); ++i) command += " " + base::to_shell_word(unquoted(words[i]));
  return command;
}

SavedRules find_in_save(std::string_view text, const std::string& tool, const std::string& family) {
  SavedRules found;
  std::string table;
  std::map<std::string, std::uint32_t, std::less<>> numbers;
  for (const std::string_view line : base::split(text, '\n')) {
    if (line.starts_with('*')) {
      table = base::trim(line.substr(1));
      found.tables.push_back(family + " " + table);
      numbers.clear();
      continue;
    }
    if (!line.starts_with("-A ")) continue;
    const auto words = quoted_words(line);
    if (words.size() < 2) continue;
    ++found.rules;
    const std::string chain = unquoted(words[1]);
    const std::uint32_t number = ++numbers[chain];
    if (const auto kind = kind_of_iptables(words)) {
      found.logging.push_back({.kind = *kind,
                               .tool = tool,
                               .family = family,
                               .table = table,
                               .chain = chain,
                               .number = number,
                               .text = std::string(line)});
    }
  }
  return found;
}

SavedRules find_in_nft(std::string_view text, const std::vector<std::string>& elsewhere) {
  SavedRules found;
  std::string family, table, chain;
  std::optional<Flowtable> flowtable;
  std::string begun;  // a rule whose set was too long for one line
  bool skipped = false, other_block = false;
  std::uint32_t number = 0;
  for (const std::string_view raw : base::split(text, '\n')) {
    std::string_view line = base::trim(raw);
    const std::uint64_t handle = take_handle(line);
    const auto words = quoted_words(line);
    if (words.empty() || words[0].starts_with('#')) continue;
    const bool opens = words.back() == "{";
    if (line == "}") {  // of the innermost block; `devices = { a }` opens and closes within its line
      if (flowtable) found.flowtables.push_back(*flowtable);
      if (!flowtable && chain.empty() && !other_block) table.clear();
      flowtable.reset();
      chain.clear();
      other_block = false;
    } else if (table.empty()) {
      if (words[0] != "table" || words.size() < 4) continue;
      family = words[1];
      table = words[2];
      skipped =
          trace::is_our_table(table) || std::ranges::find(elsewhere, family + " " + table) != elsewhere.end();
      if (!skipped) found.tables.push_back(family + " " + table);
    } else if (chain.empty() && !flowtable && !other_block) {
      if (!opens || words.size() < 3) continue;
      if (words[0] == "chain") chain = words[1];
      else if (words[0] == "flowtable")
        flowtable = {.family = family, .table = table, .name = std::string(words[1]), .devices = {}};
      else other_block = true;
      number = 0;
    } else if (flowtable) {
      if (words[0] == "devices") {
        const auto from = line.find('{'), to = line.rfind('}');
        if (from != std::string_view::npos && to != std::string_view::npos && to > from)
          flowtable->devices = base::trim(line.substr(from + 1, to - from - 1));
      } else if (words[0] == "flags" && line.find("offload") != std::string_view::npos) {
        flowtable->offload = true;
      }
    } else if (!chain.empty() && handle == 0) {
      const bool of_the_chain =
          begun.empty() && (words[0] == "type" || words[0] == "policy" || words[0] == "comment");
      if (!of_the_chain) begun += std::string(line) + " ";
    } else if (!chain.empty()) {
      ++number;
      begun += line;
      const auto kind = kind_of_nft(quoted_words(begun));
      if (!skipped) ++found.rules;
      if (kind && !skipped) {
        found.logging.push_back({.kind = *kind,
                                 .tool = "nft",
                                 .family = family,
                                 .table = table,
                                 .chain = chain,
                                 .number = number,
                                 .handle = handle,
                                 .text = begun});
      }
      begun.clear();
    }
  }
  return found;
}

}  // namespace fwtrace::host
