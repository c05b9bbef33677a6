#include "host/classic.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "base/text.h"

namespace fwtrace::host {
namespace {

using packet::Filter;
using packet::FilterCondition;
using packet::Hook;
using packet::IpVersion;

constexpr std::uint8_t kIcmp = 1, kIcmp6 = 58;
constexpr const char* kTable = "fwtrace_classic";

// The version that a condition speaks of; None: either.
IpVersion version_of(const FilterCondition& c) {
  if (c.option == "source" || c.option == "destination") return c.prefix.address.version;
  if (c.option == "icmp-type") return IpVersion::V4;
  if (c.option == "icmpv6-type") return IpVersion::V6;
  if (c.option == "protocol" && !c.negated && c.number == kIcmp) return IpVersion::V4;
  if (c.option == "protocol" && !c.negated && c.number == kIcmp6) return IpVersion::V6;
  return IpVersion::None;
}

enum class Testable : std::uint8_t { Yes, Never, Always, Later };

// Whether a packet of this version has the field at this hook at all.
Testable testable(const FilterCondition& c, IpVersion version, Hook hook) {
  const IpVersion of = version_of(c);
  if (of != IpVersion::None && of != version) return c.negated ? Testable::Always : Testable::Never;
  if (c.option == "in-interface" && hook == Hook::Output)
    return c.negated ? Testable::Always : Testable::Never;
  if (c.option == "out-interface" && hook == Hook::Prerouting) return Testable::Later;
  return Testable::Yes;
}

template <class Print>
std::optional<ChainWords> to_words(const Filter& filter, IpVersion version, Hook hook, const Print& print) {
  if (filter.version != IpVersion::None && filter.version != version) return std::nullopt;
  ChainWords result;
  // iptables knows --dport only behind -p.
  std::vector<FilterCondition> conditions = filter.conditions;
  std::ranges::stable_partition(conditions, [](const FilterCondition& c) { return c.option == "protocol"; });
  for (const FilterCondition& c : conditions) {
    switch (testable(c, version, hook)) {
      case Testable::Never: return std::nullopt;
      case Testable::Always: break;
      case Testable::Later: result.left_out.push_back((c.negated ? "! -o " : "-o ") + c.value); break;
      case Testable::Yes: result.words += (result.words.empty() ? "" : " ") + print(c); break;
    }
  }
  return result;
}

std::string print_for_iptables(const FilterCondition& c) {
  const std::string_view option = c.option == "protocol"           ? "-p"
                                  : c.option == "source"           ? "-s"
                                  : c.option == "destination"      ? "-d"
                                  : c.option == "source-port"      ? "--sport"
                                  : c.option == "destination-port" ? "--dport"
                                  : c.option == "in-interface"     ? "-i"
                                  : c.option == "out-interface"    ? "-o"
                                  : c.option == "mark"             ? "--mark"
                                  : c.option == "icmp-type"        ? "--icmp-type"
                                                                   : "--icmpv6-type";
  return fmt::format("{}{}{} {}", option == "--mark" ? "-m mark " : "", c.negated ? "! " : "", option,
                     base::to_shell_word(c.value));
}

std::string print_for_nft(const FilterCondition& c) {
  const char* is = c.negated ? "!= " : "";
  const auto ports = [&](const char* field) {
    return c.low == c.high ? fmt::format("th {} {}{}", field, is, c.low)
                           : fmt::format("th {} {}{}-{}", field, is, c.low, c.high);
  };
  const auto name = [&](const char* field) {
    return fmt::format("{} {}\"{}{}\"", field, is, c.interface, c.interface_prefix ? "*" : "");
  };
  const auto type = [&](const char* of) {
    std::string words = fmt::format("{} type {}{}", of, is, c.number);
    if (c.code && !c.negated) words += fmt::format(" {} code {}", of, *c.code);
    return words;
  };
  const std::string ip = version_of(c) == IpVersion::V6 ? "ip6" : "ip";
  if (c.option == "protocol") return fmt::format("meta l4proto {}{}", is, c.number);
  if (c.option == "source") return fmt::format("{} saddr {}{}", ip, is, packet::print_prefix(c.prefix));
  if (c.option == "destination") return fmt::format("{} daddr {}{}", ip, is, packet::print_prefix(c.prefix));
  if (c.option == "source-port") return ports("sport");
  if (c.option == "destination-port") return ports("dport");
  if (c.option == "in-interface") return name("iifname");
  if (c.option == "out-interface") return name("oifname");
  if (c.option == "icmp-type") return type("icmp");
  if (c.option == "icmpv6-type") return type("icmpv6");
  return c.high == 0xffff'ffffU
             ? fmt::format("meta mark {}{:#x}", is, c.low)
             : fmt::format("meta mark & {:#x} {} {:#x}", c.high, c.negated ? "!=" : "==", c.low);
}

// ---- The script

class Script {
 public:
  Script(const Facts& facts, const Filter& filter) : facts_(facts), filter_(filter) {
    if (!facts.netns_path.empty()) inside_ = "nsenter --net=" + base::to_shell_word(facts.netns_path) + " ";
  }

