// Facts: what doctor found on this machine, before anything is said of it. Gathered by gather_facts(), which only
// reads (the self-test works in a namespace of its own); judged by doctor.h, which asks no kernel, so that a test can
// make up any machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/arm.h"
#include "host/links.h"
#include "host/logging_rules.h"
#include "host/namespace.h"
#include "host/nf_log.h"
#include "host/try_tracing.h"

namespace fwtrace::host {

// iptables-legacy of one IP version.
struct LegacyTables {
  bool present = false;   // the kernel has it loaded (ip_tables, ip6_tables)
  bool readable = false;  // its tables may be read
  std::vector<std::string> tables = {};
  std::uint64_t rules = 0;
};

struct OtherNamespace {
  std::string name = {};     // of `ip netns`, else ""
  int pid = 0;               // the lowest process number in it; 0 = none
  std::string process = {};  // its name
  std::size_t processes = 0;
};

// Where kernel messages land.
struct KernelLogPlace {
  enum class Kind : std::uint8_t { File, Journal, Ring };  // a syslog daemon's file, journald, dmesg alone
  Kind kind = Kind::Ring;
  std::string file = {};    // of File
  std::string daemon = {};  // "rsyslogd"
};

struct Facts {
  // The namespace: how commands name it ("-N web", "" for the current one), and how they enter it.
  std::string netns_option, netns_path;

  bool root = false, net_admin = false, sys_admin = false, sys_module = false, syslog = false;
  bool nf_tables = false;  // it answered, here
  SelfTest self_test;

  std::vector<NfLog> nf_log;
  std::string syslog_module;  // to be loaded for the kernel log: "nf_log_syslog"; "" = none is to be had
  bool nfnetlink_log_loadable = false;
  std::optional<std::string> all_netns;  // nf_log_all_netns; nothing: seen from outside the initial namespace
  bool initial_namespace = false;        // the one asked about
  bool group0_known = false;             // whether it may be asked
  std::optional<std::string> group0_holder;

  LegacyTables legacy4, legacy6;
  std::uint64_t nft_rules = 0;
  std::vector<std::string> nft_tables;  // "inet filter"; those of iptables-nft too
  std::vector<LoggingRule> logging;
  std::vector<Flowtable> flowtables;
  std::vector<std::string> unread;  // "nft -t -a list ruleset: not installed"

  std::vector<Link> links;
  std::optional<std::string> bridge_calls_iptables, bridge_calls_ip6tables;
  std::vector<OtherNamespace> namespaces;
  std::size_t unseen_processes = 0;  // whose namespace may not be asked

  std::optional<int> console_loglevel;
  std::optional<std::string> conntrack_log_invalid, ip_forward, ip6_forward, rp_filter_all;
  std::vector<std::string> rp_filter;  // "eth0 1": where it is stricter than nothing
  KernelLogPlace kernel_log;
  std::vector<std::string> tools;  // those of kTools that are installed

  std::string leftovers_problem;         // why it is not known what is left over
  std::vector<std::string> dead_runs;    // pid of each state file that nobody holds
  std::vector<FoundTable> stray_tables;  // ours, of no living process

  bool iptables_is_nft = false;  // the program "iptables" writes nft rules

  bool has_tool(std::string_view name) const;
  const NfLog* find_nf_log(int family) const;
  bool can_log_to(int family, std::string_view logger) const;  // it is loaded
  bool legacy() const { return !legacy4.tables.empty() || !legacy6.tables.empty(); }
};

// "IPv4" of 2, "bridge" of 7, "IPv6" of 10.
std::string_view family_name(int family);
// The logger of a family that writes kernel messages: the one available, else the name it has had on every kernel.
std::string kernel_logger(const Facts& facts, int family);

// Everything, of the calling thread's namespace or of `netns`. Fails only where that cannot be entered.
base::Result<Facts> gather_facts(const std::string& netns = "");

// Where the configuration of rsyslog sends kernel messages: "kern.* -/var/log/kern.log". Nothing if to no file.
std::optional<std::string> find_kernel_file(std::string_view rsyslog_configuration);

}  // namespace fwtrace::host
