// Tells line by line what it is looking at. Nothing here knows what a rule means.
#include "ruleset/read_rules.h"

#include "base/text.h"
#include "ruleset/reader.h"

namespace fwtrace::ruleset {

using base::Severity;
using packet::Family;

namespace {

// The family that a file's name says: "rules.v6", "ip6tables.save", "fw-ipv4.txt", "forms.rules6".
Family family_of_file_name(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) name = name.substr(slash + 1);
  const auto is_part = [&](std::size_t i) {
    return base::is_digit(name[i]) || (name[i] | 0x20) >= 'a' || (name[i] & 0x80) != 0;
  };
  for (std::size_t i = 0; i < name.size();) {
    if (!is_part(i)) {
      ++i;
      continue;
    }
    const std::size_t begin = i;
    while (i < name.size() && is_part(i)) ++i;
    const std::string_view part = name.substr(begin, i - begin);
    if (part.find("ip6") != part.npos || part.find("ipv6") != part.npos || part == "rules6")
      return Family::Ip6;
    if (part.find("ip4") != part.npos || part.find("ipv4") != part.npos || part == "rules4")
      return Family::Ip;
    const bool version =
        i + 1 < name.size() && name[i] == '.' && base::is_digit(name[i + 1]);  // "fw-v6.2.rules"
    if (version) continue;
    if (part == "v6") return Family::Ip6;
    if (part == "v4") return Family::Ip;
  }
  return Family::None;
}

// "v1.8.7 on …": iptables-nft-save before 1.8.8 does not say "(nf_tables)", so such a version says nothing of
// the backend (iptables/xtables.c, xtables_globals.program_version).
Backend backend_of_version(std::string_view text) {
  if (text.find("(nf_tables)") != std::string_view::npos) return Backend::NftCompat;
  if (text.find("(legacy)") != std::string_view::npos) return Backend::Legacy;
  const std::size_t v = text.find('v');
  if (v == std::string_view::npos) return Backend::Unknown;
  const std::string_view version =
      text.substr(v + 1, text.find(' ', v) == std::string_view::npos ? text.npos : text.find(' ', v) - v - 1);
  const auto parts = base::split(version, '.');
  if (parts.size() < 2) return Backend::Unknown;
  const auto major = base::parse_number<unsigned>(parts[0]), minor = base::parse_number<unsigned>(parts[1]);
  const auto patch = parts.size() > 2 ? base::parse_number<unsigned>(parts[2]) : std::optional<unsigned>(0);
  if (!major || !minor || !patch) return Backend::Unknown;
  const bool said = *major > 1 || *minor > 8 || (*minor == 8 && *patch >= 8);
  return said || *major < 1 || *minor < 8 ? Backend::Legacy : Backend::Unknown;
}

}  // namespace

void Reader::read(std::string_view text, bool skip) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (skip) {
    raw_ = text.substr(0, 0);
    skip_rules("the file's name says ebtables or arptables");
  }
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    ++line_;
    line(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  close();
}

void Reader::line(std::string_view raw) {
  raw_ = raw;
  std::string_view text = base::trim(raw);
  while (text.starts_with("> ") || (text.size() > 1 && text.starts_with('>') &&
                                    std::string_view("*:-#[>").find(text[1]) != text.npos)) {
    text = base::trim(text.substr(1));
  }
  if (text.empty() || text == ">") {
    after_blank_ = true;
    return;
  }
  if (!known_line(text)) ++found.other_lines;
  after_blank_ = false;
}

// False for prose.
bool Reader::known_line(std::string_view text) {
  switch (text[0]) {
    case '*':
      if (table_line(text)) return true;
      break;
    case ':':
      if (chain_line(text)) return true;
      break;
    case '[':
      if (counted_line(text)) return true;
      break;
    case '-':
      if (rule_line(text, std::nullopt)) return true;
      break;
    case '#':
      if (comment_line(text)) return true;
      break;
    case '{':
      if (text.substr(0, 400).find("\"nftables\"") != text.npos) {
        found.looks_like_nft = nft_json_ = true;
        return true;
      }
      break;
    case '"':
      if (text.starts_with("\"nftables\"")) return found.looks_like_nft = nft_json_ = true;
      break;
    case 'C':
      if (text == "COMMIT") {
        if (Draft* draft = current()) draft->committed = true;
        close();
        return true;
      }
      break;
    case 't':
      if (text.starts_with("table ") && text.find('{') != text.npos) {
        const auto words = base::split_words(text);
        if (words.size() >= 3 && packet::parse_family(words[1])) return found.looks_like_nft = true;
      }
      break;
    default: break;
  }
  if (nft_json_) return false;
  if (listing_line(text) || command_line(text)) return true;
  if (text.starts_with("Bridge table:") && !skipping_) skip_rules("this is an ebtables listing");
  if ((text == "..." || text == "[...]" || text == "…" || text == "[…]" || text == "<snip>" ||
       text == "[snip]") &&
      current()) {
    tell(Severity::Note, "rules-left-out", text,
         "rules are left out here; the numbers of the rules after it may be too low");
  }
  return false;
}

