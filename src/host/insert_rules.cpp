#include "host/insert_rules.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

#include "base/text.h"

namespace fwtrace::host {

using packet::Family;
using packet::IpVersion;
using Field = Test::Field;
using End = ArmingRule::End;

namespace {

constexpr std::uint32_t kMaxRate = 10'000;

bool is_plain_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return base::is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
           c == '-' || c == '@';
  }) && name.front() != '-';
}

std::string range(const Test& test) {
  return test.low == test.high ? std::to_string(test.low) : fmt::format("{}:{}", test.low, test.high);
}

// The tests of one rule as words; nothing if iptables cannot say it, or it is about the other IP version.
class Words {
 public:
  explicit Words(IpVersion version) : version_(version) {}

  std::optional<std::string> of(const std::vector<Test>& tests) {
    // The protocol first: what follows asks for it.
    for (const Test& test : tests) {
      if (test.field == Field::Protocol) text_ = fmt::format(" -p {}", test.low);
    }
    const auto type = std::ranges::find(tests, Field::IcmpType, &Test::field);
    for (const Test& test : tests) {
      if (test.field == Field::Protocol) continue;
      if (test.field == Field::IcmpCode) {
        if (type == tests.end() || type->low != type->high || test.low != test.high) return std::nullopt;
        continue;  // said with the type
      }
      if (test.field == Field::IcmpType) {
        const auto code = std::ranges::find(tests, Field::IcmpCode, &Test::field);
        if (!icmp(test, code == tests.end() ? nullptr : &*code)) return std::nullopt;
      } else if (!add(test)) {
        return std::nullopt;
      }
    }
    return text_;
  }

 private:
  bool add(const Test& test) {
    if (test.field == Field::Version) return test.version == version_;
    if (test.field == Field::Source || test.field == Field::Destination) {
      text_ +=
          fmt::format(" -{} {}", test.field == Field::Source ? 's' : 'd', packet::print_prefix(test.prefix));
      return test.prefix.address.version == version_;
    }
    if (test.field == Field::SourcePort || test.field == Field::DestinationPort) {
      // One match for all the protocols that have ports; tcp's own knows only tcp.
      text_ += fmt::format(" -m multiport --{} {}", test.field == Field::SourcePort ? "sports" : "dports",
                           range(test));
      return true;
    }
    if (test.field == Field::InName || test.field == Field::OutName) {
      text_ += fmt::format(" -{} {}{}", test.field == Field::InName ? 'i' : 'o', test.name,
                           test.name_prefix ? "+" : "");
      return is_plain_name(test.name);
    }
    if (test.field == Field::Mark) {
      text_ += fmt::format(" -m mark --mark {:#x}/{:#x}", test.low, test.high);
      return true;
    }
    if (test.field == Field::AuthenticationHeader) {
      text_ += " -m ah";
      return version_ == IpVersion::V6;
    }
    return false;  // fragments, quoted packets, bridge devices, and whatever only nft can ask
  }
  bool icmp(const Test& type, const Test* code) {
    if (type.low != type.high) return false;
    text_ += version_ == IpVersion::V6 ? " -m icmp6 --icmpv6-type " : " -m icmp --icmp-type ";
    text_ += std::to_string(type.low);
    if (code) text_ += fmt::format("/{}", code->low);
    return true;
  }

  IpVersion version_;
  std::string text_;
};

bool is_about_quoted(const Test& test) {
  return test.field == Field::InnerProtocol || test.field == Field::InnerSource ||
         test.field == Field::InnerDestination || test.field == Field::InnerSourcePort ||
         test.field == Field::InnerDestinationPort;
}

// Writes chains. All of them are left by goto, so that RETURN anywhere leads back to the user's chain, and a packet
// that was armed is not asked about again: iptables has no verdict that would end only our part.
class Emitter {
 public:
  Emitter(const ArmingTable& table, IpVersion version, std::string name)
      : table_(table), version_(version), name_(std::move(name)) {}

  RawRules emit() {
    made_.chains.push_back(name_ + "-arm");
    for (const auto& [from, to] : {std::pair("first", "in"), std::pair("sent", "out")}) {
      const auto chain = std::ranges::find(table_.chains, from, &ArmingChain::name);
      const std::string target = fmt::format("{}-{}", name_, to);
      if (chain == table_.chains.end()) {
        made_.chains.push_back(target);
        continue;
      }
      begin(target);
      rules(chain->rules, target, "");
      std::ranges::move(lines_, std::back_inserter(made_.rules));
      lines_.clear();
    }
    return std::move(made_);
  }