  std::string print() {
    comment("The classic way to trace on this machine: " + packet::print_filter(filter_) + ".");
    comment("To be run as root. What is changed is put back at the end; Ctrl-C goes on to that.");
    line("trap : INT TERM HUP");
    const bool compat = !facts_.legacy() && !facts_.has_tool("nft") && facts_.iptables_is_nft;
    const bool legacy = !compat && (facts_.legacy() || !facts_.has_tool("nft"));
    if (legacy && facts_.nft_rules > 0)
      comment(
          "nft has rules here too; of these nothing is logged. \"nft monitor trace\" beside this shows them.");
    if (legacy) with_legacy();
    else if (compat) with_xtables_monitor();
    else with_nft();
    line("");
    comment(fmt::format("{}. The undo.", step_ + 1));
    for (const std::string& command : undo_ | std::views::reverse) line(command);
    line("trap - INT TERM HUP");
    return std::move(out_);
  }

 private:
  void line(std::string_view text) { out_.append(text).append("\n"); }
  void comment(std::string_view text) { line("# " + base::to_printable(text)); }
  void begin(std::string_view what) {
    line("");
    comment(fmt::format("{}. {}", ++step_, what));
  }
  void change(const std::string& command, const std::string& undo) {
    line(inside_ + command);
    undo_.push_back(inside_ + undo);
  }

  bool wanted(IpVersion version) const {
    return to_iptables(filter_, version, Hook::Prerouting) || to_iptables(filter_, version, Hook::Output);
  }

  void wait_for_packets() {
    begin("Send the packets now.");
    line("if (: </dev/tty) 2>/dev/null; then");
    line("  echo 'send the packets now, then press Enter' >&2");
    line("  read -r answer </dev/tty");
    line("else");
    line("  sleep 10");
    line("fi");
  }

  void set_loggers(const std::vector<int>& families) {
    begin("What is traced goes to the kernel log.");
    const bool loaded = std::ranges::all_of(
        families, [&](int family) { return facts_.can_log_to(family, kernel_logger(facts_, family)); });
    if (!loaded && !facts_.syslog_module.empty()) {
      line("modprobe " + facts_.syslog_module);
      comment("(the module stays; \"modprobe -r " + facts_.syslog_module + "\" takes it out again)");
    } else if (!loaded) {
      comment("modprobe finds neither nf_log_syslog nor nf_log_ipv4: the next line will fail without them");
    }
    for (const int family : families) {
      const NfLog* log = facts_.find_nf_log(family);
      const std::string name = fmt::format("net.netfilter.nf_log.{}", family),
                        logger = kernel_logger(facts_, family);
      const std::string before = log ? log->logger : "NONE";
      if (before == logger) {
        comment(fmt::format("{} is {} already", name, logger));
        continue;
      }
      change(fmt::format("sysctl -w {}={}", name, logger), fmt::format("sysctl -w {}={}", name, before));
    }
    if (facts_.initial_namespace) return;
    if (!facts_.all_netns) {
      comment("This is not the initial network namespace: its lines reach the kernel log only where");
      comment("net.netfilter.nf_log_all_netns is 1 in the initial one, which cannot be seen from here.");
    } else if (*facts_.all_netns == "0") {  // a sysctl of the initial namespace, where this script is run
      line("sysctl -w net.netfilter.nf_log_all_netns=1");
      undo_.emplace_back("sysctl -w net.netfilter.nf_log_all_netns=0");
    }
  }

