#include "ruleset/listing.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace fwtrace::ruleset {
namespace {

using base::is_digit;

// "1093", "1093K", "81M": iptables rounds decimally without -x.
std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t unit = 1;
  if (!text.empty() && !is_digit(text.back())) {
    const std::size_t power = std::string_view("KMGTPE").find(text.back());
    if (power == std::string_view::npos) return std::nullopt;
    for (std::size_t i = 0; i <= power; ++i) unit *= 1000;
    text.remove_suffix(1);
  }
  const auto value = base::parse_number<std::uint64_t>(text);
  if (!value || (unit > 1 && *value > UINT64_MAX / unit)) return std::nullopt;
  return *value * unit;
}

struct ProtocolRow {
  std::string_view number, name;
};
constexpr auto kProtocols = std::to_array<ProtocolRow>({
    {"1", "icmp"},
    {"2", "igmp"},
    {"4", "ipencap"},
    {"6", "tcp"},
    {"17", "udp"},
    {"33", "dccp"},
    {"41", "ipv6"},
    {"47", "gre"},
    {"50", "esp"},
    {"51", "ah"},
    {"58", "ipv6-icmp"},
    {"89", "ospf"},
    {"103", "pim"},
    {"112", "vrrp"},
    {"132", "sctp"},
    {"135", "mobility-header"},
    {"136", "udplite"},
});
constexpr std::array<std::string_view, 5> kMoreNames = {"icmpv6", "ipv6-mh", "mh", "ipip", "all"};

bool is_everything(std::string_view protocol) { return protocol == "all" || protocol == "0"; }

bool is_protocol(std::string_view word) {
  if (word.starts_with('!')) word.remove_prefix(1);
  if (const auto number = base::parse_number<unsigned>(word)) return *number <= 255;
  return std::ranges::find(kProtocols, word, &ProtocolRow::name) != kProtocols.end() ||
         std::ranges::find(kMoreNames, word) != kMoreNames.end();
}

std::string_view protocol_name(std::string_view word) {
  const auto row = std::ranges::find(kProtocols, word, &ProtocolRow::number);
  return row == kProtocols.end() ? word : row->name;
}

bool is_opt(std::string_view word) { return word == "--" || word == "-f" || word == "!f"; }

// An address column: with -n an address, without it maybe a host's name.
bool is_address(std::string_view word, bool strict) {
  if (word.starts_with('!')) word.remove_prefix(1);
  if (word.empty()) return false;
  if (word == "anywhere" || word == "localhost" || word == "default") return true;
  if (!strict) return word.find_first_of("=\"(") == std::string_view::npos && word != "/*";
  return word.find('.') != std::string_view::npos ||
         (word.find(':') != std::string_view::npos && base::is_hex(word[0])) || word.starts_with("::");
}
bool is_any_address(std::string_view word) {
  return word == "0.0.0.0/0" || word == "::/0" || word == "anywhere";
}
bool is_any_interface(std::string_view word) { return word == "*" || word == "any"; }

// The columns of one line, found by what they must look like: long names and counters push them out of line.
struct Fields {
  std::string_view number, packets, bytes, target, protocol, opt, in, out, source, destination;
  std::size_t used = 0;  // words
};

bool find_fields(const std::vector<std::string_view>& words, const ListedColumns& columns, Fields& fields) {
  std::size_t i = 0;
  const auto at = [&](std::size_t k) { return k < words.size() ? words[k] : std::string_view(); };
  if (columns.numbers) {
    fields.number = at(i++);
    if (!base::parse_number<std::uint32_t>(fields.number)) return false;
  }
  if (columns.counters) {
    fields.packets = at(i++);
    fields.bytes = at(i++);
    if (!parse_count(fields.packets) || !parse_count(fields.bytes)) return false;
  }
  // A rule without a target shows a blank there. The opt column, or else the protocol, tells which it is.
  const bool no_target =
      is_opt(at(i + 1)) || (!is_opt(at(i + 2)) && is_protocol(at(i)) && !is_protocol(at(i + 1)));
  if (!no_target) fields.target = at(i++);
  fields.protocol = at(i++);
  if (is_opt(at(i))) fields.opt = at(i++);
  else if (!is_protocol(fields.protocol)) return false;
  if (columns.interfaces) {
    fields.in = at(i++);
    fields.out = at(i++);
    if (fields.out.empty()) return false;
  }
  fields.source = at(i++);
  fields.destination = at(i++);
  // A "!" may stand apart from an address that fills its column.
  fields.used = i;
  const bool strict = fields.opt.empty() || !columns.known;
  return is_address(fields.source, strict) && is_address(fields.destination, strict);
}

bool find_fields_of_any_form(const std::vector<std::string_view>& words, ListedColumns& columns,
                             Fields& fields) {
  if (columns.known) return find_fields(words, columns, fields);
  for (unsigned form = 0; form < 8; ++form) {
    // The richest form first: "1 3 200 ACCEPT" must not be taken for a target "1".
    columns = ListedColumns{false, (form & 1U) == 0, (form & 2U) == 0, (form & 4U) == 0};
    fields = Fields{};
    if (find_fields(words, columns, fields)) return true;
  }
  return false;
}

bool has_marks_of_a_rule(const std::vector<std::string_view>& words, const ListedColumns& columns) {
  if (words.size() < 3 || words[0].starts_with('#')) return false;
  if (columns.known && columns.numbers) return base::parse_number<std::uint32_t>(words[0]).has_value();
  if (columns.known && columns.counters) return parse_count(words[0]) && parse_count(words[1]);
  for (std::size_t i = 1; i < std::min<std::size_t>(words.size(), 6); ++i) {
    if (is_opt(words[i]) && is_protocol(words[i - 1])) return true;
  }
  return false;
}