 private:
  void begin(const std::string& chain) { made_.chains.push_back(chain); }
  void line(const std::string& chain, const std::string& words) { lines_.push_back("-A " + chain + words); }

  // `next`: the chain to go on with where the rules do not decide; "" for none.
  void rules(const std::vector<ArmingRule>& rules, const std::string& chain, const std::string& next) {
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const ArmingRule& rule = rules[i];
      if (std::ranges::any_of(rule.tests, is_about_quoted)) made_.without_errors = true;
      const auto words = Words(version_).of(rule.tests);
      if (!words) continue;
      if (rule.end == End::Jump) return jump(rules, i, chain, next);
      if (rule.end == End::Arm) {
        made_.arms = true;
        line(chain, fmt::format("{} -g {}-arm", *words, name_));
      } else if (rule.end == End::Return && !next.empty()) {
        line(chain, fmt::format("{} -g {}", *words, next));
      } else if (!words->empty()) {
        line(chain, *words + " -j RETURN");
      }
    }
    if (!next.empty()) line(chain, " -g " + next);
  }
  // A direction with exclusions is a chain of its own; what stands behind it becomes one too.
  void jump(const std::vector<ArmingRule>& all, std::size_t at, const std::string& chain,
            const std::string& next) {
    const auto target = std::ranges::find(table_.chains, all[at].target, &ArmingChain::name);
    const std::vector<ArmingRule> rest(all.begin() + static_cast<std::ptrdiff_t>(at) + 1, all.end());
    const std::string sub = fmt::format("{}-{}", chain, ++made_of_[chain]);
    const std::string behind = fmt::format("{}-{}", chain, ++made_of_[chain]);
    begin(sub);
    begin(behind);
    line(chain, " -g " + sub);
    if (target != table_.chains.end()) rules(target->rules, sub, behind);
    rules(rest, behind, next);
  }

  const ArmingTable& table_;
  IpVersion version_;
  std::string name_;
  RawRules made_;
  std::vector<std::string> lines_;
  std::map<std::string, int> made_of_;
};

}  // namespace

RawRules to_raw_rules(const ArmingPlan& plan, IpVersion version, const std::string& name) {
  const Family alone = version == IpVersion::V4 ? Family::Ip : Family::Ip6;
  const auto table = std::ranges::find_if(plan.tables, [&](const ArmingTable& each) {
    return each.family == Family::Inet || each.family == alone;
  });
  if (table == plan.tables.end()) return {};
  return Emitter(*table, version, name).emit();
}

std::string raw_limit_rule(std::uint32_t rate, std::uint32_t burst) {
  return fmt::format("-m limit --limit {}/second --limit-burst {} -j TRACE",
                     std::clamp<std::uint32_t>(rate, 1, kMaxRate),
                     std::clamp<std::uint32_t>(burst, 1, kMaxRate));
}

std::string raw_entry_rule(const std::string& name, std::string_view suffix, std::int64_t stop) {
  return fmt::format("-m comment --comment {} -m time --datestop {:%Y-%m-%dT%H:%M:%S} -j {}-{}", name,
                     fmt::gmtime(static_cast<std::time_t>(stop)), name, suffix);
}

std::vector<std::string> removal_of(std::string_view saved, const std::string& name, bool entries_only) {
  const std::string ours = name + "-";
  std::vector<std::string> entries, flushed, deleted;
  for (const std::string_view line : base::split(saved, '\n')) {
    const auto words = base::split_words(line);
    if (words.size() >= 2 && words[0] == "-A" && !words[1].starts_with(ours)) {
      for (std::size_t i = 2; i + 1 < words.size(); ++i) {
        if ((words[i] == "-j" || words[i] == "-g") && words[i + 1].starts_with(ours)) {
          entries.push_back("-D" + std::string(line.substr(2)));
          break;
        }
      }
    } else if (!entries_only && !words.empty() && words[0].starts_with(":" + ours)) {
      const std::string chain(words[0].substr(1));
      flushed.push_back("-F " + chain);
      deleted.push_back("-X " + chain);
    }
  }
  std::ranges::move(flushed, std::back_inserter(entries));
  std::ranges::move(deleted, std::back_inserter(entries));
  return entries;
}

}  // namespace fwtrace::host