  // iptables takes a port only of a protocol that was named.
  std::vector<std::string_view> protocols() const {
    const auto has = [&](std::string_view option) {
      return std::ranges::find(filter_.conditions, option, &FilterCondition::option) !=
             filter_.conditions.end();
    };
    if (has("protocol") || (!has("source-port") && !has("destination-port"))) return {""};
    return {"-p tcp ", "-p udp "};
  }

  // Before 1.8 there was one iptables, and it had no other name.
  std::string program(IpVersion version) const {
    const std::string name = version == IpVersion::V4 ? "iptables" : "ip6tables";
    return facts_.has_tool(name + "-legacy") ? name + "-legacy" : name;
  }

  void trace_rules(IpVersion version, const std::string& tool) {
    for (const auto& [hook, chain] :
         {std::pair{Hook::Prerouting, "PREROUTING"}, std::pair{Hook::Output, "OUTPUT"}}) {
      const auto words = to_iptables(filter_, version, hook);
      if (!words) continue;
      for (const std::string& one : words->left_out)
        comment(fmt::format("{} is decided by routing, behind {}: left out here", one, chain));
      for (const std::string_view protocol : protocols()) {
        const std::string rule = fmt::format("{}{}{}-m limit --limit 100/second --limit-burst 20 -j TRACE",
                                             protocol, words->words, words->words.empty() ? "" : " ");
        change(fmt::format("{} -w -t raw -I {} 1 {}", tool, chain, rule),
               fmt::format("{} -w -t raw -D {} {}", tool, chain, rule));
      }
    }
  }

  void legacy_rules(IpVersion version) {
    const LegacyTables& legacy = version == IpVersion::V4 ? facts_.legacy4 : facts_.legacy6;
    if (std::ranges::find(legacy.tables, "raw") == legacy.tables.end())
      comment(fmt::format("{} has no raw table yet: the next line makes it, and it stays, empty",
                          version == IpVersion::V4 ? "IPv4" : "IPv6"));
    trace_rules(version, program(version));
  }

  void with_legacy() {
    std::vector<IpVersion> versions;
    std::vector<int> families;
    for (const auto& [version, family, tables] :
         {std::tuple{IpVersion::V4, 2, &facts_.legacy4}, std::tuple{IpVersion::V6, 10, &facts_.legacy6}}) {
      const bool has_rules = !tables->tables.empty() || !facts_.legacy();
      if (!has_rules || !wanted(version)) continue;
      versions.push_back(version);
      families.push_back(family);
    }
    if (families.empty()) {
      comment("No packet of this FILTER meets a table of iptables-legacy here: there is nothing to trace.");
      return;
    }
    set_loggers(families);
    begin(
        "Trace them. The limit is needed: the kernel log has none, and its ring holds some 600 such lines.");
    for (const IpVersion version : versions) legacy_rules(version);
    if (facts_.kernel_log.kind == KernelLogPlace::Kind::Journal) {
      line("since=$(date '+%Y-%m-%d %H:%M:%S')");
    }
    wait_for_packets();
    begin(
        "What happened to them. The rules are read before the undo, since TRACE rules count as raw's first.");
    const std::string words = filter_words();
    switch (facts_.kernel_log.kind) {
      case KernelLogPlace::Kind::File:
        line(fmt::format("{}fwtrace explain {} --rules live{}", inside_,
                         base::to_shell_word(facts_.kernel_log.file), words));
        break;
      case KernelLogPlace::Kind::Journal:
        line(fmt::format(
            "journalctl -k -o short-precise --since \"$since\" | {}fwtrace explain - --rules live{}", inside_,
            words));
        break;
      case KernelLogPlace::Kind::Ring:
        line(fmt::format("dmesg | {}fwtrace explain - --rules live{}", inside_, words));
        break;
    }
  }

