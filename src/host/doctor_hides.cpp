#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "host/doctor_row.h"

// What doctor says of the rules that are there, and of what can hide a packet from all rules.

namespace fwtrace::host {
namespace {

constexpr std::size_t kMostRules = 20;  // rules of one kind that are named
constexpr std::size_t kMostNamespaces = 8;

}  // namespace

// ---- What rules there are

Finds look_at_legacy(const Facts& f) {
  const auto print = [](std::string_view version, const LegacyTables& t) {
    if (t.present && !t.readable) return fmt::format("{}: not to be read without root", version);
    if (t.tables.empty()) return std::string();
    return fmt::format("{}: {} ({})", version, join(t.tables), counted(t.rules, "rule"));
  };
  std::vector<std::string> parts;
  for (std::string part : {print("IPv4", f.legacy4), print("IPv6", f.legacy6)}) {
    if (!part.empty()) parts.push_back(std::move(part));
  }
  if (parts.empty()) return {{CheckStatus::NotNeeded, "no tables of iptables-legacy here", {}, {}}};
  return {{CheckStatus::Fact, join(parts), {}, {}}};
}

Finds look_at_nft(const Facts& f) {
  if (!f.nf_tables) return {{CheckStatus::Fact, "not to be asked without CAP_NET_ADMIN", {}, {}}};
  if (f.nft_tables.empty()) return {{CheckStatus::NotNeeded, "no nft tables here", {}, {}}};
  return {
      {CheckStatus::Fact, fmt::format("{} ({})", join(f.nft_tables), counted(f.nft_rules, "rule")), {}, {}}};
}

Finds look_at_both(const Facts& f) {
  const std::uint64_t legacy = f.legacy4.rules + f.legacy6.rules;
  if (legacy == 0 || f.nft_rules == 0) return {};
  return {{CheckStatus::Mind,
           fmt::format("iptables-legacy ({}) and nft ({}) at once", legacy, f.nft_rules),
           "packets pass both, and either may drop them; each lists only its own rules",
           {}}};
}

Finds look_at_unread(const Facts& f) {
  Finds finds;
  for (const std::string& line : f.unread)
    finds.push_back(
        {CheckStatus::Mind, line, "what these rules are is not known, and their text is not shown", {}});
  return finds;
}

namespace {

Finds look_at_logging(const Facts& f, LoggingRule::Kind kind, CheckStatus status, const char* means,
                      bool removable) {
  Finds finds;
  std::size_t more = 0;
  for (const LoggingRule& rule : f.logging) {
    if (rule.kind != kind) continue;
    if (finds.size() == kMostRules) {
      ++more;
      continue;
    }
    const std::string place =
        rule.tool == "nft"
            ? fmt::format("nft {} {} {} handle {}", rule.family, rule.table, rule.chain, rule.handle)
            : fmt::format("{} {} {} rule {}", rule.tool, rule.table, rule.chain, rule.number);
    finds.push_back({status, fmt::format("{}   {}", place, rule.text), means,
                     removable ? in_namespace(f, rule.removal()) : ""});
  }
  if (more > 0) finds.push_back({status, fmt::format("and {} more", base::with_commas(more)), {}, {}});
  return finds;
}

}  // namespace

Finds look_at_trace_rules(const Facts& f) {
  return look_at_logging(
      f, LoggingRule::Kind::Trace, CheckStatus::Mind,
      "was there before fwtrace, and traces its packets all the time, which slows them down", true);
}
Finds look_at_group0_rules(const Facts& f) {
  return look_at_logging(f, LoggingRule::Kind::Group0, CheckStatus::Fact,
                         "sends packets to NFLOG group 0; live tracing keeps them apart from its own", false);
}
Finds look_at_log_rules(const Facts& f) {
  return look_at_logging(f, LoggingRule::Kind::Log, CheckStatus::Fact,
                         "writes into the kernel log; not part of a trace", false);
}

// ---- What can hide a packet

Finds look_at_flowtables(const Facts& f) {
  Finds finds;
  for (const Flowtable& t : f.flowtables) {
    finds.push_back(
        {CheckStatus::Mind,
         fmt::format("{} {} {} on {}{}", t.family, t.table, t.name,
                     t.devices.empty() ? "no device" : t.devices, t.offload ? ", in hardware" : ""),
         "once a connection is in it, its packets pass no rule and no trace: only its first ones are seen",
         in_namespace(f, fmt::format("conntrack -D   # or take the 'flow add @{}' rule out", t.name))});
  }
  if (!f.nf_tables) return {};
  if (finds.empty()) return {{CheckStatus::Ok, "none", {}, {}}};
  return finds;
}

Finds look_at_ingress(const Facts& f) {
  Finds finds;
  for (const Link& link : f.links) {
    if (!link.xdp.empty())
      finds.push_back(
          {CheckStatus::Mind, fmt::format("XDP program {} ({}) on {}", link.xdp_program, link.xdp, link.name),
           "packets dropped or redirected there are never seen by netfilter",
           in_namespace(f, fmt::format("ip link set dev {} xdp off", base::to_shell_word(link.name)))});
    if (!link.ingress.empty())
      finds.push_back(
          {CheckStatus::Mind, fmt::format("{} at ingress of {}", join(link.ingress), link.name),
           "packets dropped or redirected there are never seen by netfilter",
           in_namespace(f, fmt::format("tc filter show dev {} ingress", base::to_shell_word(link.name)))});
  }
  if (finds.empty()) return {{CheckStatus::Ok, "no XDP program, no tc filter at ingress", {}, {}}};
  return finds;
}

Finds look_at_bridges(const Facts& f) {
  std::vector<std::string> bridges;
  for (const Link& link : f.links) {
    if (link.kind == "bridge") bridges.push_back(link.name);
  }
  if (bridges.empty()) return {{CheckStatus::NotNeeded, "no bridge here", {}, {}}};
  if (!f.bridge_calls_iptables)
    return {{CheckStatus::Mind, join(bridges) + "; br_netfilter is not loaded",
             "frames bridged from port to port meet no IP tables, only tables of family bridge",
             "modprobe br_netfilter"}};
  if (f.bridge_calls_iptables == "0")
    return {{CheckStatus::Mind, join(bridges) + "; net.bridge.bridge-nf-call-iptables = 0",
             "frames bridged from port to port meet no IP tables, only tables of family bridge",
             in_namespace(f, "sysctl -w net.bridge.bridge-nf-call-iptables=1")}};
  return {{CheckStatus::Ok,
           fmt::format("{}; bridge-nf-call-iptables = {}, -ip6tables = {}", join(bridges),
                       *f.bridge_calls_iptables, f.bridge_calls_ip6tables.value_or("?")),
           "bridged frames meet the IP tables too",
           {}}};
}

Finds look_at_namespaces(const Facts& f) {
  const std::string unseen =
      f.unseen_processes == 0 ? ""
                              : fmt::format("not to be asked of {}", counted(f.unseen_processes, "process"));
  if (f.namespaces.empty() && !unseen.empty()) return {{CheckStatus::Fact, unseen, {}, {}}};
  if (f.namespaces.empty()) return {{CheckStatus::Ok, "this is the only network namespace", {}, {}}};
  std::vector<std::string> names;
  for (const OtherNamespace& one : f.namespaces) {
    if (names.size() == kMostNamespaces) {
      names.push_back(fmt::format("and {} more", f.namespaces.size() - names.size()));
      break;
    }
    const std::string process =
        one.pid == 0 ? "no process"
                     : fmt::format("{} (process {})", base::to_printable(one.process), one.pid);
    names.push_back(one.name.empty() ? process : fmt::format("{}: {}", one.name, process));
  }
  if (!unseen.empty()) names.push_back(unseen);
  const OtherNamespace& first = f.namespaces.front();
  const std::string name = first.name.empty() ? std::to_string(first.pid) : first.name;
  return {{CheckStatus::Fact, join(names),
           "a packet of a container may be in another namespace, with rules of its own",
           "fwtrace doctor -N " + base::to_shell_word(name)}};
}

Finds look_at_forwarding(const Facts& f) {
  std::string found =
      fmt::format("ip_forward {}, IPv6 forwarding {}, rp_filter {}", f.ip_forward.value_or("?"),
                  f.ip6_forward.value_or("?"), f.rp_filter_all.value_or("?"));
  if (!f.rp_filter.empty()) found += fmt::format(" ({})", join(f.rp_filter));
  return {
      {CheckStatus::Fact,
       found,
       "with ip_forward 0 nothing is forwarded; rp_filter 1 or 2 drops a packet whose source is not routed back, and "
       "no rule is to be seen for it",
       {}}};
}

}  // namespace fwtrace::host