void add_option(std::string& text, std::string_view option, std::string_view value) {
  text += ' ';
  if (value.starts_with('!')) {
    text += "! ";
    value.remove_prefix(1);
  }
  ((text += option) += ' ') += value;
}

bool is_standard_target(std::string_view target) {
  return target.empty() || target == "ACCEPT" || target == "DROP" || target == "RETURN" || target == "QUEUE";
}

}  // namespace

bool parse_listed_chain(std::string_view line, Chain& chain) {
  if (!line.starts_with("Chain ")) return false;
  const std::size_t open = line.find(" (", 6), close = line.find(')', 6);
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return false;
  const std::string_view name = base::trim(line.substr(6, open - 6));
  if (name.empty() || name.find(' ') != std::string_view::npos) return false;
  const auto words = base::split_words(line.substr(open + 2, close - open - 2));
  if (words.size() >= 2 && words[0] == "policy") {
    const auto verdict = packet::parse_verdict(words[1] == "ACCEPT" ? "accept"
                                               : words[1] == "DROP" ? "drop"
                                                                    : "");
    chain.policy = verdict.value_or(packet::Verdict::None);
    if (words.size() >= 6 && words[3].starts_with("packet") && words[5].starts_with("byte")) {
      const auto packets = parse_count(words[2]), bytes = parse_count(words[4]);
      if (packets && bytes) chain.counters = Counters{*packets, *bytes};
    }
  } else if (!(words.size() >= 2 && words[1].starts_with("reference")) &&
             !(!words.empty() && words[0] == "ERROR")) {
    return false;
  }
  chain.name = name;
  return true;
}

bool parse_listed_columns(std::string_view line, ListedColumns& columns) {
  const auto words = base::split_words(line);
  std::size_t i = 0;
  ListedColumns found{true, false, false, false};
  const auto take = [&](std::string_view word) {
    if (i >= words.size() || words[i] != word) return false;
    ++i;
    return true;
  };
  found.numbers = take("num");
  if (take("pkts")) found.counters = take("bytes");
  if (!take("target") || !take("prot")) return false;
  take("opt");
  if (take("in")) found.interfaces = take("out");
  if (!take("source") || !take("destination")) return false;
  columns = found;
  return true;
}

Listed parse_listed_rule(std::string_view line, std::string_view chain, const ListedColumns& known,
                         Rule& rule) {
  ListedColumns columns = known;
  Fields fields;
  // Only the first words matter; a hostile line may have millions.
  std::vector<std::string_view> words;
  std::size_t end = 0;
  for (std::size_t i = 0; words.size() < 12;) {
    while (i < line.size() && base::is_space(line[i])) ++i;
    if (i == line.size()) break;
    const std::size_t begin = i;
    while (i < line.size() && !base::is_space(line[i])) ++i;
    words.push_back(line.substr(begin, i - begin));
  }
  if (words.size() < 4 || !find_fields_of_any_form(words, columns, fields)) {
    return has_marks_of_a_rule(words, known) ? Listed::Damaged : Listed::Other;
  }
  end = static_cast<std::size_t>(fields.destination.data() - line.data()) + fields.destination.size();
  std::string_view rest = base::trim(line.substr(end));
  rule = Rule{};
  if (columns.numbers) rule.number = *base::parse_number<std::uint32_t>(fields.number);
  if (columns.counters) rule.counters = Counters{*parse_count(fields.packets), *parse_count(fields.bytes)};
  rule.target = fields.target;
  if (rest.starts_with("[goto]")) {
    rule.effect = Effect::Goto;
    rest = base::trim(rest.substr(6));
  }
  const ListedRest more = translate_listed_rest(rest, fields.target);
  rule.comment = more.comment;
  rule.text = "-A ";
  rule.text += chain;
  const std::size_t bare = rule.text.size();
  if (!is_any_address(fields.source)) add_option(rule.text, "-s", fields.source);
  if (!is_any_address(fields.destination)) add_option(rule.text, "-d", fields.destination);
  if (columns.interfaces && !is_any_interface(fields.in)) add_option(rule.text, "-i", fields.in);
  if (columns.interfaces && !is_any_interface(fields.out)) add_option(rule.text, "-o", fields.out);
  const bool negated = fields.protocol.starts_with('!');
  if (!is_everything(fields.protocol)) {
    rule.text += negated ? " ! -p " : " -p ";
    rule.text += protocol_name(fields.protocol.substr(negated ? 1 : 0));
  }
  if (fields.opt == "-f") rule.text += " -f";
  if (fields.opt == "!f") rule.text += " ! -f";
  if (!more.matches.empty()) (rule.text += ' ') += more.matches;
  const bool has_condition =
      rule.text.size() > bare || (!more.as_listed.empty() && is_standard_target(rule.target));
  if (!rule.target.empty()) (rule.text += rule.effect == Effect::Goto ? " -g " : " -j ") += rule.target;
  if (!more.options.empty()) (rule.text += ' ') += more.options;
  if (!more.as_listed.empty()) ((rule.text += " /* listed as: ") += more.as_listed) += " */";
  if (has_condition) rule.conditional = true;
  else if (columns.interfaces && more.as_listed.empty()) rule.conditional = false;
  return Listed::Rule;
}

}  // namespace fwtrace::ruleset
