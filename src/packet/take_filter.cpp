#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "packet/filter.h"
#include "packet/filter_row.h"

// Finds the filter's words in a command line. Beside the conditions (filter.cpp) there are words that say nothing
// (-m tcp), words that belong to a rule (-A FORWARD), and at the end a check that the conditions do not contradict
// each other, because a filter must not silently match nothing.

namespace fwtrace::packet {
namespace {

using base::ErrorKind;
using base::fail;
using base::Result;

// Matches that iptables wants named before their options, and prints so; the options themselves say all.
constexpr auto kSilentMatches = std::to_array<std::string_view>(
    {"tcp", "udp", "udplite", "icmp", "icmp6", "icmpv6", "multiport", "mark"});

constexpr auto kRuleWords =
    std::to_array<std::string_view>({"-A", "-I", "-D", "-R", "-C", "-t", "-j", "-g", "--append", "--insert",
                                     "--delete", "--replace", "--table", "--jump", "--goto"});

template <class Words>
bool contains(const Words& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

bool is_number(std::string_view text) { return !text.empty() && std::ranges::all_of(text, base::is_digit); }

// Takes the words one by one.
class Taker {
 public:
  Taker(const std::vector<std::string>& args, const std::vector<std::string>& ours)
      : args_(args), ours_(ours) {}

  Result<FilterAndRest> run() {
    while (at_ < args_.size() && args_[at_] != "--") TRY_VOID(take());
    for (; at_ < args_.size(); ++at_) taken_.rest.push_back(args_[at_]);
    TRY_VOID(check());
    return std::move(taken_);
  }

 private:
  bool has(std::size_t ahead) const { return at_ + ahead < args_.size(); }
  bool has_value(std::size_t ahead) const {
    return has(ahead) && (!args_[at_ + ahead].starts_with('-') || args_[at_ + ahead] == "-");
  }

  Result<void> take() {
    const std::string& word = args_[at_];
    if (word == "-c" && has(2) && is_number(args_[at_ + 1]) && is_number(args_[at_ + 2])) {
      return fail(ErrorKind::Usage,
                  quoted("-c " + args_[at_ + 1] + " " + args_[at_ + 2]) +
                      " are the counters of a rule, not of a packet",
                  {"leave them out: iptables -S -v prints them; fwtrace's own -c takes one number"});
    }
    if (contains(ours_, word)) {
      taken_.rest.push_back(args_[at_++]);
      if (has(0)) taken_.rest.push_back(args_[at_++]);
      return {};
    }
    if (word == "!") return negation();
    if (word == "-4" || word == "--ipv4") return version(IpVersion::V4);
    if (word == "-6" || word == "--ipv6") return version(IpVersion::V6);

    const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const std::string_view name = std::string_view(word).substr(0, equals);
    if (contains(kRuleWords, name)) return refuse_rule_word();
    if (name == "-m" || name == "--match") return silent_match(equals);
    if (const FilterRow* row = find_filter_row(name)) return condition(*row, equals);
    TRY_VOID(refuse_joined(word));
    taken_.rest.push_back(args_[at_++]);
    return {};
  }

  // "-s10.0.0.1" and "-ptcp": iptables takes them, people mistype them.
  Result<void> refuse_joined(std::string_view word) const {
    if (word.size() < 3 || word[0] != '-' || word[1] == '-') return {};
    const std::string_view letter = word.substr(0, 2);
    if (letter != "-m" && !find_filter_row(letter)) return {};
    return fail(
        ErrorKind::Usage, quoted(word) + " is not understood",
        {"write the value as a word of its own: " + std::string(letter) + " " + std::string(word.substr(2))});
  }

  Result<void> refuse_rule_word() const {
    const std::string said = has_value(1) ? args_[at_] + " " + args_[at_ + 1] : args_[at_];
    return fail(
        ErrorKind::Usage, quoted(said) + " belongs to a rule, not to a packet",
        {"leave out -A, -t, -j and their values: fwtrace takes only the words that describe a packet"});
  }

  Result<void> negation() {
    const std::string_view next = has(1) ? std::string_view(args_[at_ + 1]) : std::string_view();
    const std::size_t equals = next.starts_with("--") ? next.find('=') : std::string_view::npos;
    if (!find_filter_row(next.substr(0, equals))) {
      const std::string said = next.empty() ? "\"!\"" : quoted("! " + std::string(next));
      return fail(ErrorKind::Usage, said + ": \"!\" stands before a condition that it turns round",
                  {"for example: ! -s 10.0.0.0/8   (in some shells write '!' in quotes)"});
    }
    ++at_;
    negated_ = true;
    return {};
  }

  Result<void> version(IpVersion version) {
    if (taken_.filter.version != IpVersion::None && taken_.filter.version != version) {
      return fail(ErrorKind::Usage, "\"-4\" and \"-6\" together match no packet",
                  {"leave both out for packets of either version"});
    }
    taken_.filter.version = version;
    ++at_;
    return {};
  }

  Result<void> silent_match(std::size_t equals) {
    const std::string word = args_[at_];
    std::string name;
    if (equals != std::string::npos) {
      name = word.substr(equals + 1);
      ++at_;
    } else if (has_value(1)) {
      name = args_[at_ + 1];
      at_ += 2;
    } else {
      return fail(ErrorKind::Usage, quoted(word) + " needs a value", {"for example: -m mark --mark 0x1"});
    }
    if (contains(kSilentMatches, name)) return {};
    return fail(ErrorKind::Usage, quoted("-m " + name) + " is not a condition that fwtrace can filter by",
                {"leave out -m " + name +
                 " and its options; a filter has -p -s -d --sport --dport -i -o --icmp-type --mark -4 -6"});
  }

  Result<void> condition(const FilterRow& row, std::size_t equals) {
    FilterCondition condition;
    condition.option = row.option;
    condition.negated = std::exchange(negated_, false);
    const std::string word = args_[at_++];
    const std::string name = word.substr(0, equals);
    bool given = equals != std::string::npos;
    if (given) {
      condition.value = word.substr(equals + 1);
    } else {
      if (has(0) && args_[at_] == "!") {
        if (condition.negated)
          return fail(ErrorKind::Usage, quoted("! " + name + " !") + " is turned round twice",
                      {"leave out both \"!\""});
        condition.negated = true;
        ++at_;
      }
      given = has_value(0);
      if (given) condition.value = args_[at_++];
    }
    const std::string said = (condition.negated ? "! " : "") + name;
    if (!given || condition.value.empty())
      return fail(ErrorKind::Usage, quoted(said) + " needs a value: " + std::string(row.expected));

    // iptables: "all" and 0 are every protocol.
    if (row.option == "protocol" && (condition.value == "all" || condition.value == "0")) {
      if (!condition.negated) return {};
      return fail(ErrorKind::Usage, quoted(said + " " + condition.value) + " matches no packet");
    }
    if (!row.parse(condition))
      return fail(ErrorKind::Usage,
                  quoted(said + " " + condition.value) + ": expected " + std::string(row.expected),
                  hints(row, condition));
    said_.push_back(said + " " + condition.value);
    taken_.filter.conditions.push_back(std::move(condition));
    return {};
  }

  static std::vector<std::string> hints(const FilterRow& row, const FilterCondition& c) {
    if (c.value.find(',') != std::string::npos)
      return {"lists are not taken: give one value, or run fwtrace once for each"};
    const bool ports = row.option.ends_with("port");
    if (ports && c.value.find('-') != std::string::npos)
      return {"write a range with a colon, as iptables does: 1024:65535"};
    return {};
  }

  // ---- Contradictions. Addresses and ports may be given twice (before and after NAT), a protocol may not.

  static IpVersion version_of(const FilterCondition& c) {
    if (c.negated) return IpVersion::None;
    if (c.option == "source" || c.option == "destination") return c.prefix.address.version;
    if (c.option == "icmp-type") return IpVersion::V4;
    if (c.option == "icmpv6-type") return IpVersion::V6;
    return IpVersion::None;
  }

  static std::optional<std::uint8_t> protocol_of(const FilterCondition& c) {
    if (c.negated) return std::nullopt;
    if (c.option == "protocol") return c.number;
    if (c.option == "icmp-type") return proto::kIcmp;
    if (c.option == "icmpv6-type") return proto::kIcmpv6;
    return std::nullopt;
  }

  static bool has_ports(std::uint8_t protocol) {
    constexpr auto kWithPorts =
        std::to_array<std::uint8_t>({proto::kTcp, proto::kUdp, proto::kUdplite, proto::kSctp, 33});
    return contains_number(kWithPorts, protocol);
  }
  template <class Numbers>
  static bool contains_number(const Numbers& numbers, std::uint8_t number) {
    return std::ranges::find(numbers, number) != numbers.end();
  }

  Result<void> check() const {
    const auto& conditions = taken_.filter.conditions;
    IpVersion version = taken_.filter.version;
    std::string version_said = version == IpVersion::V4 ? "-4" : "-6";
    std::optional<std::uint8_t> protocol;
    std::string protocol_said;
    for (std::size_t i = 0; i < conditions.size(); ++i) {
      if (const IpVersion own = version_of(conditions[i]); own != IpVersion::None) {
        if (version != IpVersion::None && version != own)
          return contradiction(version_said, said_[i], "one is of IPv4, the other of IPv6");
        version = own;
        version_said = said_[i];
      }
      if (const auto own = protocol_of(conditions[i])) {
        if (protocol && protocol != own)
          return contradiction(protocol_said, said_[i], "a packet has one protocol");
        protocol = own;
        protocol_said = said_[i];
      }
    }
    if (!protocol || has_ports(*protocol)) return {};
    for (std::size_t i = 0; i < conditions.size(); ++i) {
      if (conditions[i].option.ends_with("-port"))
        return contradiction(protocol_said, said_[i], "that protocol has no ports");
    }
    return {};
  }

  static Result<void> contradiction(std::string_view a, std::string_view b, std::string_view why) {
    return fail(ErrorKind::Usage,
                quoted(a) + " and " + quoted(b) + " together match no packet: " + std::string(why),
                {"leave one of them out"});
  }

  const std::vector<std::string>& args_;
  const std::vector<std::string>& ours_;
  std::size_t at_ = 0;
  bool negated_ = false;  // a "!" stood before the word at at_
  FilterAndRest taken_;
  std::vector<std::string> said_;  // the words of each condition, for messages
};

}  // namespace

Result<FilterAndRest> take_filter(const std::vector<std::string>& args,
                                  const std::vector<std::string>& options_with_value) {
  return Taker(args, options_with_value).run();
}

}  // namespace fwtrace::packet
