#include "host/nat_rule.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <tuple>
#include <utility>

#include "packet/packet.h"
#include "ruleset/rule_words.h"

namespace fwtrace::host {

using packet::Family;
using packet::IpVersion;
using Address = Translation::Address;
using Words = std::vector<std::string_view>;

namespace {

std::optional<std::pair<std::uint16_t, std::uint16_t>> parse_ports(std::string_view text) {
  text = text.substr(0, text.find('/'));  // iptables: "5000-5010/80", where the shift begins
  const auto number = [](std::string_view digits) -> std::optional<std::uint16_t> {
    std::uint16_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const std::size_t dash = text.find('-');
  const auto low = number(text.substr(0, dash));
  const auto high = dash == std::string_view::npos ? low : number(text.substr(dash + 1));
  if (!low || !high || *low > *high) return std::nullopt;
  return std::pair{*low, *high};
}

void set_ports(Translation& to, std::string_view text) {
  to.ports_kept = false;
  if (const auto ports = parse_ports(text)) std::tie(to.low_port, to.high_port) = *ports;
}

std::optional<packet::IpAddress> parse_bare(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  return packet::parse_ip(text);
}

// "A", "A-B", "A:P", "A-B:P-Q", ":P", "[A]:P", "[A]-[B]:P"; what is none of these may be anything.
void set_target(Translation& to, std::string_view text) {
  std::string_view addresses = text, ports;
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const bool one_colon =
      bracket != std::string_view::npos || text.rfind(':') == colon;  // else a bare IPv6 address
  if (colon != std::string_view::npos && one_colon) {
    addresses = text.substr(0, colon);
    ports = text.substr(colon + 1);
  }
  if (!ports.empty()) set_ports(to, ports);
  if (addresses.empty()) return;
  const std::size_t dash = addresses.find('-');
  const auto low = parse_bare(addresses.substr(0, dash));
  const auto high = dash == std::string_view::npos ? low : parse_bare(addresses.substr(dash + 1));
  if (low && high && low->version == high->version) {
    to.address = Address::Range;
    to.version = low->version;
    to.low = *low;
    to.high = *high;
    return;
  }
  if (const auto prefix = packet::parse_prefix(addresses); prefix && dash == std::string_view::npos) {
    to.address = Address::Range;
    to.version = prefix->address.version;
    to.low = to.high = prefix->address;
    for (std::size_t i = 0; i < to.low.bytes.size(); ++i) {
      to.low.bytes[i] &= prefix->mask.bytes[i];
      if (i < (to.version == IpVersion::V4 ? 4U : 16U)) {
        to.high.bytes[i] = static_cast<std::uint8_t>(to.low.bytes[i] | ~prefix->mask.bytes[i]);
      }
    }
    return;
  }
  to.address = Address::Any;
  to.ports_kept = false;
  to.low_port = 0;
  to.high_port = 0xffff;
}

Translation anything(bool source) { return {.source = source, .address = Address::Any, .ports_kept = false}; }

// The value behind an option, or "".
std::string_view value_of(const Words& words, std::string_view option) {
  const auto at = std::ranges::find(words, option);
  return at == words.end() || at + 1 == words.end() ? std::string_view() : *(at + 1);
}

bool has(const Words& words, std::string_view word) { return std::ranges::find(words, word) != words.end(); }

std::vector<Translation> read_iptables(const ruleset::Rule& rule, const Words& words) {
  if (!ruleset::is_nat_target(rule.target)) return {};
  const std::string_view target = rule.target;
  Translation to;
  const bool random = has(words, "--random") || has(words, "--random-fully");
  const bool entering = has(words, "PREROUTING") || has(words, "OUTPUT");
  const bool leaving = has(words, "POSTROUTING") || has(words, "INPUT");
  if (target == "DNAT" || target == "SNAT") {
    to.source = target == "SNAT";
    const std::string_view value = value_of(words, to.source ? "--to-source" : "--to-destination");
    if (value.empty()) return {anything(to.source)};
    set_target(to, value);
    if (random && to.source && to.ports_kept) to.ports_kept = false;
  } else if (target == "MASQUERADE" || target == "REDIRECT") {
    to.source = target == "MASQUERADE";
    to.address = Address::Own;
    const std::string_view ports = value_of(words, "--to-ports");
    if (!ports.empty()) {
      set_ports(to, ports);
    } else if (to.source && random) {
      to.ports_kept = false;
    }
  } else if (target == "NETMAP" && (entering || leaving)) {
    to.source = leaving;
    const std::string_view value = value_of(words, "--to");
    if (value.empty()) return {anything(to.source)};
    set_target(to, value);
  } else {
    return {anything(false), anything(true)};
  }
  return {to};
}

// "dnat ip to 10.0.0.1:80", "redirect to :8080", "masquerade random", "ip daddr set 10.0.0.1", "tcp dport set 80".
std::vector<Translation> read_nft(const Words& words) {
  std::vector<Translation> all;
  const auto word = [&](std::size_t i) { return i < words.size() ? words[i] : std::string_view(); };
  // The end of a statement's value: the last word, or a flag. Anything more is a map or an expression.
  const auto ends = [&](std::size_t i) {
    const std::string_view next = word(i);
    return next.empty() || next == "random" || next == "fully-random" || next == "persistent" ||
           next.starts_with("random,") || next.starts_with("fully-random,") ||
           next.starts_with("persistent,") || next == "comment" || next == "#";
  };
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0 && (words[i - 1] == "jump" || words[i - 1] == "goto")) continue;
    if (words[i] == "dnat" || words[i] == "snat") {
      // "ct status dnat" is no statement, and has no target.
      std::size_t at = i + 1;
      while (word(at) == "ip" || word(at) == "ip6" || word(at) == "prefix") ++at;
      if (word(at) != "to") continue;
      Translation to{.source = words[i] == "snat"};
      if (ends(at + 1) || !ends(at + 2)) {
        to = anything(to.source);
      } else {
        set_target(to, word(at + 1));
        if (to.source && to.ports_kept && word(at + 2).find("random") != std::string_view::npos)
          to.ports_kept = false;
      }
      all.push_back(to);
    } else if (words[i] == "redirect" || words[i] == "masquerade") {
      Translation to{.source = words[i] == "masquerade", .address = Address::Own};
      if (word(i + 1) == "to") {
        const std::string_view ports = word(i + 2);
        to.ports_kept = false;
        if (ports.starts_with(':') && ends(i + 3)) set_ports(to, ports.substr(1));
      } else if (to.source && word(i + 1).find("random") != std::string_view::npos) {
        to.ports_kept = false;
      }
      all.push_back(to);
    } else if (words[i] == "set" && i >= 2) {
      const std::string_view field = words[i - 1];
      const bool addresses = field == "daddr" || field == "saddr",
                 ports = field == "dport" || field == "sport";
      if (!addresses && !ports) continue;
      Translation to{.source = field.front() == 's'};
      if (!ends(i + 2)) {
        to = anything(to.source);
      } else if (addresses) {
        set_target(to, word(i + 1));
      } else {
        set_ports(to, word(i + 1));
      }
      all.push_back(to);
    }
  }
  return all;
}

// What a rule asks of the end that it translates: "-d 10.0.0.1 --dport 80", "ip daddr 10.0.0.1 tcp dport 80".
void read_asked(Translation& to, const Words& words, bool iptables) {
  const std::string_view address = iptables ? (to.source ? "-s" : "-d") : (to.source ? "saddr" : "daddr");
  const std::string_view port =
      iptables ? (to.source ? "--sport" : "--dport") : (to.source ? "sport" : "dport");
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string_view value = words[i + 1];
    if ((i > 0 && words[i - 1] == "!") || value == "!=" || value == "set") continue;
    if (words[i] == address) to.asked_address = packet::parse_prefix(value);
    if (words[i] != port) continue;
    std::string text(value);
    if (iptables) std::ranges::replace(text, ':', '-');
    if (const auto ports = parse_ports(text))
      to.asked_low_port = ports->first, to.asked_high_port = ports->second;
  }
}

