#include "trace/nft_line.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"
#include "trace/monitor_text.h"
#include "trace/nft_headers.h"

namespace fwtrace::trace {
namespace {

using packet::Verdict;
constexpr std::string_view kStart = "trace id ";
constexpr std::size_t kNone = std::string_view::npos;

struct Keyword {
  std::string_view word;
  NftLine::Kind kind;
};
constexpr auto kKeywords = std::to_array<Keyword>({
    {"packet:", NftLine::Kind::Packet},
    {"conntrack:", NftLine::Kind::Conntrack},
    {"rule", NftLine::Kind::Rule},
    {"unknown", NftLine::Kind::Rule},  // "unknown rule handle 12 (verdict accept)"
    {"verdict", NftLine::Kind::Verdict},
    {"policy", NftLine::Kind::Policy},
});

NftLine::Kind keyword(std::string_view word) {
  const auto row = std::ranges::find(kKeywords, word, &Keyword::word);
  return row == kKeywords.end() ? NftLine::Kind::None : row->kind;
}

std::string_view without_quotes(std::string_view word) {
  if (word.size() >= 2 && word.front() == '"' && word.back() == '"') return word.substr(1, word.size() - 2);
  return word;
}

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size() && base::is_space(text[at])) ++at;
  return at;
}

// nft prints the whole code of a verdict that it does not name; the low byte is netfilter's own
// (linux/netfilter.h), the high half a queue's number.
Verdict verdict_of_code(std::uint64_t code) {
  static constexpr std::array<Verdict, 5> kCodes{Verdict::Drop, Verdict::Accept, Verdict::Stolen,
                                                 Verdict::Queue, Verdict::Repeat};
  return (code & 0xffU) < kCodes.size() ? kCodes[code & 0xffU] : Verdict::None;
}

// "accept", "jump services", "queue to 5", "unknown verdict value 327683". False if it is none or not all there.
bool read_verdict(std::string_view text, NftLine& line, std::size_t* end = nullptr) {
  std::size_t at = 0;
  const std::string_view word = take_word(text, at);
  if (word == "unknown") {
    std::string_view value;
    for (std::string_view next = take_word(text, at); !next.empty(); next = take_word(text, at)) value = next;
    const auto code = base::parse_unsigned(value);
    if (code) line.verdict = verdict_of_code(*code);
    if (end) *end = at;
    return code.has_value();
  }
  const auto verdict = packet::parse_verdict(word);
  if (!verdict) return false;
  if (*verdict == Verdict::Jump || *verdict == Verdict::Goto) {
    line.target = without_quotes(take_word(text, at));
    if (line.target.empty()) return false;
  }
  if (*verdict == Verdict::Queue) {
    std::size_t after = at;
    const std::string_view to = take_word(text, after);
    if ((to == "to" || to == "num") && !take_word(text, after).empty()) at = after;
  }
  line.verdict = *verdict;
  if (end) *end = at;
  return true;
}

// The "(verdict …)" that ends the line: the last one, and not inside a string. Annotations may follow it.
std::size_t find_rule_verdict(std::string_view text, std::size_t from) {
  static constexpr int kTries = 16;  // a rule has one comment and few prefixes; hostile text has no end
  std::size_t at = text.rfind("(verdict ");
  for (int i = 0; i < kTries && at != kNone && at >= from; ++i) {
    const std::string_view before = text.substr(from, at - from);
    if (std::ranges::count(before, '"') % 2 == 0) return at;
    at = at == 0 ? kNone : text.rfind("(verdict ", at - 1);
  }
  return kNone;
}

