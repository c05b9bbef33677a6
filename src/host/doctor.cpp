#include "host/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "host/doctor_row.h"

namespace fwtrace::host {

std::string_view to_text(CheckStatus status) {
  switch (status) {
    case CheckStatus::Ok: return "ok";
    case CheckStatus::Missing: return "missing";
    case CheckStatus::Mind: return "mind";
    case CheckStatus::NotNeeded: return "not needed";
    case CheckStatus::Fact: return "fact";
  }
  return "";
}

std::string_view mark_of(CheckStatus status) {
  switch (status) {
    case CheckStatus::Ok: return "✓";
    case CheckStatus::Missing: return "✗";
    case CheckStatus::Mind: return "!";
    case CheckStatus::NotNeeded: return "–";
    case CheckStatus::Fact: return "·";
  }
  return "";
}

std::string join(const std::vector<std::string>& parts) { return fmt::format("{}", fmt::join(parts, ", ")); }

std::string counted(std::uint64_t number, std::string_view what) {
  const std::string_view many = number == 1 ? "" : what.ends_with('s') ? "es" : "s";
  return fmt::format("{} {}{}", base::with_commas(number), what, many);
}

std::string in_namespace(const Facts& facts, std::string command) {
  return facts.netns_path.empty()
             ? command
             : fmt::format("nsenter --net={} {}", base::to_shell_word(facts.netns_path), command);
}

namespace {

std::string fwtrace_command(const Facts& facts, std::string_view rest) {
  return fmt::format("fwtrace {}{}{}", rest, facts.netns_option.empty() ? "" : " ", facts.netns_option);
}

// ---- What tracing needs

Finds look_at_rights(const Facts& f) {
  if (!f.net_admin) {
    if (f.root)
      return {
          {CheckStatus::Missing, "CAP_NET_ADMIN is missing, though this is root (a container)",
           "arming and listening need it; the container's runtime grants it (docker: --cap-add NET_ADMIN), or "
           "fwtrace runs outside, with -N and a process number of the container",
           "docker run --cap-add NET_ADMIN …"}};
    return {{CheckStatus::Missing, "CAP_NET_ADMIN is missing", "arming and listening need it",
             "sudo " + fwtrace_command(f, "doctor")}};
  }
  std::vector<std::string> without;
  if (!f.sys_admin) without.emplace_back("CAP_SYS_ADMIN (to enter a namespace with -N)");
  if (!f.syslog) without.emplace_back("CAP_SYSLOG (to read the kernel log)");
  if (!f.sys_module) without.emplace_back("CAP_SYS_MODULE (to load modules)");
  return {{CheckStatus::Ok,
           without.empty() ? "CAP_NET_ADMIN" : "CAP_NET_ADMIN; without " + join(without),
           {},
           {}}};
}

Finds look_at_nf_tables(const Facts& f) {
  if (f.self_test.ran && f.self_test.owner_flag)
    return {{CheckStatus::Ok,
             "tables with the owner flag",
             "the kernel itself removes our table, however fwtrace ends",
             {}}};
  if (f.self_test.ran)
    return {
        {CheckStatus::Mind,
         "tables, but not the owner flag (Linux 5.12)",
         "a guardian process removes our table, and what is armed ends by itself half a minute after a crash",
         {}}};
  if (f.nf_tables)
    return {{CheckStatus::Ok, "it answers; whether it has the owner flag could not be tried", {}, {}}};
  if (!f.net_admin) return {{CheckStatus::Fact, "it cannot be asked without CAP_NET_ADMIN", {}, {}}};
  return {{CheckStatus::Missing, "the kernel has no nf_tables",
           "packets are armed by an nft table, those of iptables-legacy too", "modprobe nf_tables"}};
}

std::string print_milliseconds(std::uint64_t microseconds) {
  return microseconds < 10'000 ? fmt::format("{:.1f} ms", static_cast<double>(microseconds) / 1000)
                               : fmt::format("{} ms", microseconds / 1000);
}

std::string print_numbers(const SelfTest& t) {
  return fmt::format("{} of 1 packet, {}, {} lost, in {}", counted(t.nft_events + t.legacy_events, "event"),
                     t.legacy_events == 0 ? "nft" : "legacy and nft", t.lost,
                     print_milliseconds(t.microseconds));
}

Finds look_at_self_test(const Facts& f) {
  const SelfTest& t = f.self_test;
  if (t.passed())
    return {{CheckStatus::Ok,
             print_numbers(t),
             t.in_user_namespace ? "in a user namespace of its own: this kernel can, with the rights"
                                 : "sent over lo in a network namespace made for it",
             {}}};
  if (!t.ran) {
    // Without the right to make a namespace nothing is said against the kernel.
    const bool no_namespace = t.problem.starts_with("no network namespace");
    return {{no_namespace ? CheckStatus::Mind : CheckStatus::Missing,
             t.problem,
             no_namespace ? "the kernel could not be tried; the other lines still hold"
                          : "fwtrace could not arm a packet of its own in a namespace made for it",
             {}}};
  }
  std::vector<std::string> missing;
  if (!t.start) missing.emplace_back("the start of the packet's way");
  if (!t.nft_rule) missing.emplace_back("the nft rule that it matched");
  if (!t.delivered) missing.emplace_back("its delivery");
  if (t.legacy_wanted && t.legacy_events == 0)
    missing.emplace_back("iptables-legacy's tables (a kernel without CONFIG_NETFILTER_XT_TARGET_TRACE)");
  // What arrived is traced; only legacy's part is missing, and nothing here is legacy.
  const bool only_legacy = t.start && t.nft_rule && t.delivered && !f.legacy();
  return {
      {only_legacy ? CheckStatus::Mind : CheckStatus::Missing,
       "no event came for " + join(missing),
       fmt::format("of a packet sent over lo in a namespace made for it; what came: {}", print_numbers(t)),
       {}}};
}

Finds look_at_netlink_logger(const Facts& f) {
  if (f.can_log_to(2, kNetlinkLogger))
    return {{CheckStatus::Ok, "loaded", "brings what iptables-legacy traces", {}}};
  if (f.nf_log.empty() && !f.legacy())
    return {{CheckStatus::NotNeeded, "the kernel has no nf_log, and there are no legacy tables", {}, {}}};
  if (!f.legacy()) return {{CheckStatus::NotNeeded, "not loaded; there are no legacy tables", {}, {}}};
  return {{f.nfnetlink_log_loadable ? CheckStatus::Mind : CheckStatus::Missing,
           f.nfnetlink_log_loadable ? "not loaded; fwtrace loads it"
                                    : "not loaded, and modprobe does not find it",
           "without it nothing of iptables-legacy is seen", "modprobe nfnetlink_log"}};
}

Finds look_at_syslog_logger(const Facts& f) {
  const bool ip = f.can_log_to(2, "nf_log_ipv4"), ip6 = f.can_log_to(10, "nf_log_ipv6");
  if (ip && ip6) return {{CheckStatus::Ok, "loaded", "only the classic way (--classic) needs it", {}}};
  if (f.syslog_module.empty())
    return {{CheckStatus::NotNeeded,
             "not loaded, and modprobe does not find it",
             "only the classic way (--classic) needs it",
             {}}};
  return {{CheckStatus::NotNeeded, "not loaded", "only the classic way (--classic) needs it",
           "modprobe " + f.syslog_module}};
}

Finds look_at_nf_log(const Facts& f) {
  Finds finds;
  std::string values;
  for (const int family : kLoggedFamilies) {
    const NfLog* log = f.find_nf_log(family);
    if (log) values += fmt::format("{}{} {}", values.empty() ? "" : ", ", family_name(family), log->logger);
    if (!log || log->logger != kNetlinkLogger || f.group0_holder || !f.group0_known) continue;
    finds.push_back({CheckStatus::Mind,
                     fmt::format("{} goes to NFLOG group 0, where nobody listens", family_name(family)),
                     "what TRACE rules write by themselves is lost; live tracing listens there while it runs",
                     in_namespace(f, fmt::format("sysctl -w net.netfilter.nf_log.{}={}", family,
                                                 kernel_logger(f, family)))});
  }
  if (values.empty()) return {{CheckStatus::NotNeeded, "the kernel has no nf_log", {}, {}}};
  finds.insert(
      finds.begin(),
      Found{
          CheckStatus::Fact,
          values,
          "where TRACE lines of iptables-legacy go; live tracing sets nfnetlink_log and puts this back, the "
          "classic way needs nf_log_ipv4, nf_log_ipv6",
          {}});
  return finds;
}

Finds look_at_all_netns(const Facts& f) {
  if (f.initial_namespace)
    return {{CheckStatus::NotNeeded,
             fmt::format("{}; this is the initial network namespace", f.all_netns.value_or("not there")),
             {},
             {}}};
  constexpr const char* kMeans =
      "without it the kernel log has no line of this namespace (the classic way); live "
      "tracing does not need it";
  if (!f.all_netns)
    return {
        {CheckStatus::Fact, "not to be read here: this is not the initial network namespace", kMeans, {}}};
  if (*f.all_netns != "0") return {{CheckStatus::Ok, *f.all_netns, {}, {}}};
  return {{CheckStatus::NotNeeded, "0", kMeans, "sysctl -w net.netfilter.nf_log_all_netns=1"}};
}

Finds look_at_group0(const Facts& f) {
  if (!f.group0_known) return {{CheckStatus::Fact, "not to be asked without root", {}, {}}};
  if (!f.group0_holder) return {{CheckStatus::Ok, "free", "live tracing listens there", {}}};
  const bool can_log = f.can_log_to(2, "nf_log_ipv4") || !f.syslog_module.empty();
  const bool ulogd = f.group0_holder->starts_with("ulogd");
  return {
      {f.legacy() && !can_log ? CheckStatus::Missing : CheckStatus::Mind, *f.group0_holder + " listens",
       can_log
           ? "what iptables-legacy traces is read from the kernel log instead; nft's events are not affected"
           : "only one process can listen, and the kernel log is no way out (no nf_log_syslog): nothing of "
             "iptables-legacy is seen",
       ulogd ? "systemctl stop ulogd2" : ""}};
}

// ---- The kernel log, and what is left over

Finds look_at_kernel_log(const Facts& f) {
  switch (f.kernel_log.kind) {
    case KernelLogPlace::Kind::File:
      return {{CheckStatus::Fact,
               fmt::format("{} writes it to {}", f.kernel_log.daemon, f.kernel_log.file),
               {},
               {}}};
    case KernelLogPlace::Kind::Journal:
      return {{CheckStatus::Fact, "journald has it: journalctl -k", {}, {}}};
    case KernelLogPlace::Kind::Ring: break;
  }
  return {{CheckStatus::Fact, "nothing keeps it: dmesg, the last 600 or so lines of a trace", {}, {}}};
}

Finds look_at_console(const Facts& f) {
  constexpr int kWarning = 4;  // the level of a trace line
  if (!f.console_loglevel || *f.console_loglevel <= kWarning) return {};
  return {
      {CheckStatus::Mind, fmt::format("kernel.printk = {}", *f.console_loglevel),
       "each line of the classic way is written to the console too, which takes milliseconds on a serial one; live "
       "tracing writes none",
       "dmesg -n 4"}};
}

Finds look_at_invalid(const Facts& f) {
  if (!f.conntrack_log_invalid || f.conntrack_log_invalid == "0") return {};
  return {
      {CheckStatus::Fact,
       fmt::format("nf_conntrack_log_invalid = {}", *f.conntrack_log_invalid),
       "conntrack writes of packets it takes for invalid; these lines go where TRACE lines go and are kept apart",
       {}}};
}

Finds look_at_leftovers(const Facts& f) {
  Finds finds;
  const std::string mend = fwtrace_command(f, "doctor --repair");
  for (const std::string& pid : f.dead_runs)
    finds.push_back({CheckStatus::Mind, fmt::format("run {} was killed, and its guardian too", pid),
                     "nf_log may still be as that run set it", mend});
  for (const FoundTable& table : f.stray_tables)
    finds.push_back(
        {CheckStatus::Mind,
         fmt::format("table {} {} of a run that has ended", packet::to_text(table.family), table.name),
         "it arms nothing any more", mend});
  if (f.nf_tables && !f.leftovers_problem.empty())
    finds.push_back(
        {CheckStatus::Mind, f.leftovers_problem, "what earlier runs left behind is not known", {}});
  if (finds.empty() && !f.nf_tables)
    return {{CheckStatus::Fact, "not to be asked without CAP_NET_ADMIN", {}, {}}};
  if (finds.empty()) return {{CheckStatus::Ok, "nothing of earlier runs", {}, {}}};
  return finds;
}

struct Row {
  std::string_view name;
  Finds (*look)(const Facts&);
};
constexpr auto kRows = std::to_array<Row>({
    {"rights", &look_at_rights},
    {"nf_tables", &look_at_nf_tables},
    {"self-test", &look_at_self_test},
    {"nfnetlink_log", &look_at_netlink_logger},
    {"NFLOG group 0", &look_at_group0},
    {"nf_log", &look_at_nf_log},
    {"nf_log_syslog", &look_at_syslog_logger},
    {"nf_log_all_netns", &look_at_all_netns},
    {"legacy tables", &look_at_legacy},
    {"nft tables", &look_at_nft},
    {"two backends", &look_at_both},
    {"not read", &look_at_unread},
    {"TRACE rule", &look_at_trace_rules},
    {"NFLOG rule", &look_at_group0_rules},
    {"LOG rule", &look_at_log_rules},
    {"flowtables", &look_at_flowtables},
    {"before netfilter", &look_at_ingress},
    {"bridges", &look_at_bridges},
    {"namespaces", &look_at_namespaces},
    {"forwarding", &look_at_forwarding},
    {"kernel log", &look_at_kernel_log},
    {"console", &look_at_console},
    {"invalid packets", &look_at_invalid},
    {"leftovers", &look_at_leftovers},
});

}  // namespace

Diagnosis diagnose(const Facts& facts) {
  Diagnosis result;
  for (const Row& row : kRows) {
    for (Found& found : row.look(facts)) {
      result.checks.push_back({.name = std::string(row.name),
                               .status = found.status,
                               .found = std::move(found.found),
                               .means = std::move(found.means),
                               .mend = std::move(found.mend)});
    }
  }
  const auto first = [&](CheckStatus status) {
    return std::ranges::find(result.checks, status, &Check::status);
  };
  const auto missing = first(CheckStatus::Missing);
  result.works = missing == result.checks.end();
  if (!result.works) {
    result.answer = fmt::format("tracing cannot work here: {}: {}", missing->name, missing->found);
    result.next = missing->mend.empty() ? "see: " + missing->means : "mend it: " + missing->mend;
    return result;
  }
  result.answer = facts.self_test.passed()
                      ? "tracing works here: " + print_numbers(facts.self_test)
                      : "tracing should work here, but could not be tried: " + facts.self_test.problem;
  const auto mind = first(CheckStatus::Mind);
  result.next =
      mind == result.checks.end()
          ? "nothing was found that hides packets; try: sudo " + fwtrace_command(facts, "trace -p icmp")
          : fmt::format("if nothing appears: {}: {}", mind->name, mind->found);
  return result;
}

}  // namespace fwtrace::host
