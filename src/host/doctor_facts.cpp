#include "host/doctor_facts.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>

#include "base/text.h"
#include "host/capability.h"
#include "host/leftovers.h"
#include "host/proc.h"
#include "host/repair.h"
#include "host/run_tool.h"

namespace fwtrace::host {
namespace {

constexpr auto kTools =
    std::to_array<std::string_view>({"iptables", "ip6tables", "xtables-monitor", "iptables-legacy",
                                     "ip6tables-legacy", "iptables-nft", "nft", "modprobe", "stdbuf"});

std::optional<std::string> read_value(const std::string& path) {
  const auto text = read_proc(path);
  if (!text) return std::nullopt;
  return std::string(base::trim(*text));
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

void read_rights(Facts& facts) {
  facts.root = geteuid() == 0;
  facts.net_admin = has_capability(Capability::NetAdmin);
  facts.sys_admin = has_capability(Capability::SysAdmin);
  facts.sys_module = has_capability(Capability::SysModule);
  facts.syslog = has_capability(Capability::Syslog);
  for (const std::string_view tool : kTools) {
    if (find_tool(tool)) facts.tools.emplace_back(tool);
  }
  if (!facts.has_tool("iptables")) return;
  const auto version = run_tool({"iptables", "-V"}, {.time = std::chrono::seconds(3)});
  facts.iptables_is_nft = version && version->out.find("(nf_tables)") != std::string::npos;
}

// Dry run: whether modprobe would find it.
bool can_load(const std::string& module) {
  const auto tried = run_tool({"modprobe", "-n", "-q", module}, {.time = std::chrono::seconds(3)});
  return tried && tried->ok();
}

void read_loggers(Facts& facts) {
  facts.nf_log = read_nf_log();
  const std::string listeners =
      "/proc/thread-self/net/netfilter/nfnetlink_log";  // for root alone; absent: no module
  facts.group0_known = !exists(listeners) || read_proc(listeners).has_value();
  facts.group0_holder = find_group0_holder();
  if (!facts.can_log_to(2, kNetlinkLogger)) facts.nfnetlink_log_loadable = can_load(kNetlinkLogger);
  if (!facts.can_log_to(2, "nf_log_ipv4")) {
    // One module since 5.13, before that one a family.
    for (const char* module : {"nf_log_syslog", "nf_log_ipv4"}) {
      if (facts.syslog_module.empty() && can_load(module)) facts.syslog_module = module;
    }
  }
}

// What a tool prints, "" with a line in `unread` if it could not.
std::string list(Facts& facts, const std::vector<std::string>& command) {
  const std::string name = fmt::format("{}", fmt::join(command, " "));
  if (!find_tool(command.front())) {
    facts.unread.push_back(name + ": not installed");
    return "";
  }
  const auto output = run_tool(command);
  if (output && output->ok()) return output->out;
  const std::string said = output ? std::string(base::trim(output->err)) : "";
  facts.unread.push_back(fmt::format("{}: {}", name,
                                     output && output->timed_out ? "no answer within ten seconds"
                                     : said.empty()              ? "failed"
                                                                 : said.substr(0, said.find('\n'))));
  return "";
}

void add(Facts& facts, SavedRules found) {
  std::ranges::move(found.logging, std::back_inserter(facts.logging));
  std::ranges::move(found.flowtables, std::back_inserter(facts.flowtables));
}

LegacyTables read_legacy(Facts& facts, const std::string& names, const std::string& tool,
                         const std::string& family) {
  LegacyTables legacy;
  const std::string path = "/proc/thread-self/net/" + names;
  legacy.present = exists(path);
  const auto text = read_proc(path);
  legacy.readable = text.has_value();
  const std::string loaded = text.value_or("");
  for (const std::string_view name : base::split_words(loaded)) legacy.tables.emplace_back(name);
  // Where there is no table the -save command is not run: it would load the module.
  if (legacy.tables.empty()) return legacy;
  const bool named = facts.has_tool(tool + "-legacy");  // before 1.8 the only iptables was this one
  const std::string program = named ? tool + "-legacy" : tool;
  SavedRules found = find_in_save(list(facts, {program + "-save"}), program, family);
  legacy.rules = found.rules;
  add(facts, std::move(found));
  return legacy;
}

void read_rules(Facts& facts) {
  facts.legacy4 = read_legacy(facts, "ip_tables_names", "iptables", "ip");
  facts.legacy6 = read_legacy(facts, "ip6_tables_names", "ip6tables", "ip6");
  if (!facts.nf_tables) return;
  const std::string text = list(facts, {"nft", "-t", "-a", "list", "ruleset"});
  SavedRules nft = find_in_nft(text, {});
  facts.nft_rules = nft.rules;
  facts.nft_tables = nft.tables;
  // Tables that iptables-nft can print are shown in its words.
  std::vector<std::string> compatible;
  for (const auto& [tool, family] : {std::pair{"iptables-nft", "ip"}, std::pair{"ip6tables-nft", "ip6"}}) {
    const bool any = std::ranges::any_of(
        nft.tables, [&](const std::string& table) { return table.starts_with(std::string(family) + " "); });
    // Without nft these rules are known from here alone.
    const bool wanted = any || !facts.has_tool("nft");
    if (!wanted || !find_tool(std::string(tool) + "-save")) continue;
    SavedRules found = find_in_save(list(facts, {std::string(tool) + "-save"}), tool, family);
    compatible.insert(compatible.end(), found.tables.begin(), found.tables.end());
    if (!any) {
      facts.nft_rules += found.rules;
      facts.nft_tables.insert(facts.nft_tables.end(), found.tables.begin(), found.tables.end());
    }
    add(facts, std::move(found));
  }
  add(facts, compatible.empty() ? std::move(nft) : find_in_nft(text, compatible));
}

void read_sysctls(Facts& facts) {
  facts.bridge_calls_iptables = read_value("/proc/sys/net/bridge/bridge-nf-call-iptables");
  facts.bridge_calls_ip6tables = read_value("/proc/sys/net/bridge/bridge-nf-call-ip6tables");
  facts.conntrack_log_invalid = read_value("/proc/sys/net/netfilter/nf_conntrack_log_invalid");
  facts.ip_forward = read_value("/proc/sys/net/ipv4/ip_forward");
  facts.ip6_forward = read_value("/proc/sys/net/ipv6/conf/all/forwarding");
  facts.rp_filter_all = read_value("/proc/sys/net/ipv4/conf/all/rp_filter");
  for (const Link& link : facts.links) {
    const auto value = read_value(fmt::format("/proc/sys/net/ipv4/conf/{}/rp_filter", link.name));
    if (value && *value != "0") facts.rp_filter.push_back(link.name + " " + *value);
  }
  if (const auto printk = read_value("/proc/sys/kernel/printk")) {
    const auto words = base::split_words(*printk);
    if (!words.empty()) facts.console_loglevel = base::parse_number<int>(words.front());
  }
}

std::uint64_t inode_of(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

void read_namespaces(Facts& facts, std::uint64_t here) {
  std::map<std::uint64_t, OtherNamespace> found;
  for (const int pid : list_processes()) {
    const std::uint64_t inode = inode_of(fmt::format("/proc/{}/ns/net", pid));
    if (inode == 0) ++facts.unseen_processes;
    if (inode == 0 || inode == here) continue;
    OtherNamespace& one = found[inode];
    ++one.processes;
    if (one.pid != 0) continue;
    one.pid = pid;
    if (const auto process = find_process(pid)) one.process = process->name;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", error)) {
    const std::uint64_t inode = inode_of(entry.path());
    if (inode == 0 || inode == here) continue;
    found[inode].name = entry.path().filename();
  }
  for (auto& [inode, one] : found) facts.namespaces.push_back(std::move(one));
}

void read_leftovers(Facts& facts) {
  const auto left = find_leftovers();
  if (!left) facts.leftovers_problem = left.error().message;
  else {
    for (const Leftover& one : *left) facts.dead_runs.push_back(std::to_string(one.changes.pid));
  }
  const auto tables = find_our_tables();
  facts.nf_tables = tables.has_value();
  if (!tables) return;
  for (const FoundTable& table : *tables) {
    if (is_stray(table)) facts.stray_tables.push_back(table);
  }
}

KernelLogPlace find_kernel_log() {
  bool rsyslog = false;
  std::string other;
  for (const int pid : list_processes()) {
    const auto process = find_process(pid);
    if (!process) continue;
    if (process->name == "rsyslogd") rsyslog = true;
    if (process->name == "syslog-ng" || process->name == "syslogd") other = process->name;
  }
  if (rsyslog) {
    std::string configuration = read_proc("/etc/rsyslog.conf").value_or("");
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/etc/rsyslog.d", error)) {
      if (entry.path().extension() == ".conf") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    for (const std::string& file : files) configuration += "\n" + read_proc(file).value_or("");
    if (const auto file = find_kernel_file(configuration))
      return {.kind = KernelLogPlace::Kind::File, .file = *file, .daemon = "rsyslogd"};
  }
  if (exists("/run/systemd/journal/socket") && find_tool("journalctl"))
    return {.kind = KernelLogPlace::Kind::Journal, .file = {}, .daemon = "systemd-journald"};
  if (!other.empty()) {
    for (const char* file : {"/var/log/kern.log", "/var/log/messages"}) {
      if (exists(file)) return {.kind = KernelLogPlace::Kind::File, .file = file, .daemon = other};
    }
  }
  return {};
}

}  // namespace

bool Facts::has_tool(std::string_view name) const { return std::ranges::find(tools, name) != tools.end(); }

const NfLog* Facts::find_nf_log(int family) const {
  const auto found = std::ranges::find(nf_log, family, &NfLog::family);
  return found == nf_log.end() ? nullptr : &*found;
}

bool Facts::can_log_to(int family, std::string_view logger) const {
  const NfLog* log = find_nf_log(family);
  return log && std::ranges::find(log->available, logger) != log->available.end();
}

std::string_view family_name(int family) {
  switch (family) {
    case 2: return "IPv4";
    case 3: return "ARP";
    case 5: return "netdev";
    case 7: return "bridge";
    case 10: return "IPv6";
    default: return "other";
  }
}

std::string kernel_logger(const Facts& facts, int family) {
  if (const NfLog* log = facts.find_nf_log(family)) {
    for (const std::string& name : log->available) {
      if (name != kNetlinkLogger) return name;
    }
  }
  return family == 10 ? "nf_log_ipv6" : family == 7 ? "nf_log_bridge" : "nf_log_ipv4";
}

// "kern.*  -/var/log/kern.log", "kern.warning;*.emerg /var/log/x"; the line must take warnings of the kernel, as
// what nf_log_syslog writes is. Not a whole reader of rsyslog's language: its newer forms have no such lines.
std::optional<std::string> find_kernel_file(std::string_view configuration) {
  std::optional<std::string> general;
  for (const std::string_view raw : base::split(configuration, '\n')) {
    const std::string_view line = base::trim(raw);
    if (line.empty() || line.starts_with('#') || line.starts_with('$')) continue;
    const auto words = base::split_words(line);
    if (words.size() < 2) continue;
    std::string_view file = words[1];
    if (file.starts_with('-')) file.remove_prefix(1);
    if (!file.starts_with('/')) continue;
    bool kernel = false, every = false;
    for (const std::string_view selector : base::split(words[0], ';')) {
      const auto dot = selector.find('.');
      if (dot == std::string_view::npos) continue;
      const std::string_view level = selector.substr(dot + 1);
      const bool warnings = level == "*" || level == "debug" || level == "info" || level == "notice" ||
                            level == "warning" || level == "warn" || level == "=warning" || level == "=warn";
      for (const std::string_view facility : base::split(selector.substr(0, dot), ',')) {
        if (facility == "kern") kernel = warnings;
        if (facility == "*") every = warnings;
        if (facility == "kern" && level == "none") every = false;
      }
    }
    if (kernel) return std::string(file);
    if (every && !general) general = std::string(file);
  }
  return general;
}

base::Result<Facts> gather_facts(const std::string& netns) {
  TRY(const NetworkNamespace here, NetworkNamespace::current());
  const std::uint64_t first = in_initial_namespace() ? here.inode() : 0;
  TRY(const NetworkNamespace target,
      netns.empty() ? NetworkNamespace::current() : NetworkNamespace::find(netns));
  Facts facts;
  read_rights(facts);
  facts.all_netns = read_value("/proc/sys/net/netfilter/nf_log_all_netns");
  facts.kernel_log = find_kernel_log();
  facts.self_test = run_self_test();
  if (!netns.empty()) {
    facts.netns_option = "-N " + base::to_shell_word(netns);
    facts.netns_path = netns.starts_with("/")          ? netns
                       : exists("/run/netns/" + netns) ? "/run/netns/" + netns
                                                       : "/proc/" + netns + "/ns/net";
  }
  TRY(const EnterNamespace inside, EnterNamespace::enter(target));
  facts.initial_namespace = first == target.inode() || in_initial_namespace();
  read_leftovers(facts);
  read_loggers(facts);
  read_rules(facts);
  facts.links = read_links();
  read_sysctls(facts);
  read_namespaces(facts, target.inode());
  return facts;
}

}  // namespace fwtrace::host
