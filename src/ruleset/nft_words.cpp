#include "ruleset/nft_words.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "base/text.h"

namespace fwtrace::ruleset {

using packet::Family;

namespace {

struct Word {
  std::string_view text;
  bool quoted = false;
  int depth = 0;  // within braces: a set's or map's elements
};

// Words at blanks; quotes keep theirs (nft knows no escapes). Braces stand alone.
std::vector<Word> split_nft(std::string_view text) {
  std::vector<Word> words;
  int depth = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (base::is_space(text[i])) {
      ++i;
      continue;
    }
    const std::size_t begin = i;
    if (text[i] == '"') {
      const std::size_t end = text.find('"', i + 1);
      i = end == std::string_view::npos ? text.size() : end + 1;
      words.push_back({text.substr(begin, i - begin), true, depth});
      continue;
    }
    if (text[i] == '{' || text[i] == '}') {
      if (text[i] == '}' && depth > 0) --depth;
      words.push_back({text.substr(i++, 1), false, depth});
      if (text[begin] == '{') ++depth;
      continue;
    }
    while (i < text.size() && !base::is_space(text[i]) && text[i] != '{' && text[i] != '}') ++i;
    words.push_back({text.substr(begin, i - begin), false, depth});
  }
  return words;
}

bool is_plain(const std::vector<Word>& words, std::size_t i, std::string_view wanted) {
  return i < words.size() && !words[i].quoted && words[i].depth == 0 && words[i].text == wanted;
}

bool is_number(const std::vector<Word>& words, std::size_t i) {
  return i < words.size() && base::parse_number<std::uint64_t>(words[i].text).has_value();
}

// Is the word the value of a comparison ("icmp type redirect", "ct status != dnat"), not a statement?
bool is_value(const std::vector<Word>& words, std::size_t i) {
  static constexpr auto kBefore =
      std::to_array<std::string_view>({"type", "status", "==", "!=", "<", ">", "<=", ">=", "|", "&", "set"});
  return i > 0 && !words[i - 1].quoted && std::ranges::find(kBefore, words[i - 1].text) != kBefore.end();
}

struct Ending {
  Effect effect = Effect::Continue;
  std::string target;
};

// What the statement at `i` does, if it is one that ends the rule.
std::optional<Ending> ending_at(const std::vector<Word>& words, std::size_t i) {
  const Word& word = words[i];
  if (word.quoted || word.depth > 0 || is_value(words, i)) return std::nullopt;
  const bool last = i + 1 == words.size();
  const auto next = [&](std::string_view wanted) { return is_plain(words, i + 1, wanted); };
  if (word.text == "accept" && last) return Ending{Effect::Accept, "accept"};
  if (word.text == "drop" && last) return Ending{Effect::Drop, "drop"};
  if (word.text == "return" && last) return Ending{Effect::Return, "return"};
  if (word.text == "continue" && last) return Ending{Effect::Continue, ""};
  if (word.text == "reject" && (last || next("with"))) return Ending{Effect::Reject, "reject"};
  if (word.text == "queue" && (last || next("num") || next("flags") || next("to") || next("bypass")))
    return Ending{Effect::Queue, "queue"};
  const bool translates = word.text == "dnat" || word.text == "snat";
  if (translates && (next("to") || next("ip") || next("ip6") || next("prefix")))
    return Ending{Effect::Accept, std::string(word.text)};
  if (word.text == "masquerade" || word.text == "redirect")
    return Ending{Effect::Accept, std::string(word.text)};
  // The packet is taken away (nft_fwd_netdev, nft_synproxy), by conditions that the rule does not show.
  if ((word.text == "fwd" && (next("to") || next("ip") || next("ip6"))) || word.text == "synproxy")
    return Ending{Effect::Unknown, std::string(word.text)};
  return std::nullopt;
}

Ending ending_of(const std::vector<Word>& words, std::string_view body) {
  const std::size_t count = words.size();
  for (std::size_t i = 0; i + 1 < count; ++i) {
    const bool maps = is_plain(words, i, "vmap") && (words[i + 1].text == "{" || words[i + 1].text[0] == '@');
    if (maps) return {Effect::Unknown, ""};
    if (is_plain(words, i, "xt") && is_plain(words, i + 1, "target") && i + 2 < count) {
      std::string_view name = words[i + 2].text;
      if (name.size() > 1 && words[i + 2].quoted) name = name.substr(1, name.size() - 2);
      return {effect_of_target(name), std::string(name)};
    }
  }
  // A chain's name may look like anything, "drop" and "a{b;" too: it is all that stands behind "jump".
  for (std::size_t i = 0; i + 1 < count; ++i) {
    const bool jumps = is_plain(words, i, "jump") || is_plain(words, i, "goto");
    if (!jumps || is_value(words, i)) continue;
    const std::string_view name =
        body.substr(static_cast<std::size_t>(words[i + 1].text.data() - body.data()));
    if (name.find_first_of(" \t") != std::string_view::npos) continue;
    return {words[i].text == "jump" ? Effect::Jump : Effect::Goto, std::string(name)};
  }
  for (std::size_t i = count; i-- > 0;) {
    if (auto ending = ending_at(words, i)) return std::move(*ending);
  }
  return {};
}

// No condition: nothing but a counter and a log before the ending. Anything else is left open, except what begins
// with a selector, which every condition does.
std::optional<bool> is_conditional(const std::vector<Word>& words, const Ending& ending) {
  std::size_t i = 0;
  if (is_plain(words, i, "counter")) ++i;
  if (is_plain(words, i, "log")) {
    ++i;
    while (i + 1 < words.size() && (is_plain(words, i, "prefix") || is_plain(words, i, "level") ||
                                    is_plain(words, i, "group") || is_plain(words, i, "flags")))
      i += 2;
  }
  if (i == words.size()) return false;
  if (ending.effect != Effect::Continue && ending_at(words, i)) return false;
  if (is_plain(words, i, "jump") || is_plain(words, i, "goto")) return false;
  static constexpr auto kSelectors = std::to_array<std::string_view>(
      {"ip",      "ip6",     "tcp",     "udp",     "icmp",     "icmpv6",  "ether", "vlan",
       "arp",     "iifname", "iif",     "oif",     "oifname",  "fib",     "sctp",  "udplite",
       "dccp",    "esp",     "ah",      "th",      "socket",   "rt",      "ipsec", "iiftype",
       "oiftype", "limit",   "ibrname", "obrname", "iifgroup", "oifgroup"});
  if (!words[i].quoted && std::ranges::find(kSelectors, words[i].text) != kSelectors.end()) return true;
  return std::nullopt;
}

// "comment "…"" at the end. A comment that was set by other programs than nft may have quotes in it.
std::size_t find_comment(std::string_view text) {
  static constexpr std::string_view kComment = "comment \"";
  if (text.size() < kComment.size() + 1 || text.back() != '"') return std::string_view::npos;
  bool quote = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!quote && text.substr(i).starts_with(kComment) && (i == 0 || base::is_space(text[i - 1]))) return i;
    if (text[i] == '"') quote = !quote;
  }
  return std::string_view::npos;
}