bool Reader::comment_line(std::string_view text) {
  const std::string_view rest = base::trim(text.substr(1));
  if (rest.starts_with("Generated by ")) {
    const std::string_view by = rest.substr(13);
    const std::string_view tool = by.substr(0, by.find(' '));
    close();
    header_ = Said{};
    header_.family = family_of_tool(tool);
    if (header_.family == Family::Bridge || header_.family == Family::Arp) {
      skip_rules("this is written by " + std::string(tool));
      return true;
    }
    skipping_ = false;
    has_header_ = true;
    header_.backend = backend_of_tool(tool);
    if (header_.backend == Backend::Unknown) header_.backend = backend_of_version(by.substr(tool.size()));
    if (header_.backend == Backend::Unknown) header_.backend = command_.backend;
    if (header_.family == Family::None) header_.family = command_.family;
    return true;
  }
  if (rest.starts_with("Completed on")) {
    close();
    has_header_ = false;
    return true;
  }
  if (rest.starts_with("Warning: ip") && rest.find("tables-legacy tables present") != rest.npos) {
    // Only iptables-nft says this.
    found.legacy_tables_warning = true;
    for (std::size_t i = first_of_command_; i < drafts_.size(); ++i) {
      if (drafts_[i].backend == Backend::Unknown) drafts_[i].backend = Backend::NftCompat;
    }
    for (Said* said : {&command_, &header_}) {
      if (said->backend == Backend::Unknown) said->backend = Backend::NftCompat;
    }
    return true;
  }
  return false;
}

bool Reader::table_line(std::string_view text) {
  const std::string_view name = text.substr(1);
  if (name == "broute") {
    skip_rules("ebtables alone has a table \"broute\"");
    return true;
  }
  if (!is_table_name(name)) {
    if (!is_open_ || drafts_.back().form != Form::Save || name.empty() ||
        name.find_first_of(" *") != name.npos)
      return false;
    tell(Severity::Warning, "unknown-table", text,
         "iptables has no table \"" + std::string(name) + "\"; its rules are not read as any table's");
    close();
    return true;
  }
  close();
  if (skipping_) return true;
  Draft& draft = open_draft(Form::Save, has_header_ ? header_ : command_);
  draft.table = name;
  draft.whole = true;
  draft.one_chain = false;
  return true;
}

bool Reader::chain_line(std::string_view text) {
  if (skipping_) return true;
  const auto words = base::split_words(text.substr(1));
  const bool in_save = is_open_ && drafts_.back().form == Form::Save;
  const bool good =
      words.size() >= 2 && words[0].data() == text.data() + 1 && (is_policy(words[1]) || words[1] == "-");
  if (!good) {
    if (!in_save || words.empty()) return false;
    tell(Severity::Warning, "damaged-chain", words.size() > 1 ? words[1] : text,
         "a chain line is \":NAME POLICY [packets:bytes]\", with ACCEPT, DROP or \"-\" for the policy");
    if (words[0].size() < 64 && words[0].find_first_of("[]:") == words[0].npos)
      drafts_.back().chain(words[0], place(text), true);
    return true;
  }
  Draft& draft = in_save ? drafts_.back() : declare(Form::Commands, words[0], words[1] != "-");
  Chain& chain = draft.at(draft.chain(words[0], place(text), true));
  chain.policy = policy_of(words[1]);
  if (words.size() > 2) {
    chain.counters = parse_counters(words[2]);
    if (!chain.counters && words[2].starts_with('[')) {
      tell(Severity::Warning, "damaged-counters", words[2], "these counters are not \"[packets:bytes]\"");
    }
  } else if (in_save && header_.family == Family::None) {
    draft.not_for_ip = draft.not_for_ip || words[0] == "BROUTING";
  }
  return true;
}

// "[1:60] -A INPUT …", or a prompt such as "[root@gw ~]# iptables -S".
bool Reader::counted_line(std::string_view text) {
  const std::size_t close_at = text.find(']');
  const std::size_t dash = text.substr(0, 64).find(" -");
  if (text.size() < 2 || !base::is_digit(text[1])) return false;
  if (close_at != text.npos && (dash == text.npos || close_at <= dash)) {
    const std::string_view rest = base::trim(text.substr(close_at + 1));
    if (rest.empty() || rest[0] != '-') return false;
    const auto counters = parse_counters(text.substr(0, close_at + 1));
    if (!counters && !skipping_)
      tell(Severity::Warning, "damaged-counters", text, "these counters are not \"[packets:bytes]\"");
    return rule_line(rest, counters);
  }
  if (dash == text.npos || operation_of(text.substr(dash + 1, 2)) == Operation::None) return false;
  if (!skipping_)
    tell(Severity::Warning, "damaged-counters", text, "these counters are not \"[packets:bytes]\"");
  return rule_line(text.substr(dash + 1), std::nullopt);
}

RulesFound read_rules(std::string_view text, std::uint32_t source, std::string_view file_name, Rulebook& book,
                      base::Diagnostics& diagnostics) {
  const bool skip =
      file_name.find("ebtables") != file_name.npos || file_name.find("arptables") != file_name.npos;
  const Family family = family_of_file_name(file_name);
  Reader reader(source, diagnostics);
  reader.read(text, skip);
  settle(reader.take_drafts(), family, book, reader.found, diagnostics);
  return reader.found;
}

}  // namespace fwtrace::ruleset
