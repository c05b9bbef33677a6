// Listed matches and target options back to iptables words. One row for each form that is certain.
#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "ruleset/listing.h"

namespace fwtrace::ruleset {
namespace {

// The words of a rest, read from the front; blanks outside words do not matter.
class Words {
 public:
  explicit Words(std::string_view text) : text_(base::trim(text)), words_(base::split_words(text_)) {}
  bool done() const { return at_ == words_.size(); }
  std::string_view peek(std::size_t ahead = 0) const {
    return at_ + ahead < words_.size() ? words_[at_ + ahead] : std::string_view();
  }
  void skip(std::size_t count) { at_ = std::min(at_ + count, words_.size()); }
  // The text from the next word on, as it stands.
  std::string_view rest() const {
    return done() ? std::string_view()
                  : text_.substr(static_cast<std::size_t>(words_[at_].data() - text_.data()));
  }
  void skip_to(std::size_t offset_in_rest) {
    const char* to = rest().data() + offset_in_rest;
    while (!done() && words_[at_].data() < to) ++at_;
  }

 private:
  std::string_view text_;
  std::vector<std::string_view> words_;
  std::size_t at_ = 0;
};

void put(std::string& out, std::string_view option, std::string_view value) {
  if (!out.empty()) out += ' ';
  const bool negated = value.starts_with('!');
  if (negated) out += "! ";
  out += option;
  out += ' ';
  out += negated ? value.substr(1) : value;
}

struct Row {
  std::string_view listed;  // words before the value, one blank between them
  std::string_view words;   // iptables words before the value
  std::string_view module;  // "-m …" to say first; "" for target options
  std::string_view target;  // only for this target; "" for any
};

// `listed VALUE` → `words VALUE`.
constexpr auto kRows = std::to_array<Row>({
    {"ctstate", "--ctstate", "conntrack", ""},
    {"state", "--state", "state", ""},
    {"multiport dports", "--dports", "multiport", ""},
    {"multiport sports", "--sports", "multiport", ""},
    {"multiport ports", "--ports", "multiport", ""},
    {"mark match", "--mark", "mark", ""},
    {"connmark match", "--mark", "connmark", ""},
    {"icmptype", "--icmp-type", "icmp", ""},
    {"ipv6-icmptype", "--icmpv6-type", "icmp6", ""},
    {"MAC", "--mac-source", "mac", ""},
    {"owner UID match", "--uid-owner", "owner", ""},
    {"owner GID match", "--gid-owner", "owner", ""},
    {"statistic mode random probability", "--mode random --probability", "statistic", ""},
    {"ADDRTYPE match dst-type", "--dst-type", "addrtype", ""},
    {"ADDRTYPE match src-type", "--src-type", "addrtype", ""},
    {"reject-with", "--reject-with", "", "REJECT"},
    {"redir ports", "--to-ports", "", "REDIRECT"},
    {"masq ports:", "--to-ports", "", "MASQUERADE"},
    {"CT notrack", "--notrack", "", "CT"},
    {"TCPMSS clamp to PMTU", "--clamp-mss-to-pmtu", "", "TCPMSS"},
    {"TCPMSS set", "--set-mss", "", "TCPMSS"},
    {"NFQUEUE num", "--queue-num", "", "NFQUEUE"},
});

bool takes_value(const Row& row) { return row.words != "--notrack" && row.words != "--clamp-mss-to-pmtu"; }

bool try_row(const Row& row, std::string_view target, Words& words, ListedRest& out) {
  if (!row.target.empty() && row.target != target) return false;
  if (!row.listed.starts_with(words.peek())) return false;
  std::size_t count = 0;
  for (const std::string_view word : base::split_words(row.listed)) {
    if (words.peek(count++) != word) return false;
  }
  std::string_view value = takes_value(row) ? words.peek(count) : std::string_view();
  if (takes_value(row) && (value.empty() || value.starts_with("/*"))) return false;
  if (row.module.empty()) {
    if (!out.options.empty()) out.options += ' ';
    out.options += row.words;
    if (!value.empty()) (out.options += ' ') += value;
  } else {
    if (!out.matches.empty()) out.matches += ' ';
    (out.matches += "-m ") += row.module;
    // "mark match ! 0x1" and "! ctstate" come with a blank; other modules glue the sign to the value.
    if (value == "!" && !words.peek(count + 1).empty()) {
      out.matches += " !";
      value = words.peek(++count);
    }
    put(out.matches, row.words, value);
  }
  words.skip(count + (takes_value(row) ? 1 : 0));
  return true;
}

// "0x17" → "FIN,SYN,RST,ACK", as libxt_tcp.c prints them.
bool put_flags(std::string& out, std::string_view hex) {
  const auto bits = base::parse_unsigned(hex);
  if (!bits || *bits > 0x3F || !hex.starts_with("0x")) return false;
  constexpr std::array<std::string_view, 6> kFlags = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"};
  out += ' ';
  const std::size_t begin = out.size();
  for (std::size_t i = 0; i < kFlags.size(); ++i) {
    if ((*bits >> i & 1U) == 0) continue;
    if (out.size() > begin) out += ',';
    out += kFlags[i];
  }
  if (*bits == 0) out += "NONE";
  return true;
}

// "tcp spt:53 dpts:!1024:65535 flags:0x17/0x02". All of its parts or nothing.
bool try_ports(Words& words, ListedRest& out) {
  const std::string_view protocol = words.peek();
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp" && protocol != "dccp") return false;
  std::string text;
  std::size_t count = 1;
  for (;; ++count) {
    const std::string_view word = words.peek(count);
    const std::size_t colon = word.find(':');
    if (word.starts_with("option=")) return false;
    if (colon == std::string_view::npos || colon + 1 == word.size()) break;
    const std::string_view name = word.substr(0, colon);
    std::string_view value = word.substr(colon + 1);
    if (name == "flags" && protocol == "tcp") {
      if (!text.empty()) text += ' ';
      if (value.starts_with('!')) {
        text += "! ";
        value.remove_prefix(1);
      }
      text += "--tcp-flags";
      const std::size_t slash = value.find('/');
      if (slash == std::string_view::npos || !put_flags(text, value.substr(0, slash)) ||
          !put_flags(text, value.substr(slash + 1)))
        return false;
    } else if (name == "spt" || name == "spts") {
      put(text, "--sport", value);
    } else if (name == "dpt" || name == "dpts") {
      put(text, "--dport", value);
    } else {
      break;
    }
  }
  if (!out.matches.empty()) out.matches += ' ';
  (out.matches += "-m ") += protocol;  // alone: "-m tcp" without an option
  if (!text.empty()) (out.matches += ' ') += text;
  words.skip(count);
  return true;
}

bool try_comment(Words& words, ListedRest& out) {
  if (words.peek() != "/*") return false;
  const std::string_view rest = words.rest();
  std::size_t end = rest.find(" */");
  while (end != std::string_view::npos && end + 3 < rest.size() && rest[end + 3] != ' ')
    end = rest.find(" */", end + 1);
  if (end == std::string_view::npos || end < 3) return false;
  const std::string_view comment = rest.substr(3, end - 3);
  if (out.comment.empty()) out.comment = comment;
  if (!out.matches.empty()) out.matches += ' ';
  out.matches += "-m comment --comment \"";
  for (const char c : comment) {
    if (c == '"' || c == '\\') out.matches += '\\';
    out.matches += c;
  }
  out.matches += '"';
  words.skip_to(end + 3);
  return true;
}

bool try_limit(Words& words, ListedRest& out) {
  if (words.peek() != "limit:" || words.peek(1) != "avg" || words.peek(3) != "burst" || words.peek(4).empty())
    return false;
  if (!out.matches.empty()) out.matches += ' ';
  out.matches += "-m limit";
  put(out.matches, "--limit", words.peek(2));
  if (words.peek(4) != "5") put(out.matches, "--limit-burst", words.peek(4));
  words.skip(5);
  return true;
}

bool try_set(Words& words, ListedRest& out) {
  const std::size_t negated = words.peek() == "!" ? 1 : 0;
  if (words.peek(negated) != "match-set" || words.peek(negated + 2).empty()) return false;
  if (!out.matches.empty()) out.matches += ' ';
  out.matches += negated ? "-m set ! --match-set " : "-m set --match-set ";
  ((out.matches += words.peek(negated + 1)) += ' ') += words.peek(negated + 2);
  words.skip(negated + 3);
  return true;
}

bool try_address(std::string_view target, Words& words, ListedRest& out) {
  const std::string_view word = words.peek();
  if (!word.starts_with("to:") || word.size() == 3) return false;
  const std::string_view option = target == "DNAT"     ? "--to-destination"
                                  : target == "SNAT"   ? "--to-source"
                                  : target == "NETMAP" ? "--to"
                                                       : "";
  if (option.empty()) return false;
  put(out.options, option, word.substr(3));
  words.skip(1);
  return true;
}

bool try_log(std::string_view target, Words& words, ListedRest& out) {
  if (target != "LOG" || words.peek() != "LOG" || words.peek(1) != "flags" || words.peek(2) != "0" ||
      words.peek(3) != "level" || words.peek(4).empty())
    return false;
  const std::string_view level = words.peek(4);
  Words after = words;
  after.skip(5);
  std::string prefix;
  if (after.peek() == "prefix") {
    const std::string_view rest = after.rest();
    const std::size_t begin = rest.find('"'), end = rest.rfind('"');
    if (begin == std::string_view::npos || end <= begin || end + 1 != rest.size()) return false;
    prefix = rest.substr(begin, end - begin + 1);
    after.skip_to(rest.size());
  }
  if (!prefix.empty()) put(out.options, "--log-prefix", prefix);
  if (level != "4") put(out.options, "--log-level", level);
  words = after;
  return true;
}

bool try_mark(std::string_view target, Words& words, ListedRest& out) {
  const std::string_view what = words.peek(1), value = words.peek(2);
  if (target != "MARK" || words.peek() != "MARK" || (what != "set" && what != "or") || value.empty())
    return false;
  put(out.options, "--set-xmark", value);
  (out.options += '/') += what == "or" ? value : "0xffffffff";
  words.skip(3);
  return true;
}

}  // namespace

ListedRest translate_listed_rest(std::string_view rest, std::string_view target) {
  ListedRest out;
  Words words(rest);
  while (!words.done()) {
    bool done = try_ports(words, out) || try_comment(words, out) || try_limit(words, out) ||
                try_set(words, out) || try_address(target, words, out) || try_log(target, words, out) ||
                try_mark(target, words, out);
    for (std::size_t i = 0; i < kRows.size() && !done; ++i) done = try_row(kRows[i], target, words, out);
    if (!done) {
      out.as_listed = words.rest();
      break;
    }
  }
  return out;
}

}  // namespace fwtrace::ruleset