void read_rule(std::string_view text, bool unknown, NftLine& line) {
  std::size_t begin = line.payload;
  if (unknown) {  // "rule handle 12"
    std::size_t at = begin;
    const bool is_handle = take_word(text, at) == "rule" && take_word(text, at) == "handle";
    const auto handle = is_handle ? base::parse_number<std::uint64_t>(take_word(text, at)) : std::nullopt;
    if (handle) {
      line.handle = *handle;
      begin = at;
    }
  }
  const std::size_t verdict = find_rule_verdict(text, begin);
  line.rule_text = base::trim(text.substr(begin, (verdict == kNone ? text.size() : verdict) - begin));
  if (verdict != kNone) {
    const std::size_t inner = verdict + std::string_view("(verdict ").size();
    const std::size_t close = text.find(')', inner);
    std::size_t end = 0;
    if (close != kNone && read_verdict(text.substr(inner, close - inner), line, &end)) {
      line.complete = skip_blanks(text, inner + end) == close;
    }
  }
  // `nft -a` puts the handle behind the rule.
  static constexpr std::string_view kHandle = "# handle ";
  if (const std::size_t at = line.rule_text.rfind(kHandle); at != kNone) {
    if (const auto handle = base::parse_number<std::uint64_t>(line.rule_text.substr(at + kHandle.size()))) {
      line.handle = *handle;
      line.rule_text = base::trim(line.rule_text.substr(0, at));
    }
  }
}

}  // namespace

NftLine read_nft_line(std::string_view text) {
  NftLine line;
  std::size_t at = std::min(kStart.size(), text.size());
  const std::string_view id = take_word(text, at);
  if (const auto number = base::parse_number<std::uint32_t>(id, 16)) {
    line.id = *number;
    line.has_id = true;
  }
  // family, table, chain, keyword; one word less in examples without a family, more in names with blanks.
  struct Token {
    std::string_view word;
    std::size_t begin, end;
  };
  std::array<Token, 8> words{};
  for (Token& word : words) {
    word.begin = skip_blanks(text, at);
    word.word = take_word(text, at);
    word.end = at;
  }
  const auto family = packet::parse_family(words[0].word);
  std::size_t key = kNone;
  // Names may be spelt like keywords: the right place first, then the other places.
  for (const std::size_t place : {family ? 3UL : 2UL, family ? 2UL : 3UL, 1UL, 4UL, 5UL, 6UL, 7UL}) {
    if (keyword(words[place].word) == NftLine::Kind::None) continue;
    key = place;
    break;
  }
  line.damaged_at = words[0].begin;
  if (key == kNone) {
    // nft before 0.9 named no verdict for a policy: "trace id X ip raw prerouting " and perhaps "mark 0x2a".
    const bool bare = family && !words[1].word.empty() && !words[2].word.empty() &&
                      (words[3].word.empty() || words[3].word == "mark" || words[3].word == "meta") &&
                      text.substr(words[2].end).starts_with(" ");
    if (!bare || !line.has_id) return line;
    line.kind = NftLine::Kind::Policy;
    line.family = *family;
    line.table = without_quotes(words[1].word);
    line.chain = without_quotes(words[2].word);
    line.payload = line.rest = skip_blanks(text, words[2].end);
    line.complete = true;
    return line;
  }
  line.kind = keyword(words[key].word);
  line.payload = skip_blanks(text, words[key].end);
  if (family) line.family = *family;
  const std::size_t table = family || key > 2 ? 1 : 0;
  if (table < key) line.table = without_quotes(words[table].word);
  if (table + 1 < key) {
    const std::size_t begin = words[table + 1].begin;
    line.chain = without_quotes(text.substr(begin, words[key - 1].end - begin));
  }
  line.damaged_head = !line.has_id || line.table.empty() || line.chain.empty() || (!family && key > 2);
  switch (line.kind) {
    case NftLine::Kind::Rule: read_rule(text, words[key].word == "unknown", line); break;
    case NftLine::Kind::Verdict:
    case NftLine::Kind::Policy:
      line.complete = read_verdict(text.substr(line.payload), line, &line.rest);
      line.rest += line.payload;
      break;
    case NftLine::Kind::None:
    case NftLine::Kind::Packet:
    case NftLine::Kind::Conntrack: break;
  }
  return line;
}