  void with_nft() {
    begin("Trace them, by a table of its own.");
    change(fmt::format("nft add table inet {}", kTable), fmt::format("nft delete table inet {}", kTable));
    for (const auto& [hook, name] :
         {std::pair{Hook::Prerouting, "prerouting"}, std::pair{Hook::Output, "output"}}) {
      // -350: behind defragmentation, before raw.
      line(fmt::format("{}nft 'add chain inet {} {} {{ type filter hook {} priority -350; }}'", inside_,
                       kTable, name, name));
      const auto ipv4 = to_nft_words(filter_, IpVersion::V4, hook);
      const auto ipv6 = to_nft_words(filter_, IpVersion::V6, hook);
      if (!ipv4 && !ipv6) continue;
      for (const std::string& one : (ipv4 ? ipv4 : ipv6)->left_out)
        comment(fmt::format("{} is decided by routing, behind {}: left out here", one, name));
      const bool either = ipv4 && ipv6 && ipv4->words == ipv6->words;
      if (ipv4) nft_rule(name, either ? "" : "meta nfproto ipv4", ipv4->words);
      if (ipv6 && !either) nft_rule(name, "meta nfproto ipv6", ipv6->words);
    }
    monitor("nft monitor trace");
    wait_for_packets();
    begin("What happened to them.");
    line(fmt::format("{}fwtrace explain \"$trace\" --rules live", inside_));
  }

  // Rules of iptables-nft, and no nft to look at them.
  void with_xtables_monitor() {
    begin("Trace them. Where raw or one of its chains is not there yet, it is made, and stays, empty.");
    for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
      const std::string tool = version == IpVersion::V4 ? "iptables" : "ip6tables";
      if (wanted(version) && facts_.has_tool(tool)) trace_rules(version, tool);
    }
    monitor("xtables-monitor --trace");
    wait_for_packets();
    begin(
        "What happened to them. The rules are read before the undo, which takes the TRACE rules out again.");
    line(fmt::format("{}fwtrace explain \"$trace\" --rules live", inside_));
  }

  // In the background, into a file.
  void monitor(std::string_view command) {
    line("trace=$(mktemp)");
    undo_.emplace_back("rm -f \"$trace\"");
    const std::string flushed = facts_.has_tool("stdbuf") ? "stdbuf -oL " : "";
    line(fmt::format("{}{}{} >\"$trace\" &", inside_, flushed, command));
    line("monitor=$!");
    undo_.emplace_back("kill $monitor");
    line("sleep 1");
  }

  void nft_rule(std::string_view chain, std::string_view version, std::string_view words) {
    std::string tests(version);
    for (const std::string_view part : {words, std::string_view("limit rate 100/second burst 20 packets")})
      tests += (tests.empty() || part.empty() ? "" : " ") + std::string(part);
    line(fmt::format("{}nft 'add rule inet {} {} {} meta nftrace set 1'", inside_, kTable, chain, tests));
  }

  std::string filter_words() const {
    std::string words;
    if (filter_.version == IpVersion::V4) words += " -4";
    if (filter_.version == IpVersion::V6) words += " -6";
    for (const FilterCondition& c : filter_.conditions) words += " " + print_for_iptables(c);
    return words;
  }

  const Facts& facts_;
  const Filter& filter_;
  std::string out_, inside_;
  std::vector<std::string> undo_;
  int step_ = 0;
};

}  // namespace

std::optional<ChainWords> to_iptables(const Filter& filter, IpVersion version, Hook hook) {
  return to_words(filter, version, hook, print_for_iptables);
}
std::optional<ChainWords> to_nft_words(const Filter& filter, IpVersion version, Hook hook) {
  return to_words(filter, version, hook, print_for_nft);
}

std::string print_classic(const Facts& facts, const Filter& filter) { return Script(facts, filter).print(); }

}  // namespace fwtrace::host