struct PriorityName {
  std::string_view name;
  std::int32_t number, bridge;
};
// nft: src/rule.c, std_prios and bridge_std_prios (0: the family has no such name).
constexpr auto kPriorities = std::to_array<PriorityName>({{"raw", -300, 0},
                                                          {"mangle", -150, 0},
                                                          {"dstnat", -100, -300},
                                                          {"filter", 0, -200},
                                                          {"security", 50, 0},
                                                          {"srcnat", 100, 300},
                                                          {"out", 100, 100}});

}  // namespace

bool has_nft_word(std::string_view text, std::string_view word) {
  for (const Word& found : split_nft(text)) {
    if (!found.quoted && (found.text == word || (word == "@" && found.text.starts_with('@')))) return true;
  }
  return false;
}

Rule parse_nft_rule(std::string_view text) {
  Rule rule;
  text = base::trim(text);
  const std::size_t comment = find_comment(text);
  std::string_view body = text;
  if (comment != std::string_view::npos) {
    rule.comment = text.substr(comment + 9, text.size() - comment - 10);
    body = base::trim(text.substr(0, comment));
  }
  std::vector<Word> words = split_nft(body);
  for (std::size_t i = 0; i + 4 < words.size(); ++i) {
    if (!is_plain(words, i, "counter") || !is_plain(words, i + 1, "packets") || !is_number(words, i + 2) ||
        !is_plain(words, i + 3, "bytes") || !is_number(words, i + 4))
      continue;
    rule.counters = Counters{base::parse_number<std::uint64_t>(words[i + 2].text).value_or(0),
                             base::parse_number<std::uint64_t>(words[i + 4].text).value_or(0)};
    const auto offset = [&](const char* at) { return static_cast<std::size_t>(at - text.data()); };
    const std::size_t begin = offset(words[i].text.data()) + words[i].text.size();
    const std::size_t end = offset(words[i + 4].text.data()) + words[i + 4].text.size();
    rule.text = std::string(text.substr(0, begin)) + std::string(text.substr(end));
    const auto first = words.begin() + static_cast<std::ptrdiff_t>(i);
    words.erase(first + 1, first + 5);
    break;
  }
  if (!rule.counters) rule.text = text;
  Ending ending = ending_of(words, body);
  rule.conditional = is_conditional(words, ending);
  rule.effect = ending.effect;
  rule.target = std::move(ending.target);
  return rule;
}

std::optional<std::int32_t> parse_nft_priority(std::string_view text, Family family) {
  const auto words = base::split_words(text);
  if (words.empty() || words.size() > 3) return std::nullopt;
  const auto* const named = std::ranges::find(kPriorities, words[0], &PriorityName::name);
  if (named == kPriorities.end()) {
    return words.size() == 1 ? base::parse_number<std::int32_t>(words[0]) : std::nullopt;
  }
  std::int64_t number = family == Family::Bridge ? named->bridge : named->number;
  if (words.size() == 2) return std::nullopt;
  if (words.size() == 3) {
    const auto more = base::parse_number<std::int32_t>(words[2]);
    if (!more || (words[1] != "+" && words[1] != "-")) return std::nullopt;
    number += words[1] == "+" ? std::int64_t{*more} : -std::int64_t{*more};
  }
  if (number < std::numeric_limits<std::int32_t>::min() || number > std::numeric_limits<std::int32_t>::max())
    return std::nullopt;
  return static_cast<std::int32_t>(number);
}

bool parse_nft_hook(std::string_view text, Family family, Chain& chain) {
  const std::vector<Word> words = split_nft(text);
  if (words.size() < 4 || !is_plain(words, 0, "type") || !is_plain(words, 2, "hook")) return false;
  const auto hook = packet::parse_hook(words[3].text);
  if (!hook) return false;
  chain.type = words[1].text;
  chain.hook = *hook;
  for (std::size_t i = 4; i + 1 < words.size(); ++i) {
    if (!is_plain(words, i, "priority")) continue;
    const auto at = static_cast<std::size_t>(words[i + 1].text.data() - text.data());
    chain.priority = parse_nft_priority(text.substr(at), family);
    break;
  }
  return true;
}

}  // namespace fwtrace::ruleset