namespace {

// Does a line of nft's begin at this "trace id "? An id, and then a family, or a keyword where one belongs.
bool is_start(std::string_view text, std::size_t at, bool first) {
  const std::string_view near = text.substr(at, 400);
  std::size_t end = kStart.size();
  const std::size_t id = end;
  while (end < near.size() && base::is_hex(near[end])) ++end;
  if (end == id || end - id > 8 || (end < near.size() && !base::is_space(near[end]))) return false;
  std::array<std::string_view, 5> words{};
  for (std::string_view& word : words) word = take_word(near, end);
  if (packet::parse_family(words[0])) return true;
  if (!first) return false;
  if (keyword(words[2]) != NftLine::Kind::None || keyword(words[3]) != NftLine::Kind::None) return true;
  // Cut behind the id: only if nothing else is in the line.
  if (!words[1].empty() || !without_quoting(text.substr(0, at)).empty()) return false;
  static constexpr std::array<std::string_view, 6> kFamilies{"inet", "ip6", "ip", "arp", "bridge", "netdev"};
  return std::ranges::any_of(kFamilies,
                             [&](std::string_view family) { return family.starts_with(words[0]); });
}

}  // namespace

std::size_t find_nft_line(std::string_view text, std::size_t from) {
  const bool first = from == 0;
  std::ptrdiff_t quotes = 0, all = -1;
  std::size_t counted = from;
  for (std::size_t at = find_text(text, kStart, from); at != kNone; at = find_text(text, kStart, at + 1)) {
    if (!is_start(text, at, first)) continue;
    if (first) return at;
    // Inside a string: an odd number of quotes on both sides. No rule is longer than what is counted.
    static constexpr std::size_t kLongest = 8192;
    if (all < 0) all = std::ranges::count(text.substr(from, kLongest), '"');
    if (at - from >= kLongest) return at;
    quotes += std::ranges::count(text.substr(counted, at - counted), '"');
    counted = at;
    if (quotes % 2 != 0 && (all - quotes) % 2 != 0) continue;
    return at;
  }
  return kNone;
}

bool is_nft_rule_word(std::string_view word) {
  static constexpr auto kWords = std::to_array<std::string_view>({
      "accept",     "drop",     "continue", "return",    "jump",        "goto",    "queue",   "reject",
      "counter",    "packets",  "bytes",    "comment",   "log",         "prefix",  "level",   "group",
      "limit",      "rate",     "over",     "burst",     "quota",       "snat",    "dnat",    "masquerade",
      "redirect",   "to",       "with",     "type",      "notrack",     "flow",    "add",     "update",
      "delete",     "set",      "map",      "vmap",      "mark",        "fib",     "rt",      "exthdr",
      "frag",       "hbh",      "dst",      "srh",       "socket",      "numgen",  "jhash",   "symhash",
      "osf",        "ipsec",    "tproxy",   "synproxy",  "dup",         "fwd",     "random",  "fully-random",
      "persistent", "flags",    "option",   "saddr",     "daddr",       "sport",   "dport",   "state",
      "status",     "xt",       "match",    "target",    "and",         "or",      "xor",     "!=",
      "==",         "(verdict", "rule",     "policy",    "verdict",     "reset",   "tcp",     "icmpx",
      "name",       "last",     "ipv4",     "ipv6",      "established", "related", "new",     "invalid",
      "untracked",  "local",    "unicast",  "broadcast", "multicast",   "exists",  "missing", "original",
      "reply",
  });
  if (word.empty()) return false;
  if (std::ranges::find(kWords, word) != kWords.end() || is_nft_field_word(word)) return true;
  static constexpr std::string_view kSigns = "{}(),:=!<>&|@\"./#-";
  return base::is_digit(word.front()) || kSigns.find(word.front()) != kNone;
}

}  // namespace fwtrace::trace