// The protocol that a rule asks for in so many words.
std::optional<std::uint8_t> protocol_of(const Words& words, bool iptables) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const bool negated = i > 0 && words[i - 1] == "!";
    if (iptables && words[i] == "-p" && !negated) return packet::parse_protocol(words[i + 1]);
    if (iptables) continue;
    if (words[i + 1] == "dport" || words[i + 1] == "sport") {
      if (const auto found = packet::parse_protocol(words[i])) return found;
    }
    if (words[i] == "l4proto" || (words[i] == "protocol" && i > 0 && words[i - 1] == "ip")) {
      if (const auto found = packet::parse_protocol(words[i + 1])) return found;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<Translation> read_nat_rule(const ruleset::Rule& rule, Family family) {
  Words words;
  std::size_t open_quote = 0;
  if (!ruleset::split_quoted(rule.text, ruleset::Quoting::Restore, words, open_quote)) return {};
  if (words.empty()) return {};
  const bool iptables =
      ruleset::operation_of(words[0]) != ruleset::Operation::None || ruleset::is_nat_target(rule.target);
  std::vector<Translation> all = iptables ? read_iptables(rule, words) : read_nft(words);
  for (Translation& each : all) {
    if (each.version == IpVersion::None) {
      each.version = family == Family::Ip    ? IpVersion::V4
                     : family == Family::Ip6 ? IpVersion::V6
                                             : IpVersion::None;
    }
    each.protocol = protocol_of(words, iptables);
    read_asked(each, words, iptables);
  }
  return all;
}

}  // namespace fwtrace::host
