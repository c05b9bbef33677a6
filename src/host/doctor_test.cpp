#include "host/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fwtrace::host {
namespace {

// A machine on which all is well: no legacy tables, one nft table, root.
Facts well() {
  Facts f;
  f.root = f.net_admin = f.sys_admin = f.sys_module = f.syslog = f.nf_tables = true;
  f.self_test = {.ran = true,
                 .owner_flag = true,
                 .start = true,
                 .delivered = true,
                 .nft_rule = true,
                 .legacy_wanted = true,
                 .nft_events = 9,
                 .legacy_events = 2,
                 .lost = 0,
                 .microseconds = 1234};
  f.nf_log = {{.family = 2, .logger = "nf_log_ipv4", .available = {"nf_log_ipv4", "nfnetlink_log"}},
              {.family = 7, .logger = "NONE", .available = {"nfnetlink_log"}},
              {.family = 10, .logger = "nf_log_ipv6", .available = {"nf_log_ipv6", "nfnetlink_log"}}};
  f.all_netns = "0";
  f.initial_namespace = f.group0_known = true;
  f.nft_tables = {"inet filter"};
  f.nft_rules = 3;
  f.ip_forward = "1";
  return f;
}

Facts well_with_legacy() {
  Facts f = well();
  f.nft_tables.clear();
  f.nft_rules = 0;
  f.legacy4 = {.present = true, .readable = true, .tables = {"filter", "nat"}, .rules = 31};
  return f;
}

void take_loggers_away(Facts& f) {
  for (NfLog& log : f.nf_log) log = {.family = log.family, .logger = "NONE", .available = {}};
}

// The one check of this name and status.
Check find(const Facts& facts, std::string_view name, CheckStatus status) {
  for (const Check& check : diagnose(facts).checks) {
    if (check.name == name && check.status == status) return check;
  }
  ADD_FAILURE() << "no check '" << name << "' that is " << to_text(status);
  return {};
}

TEST(Doctor, AMachineOnWhichAllIsWell) {
  const Diagnosis d = diagnose(well());
  EXPECT_TRUE(d.works);
  EXPECT_EQ(d.answer, "tracing works here: 11 events of 1 packet, legacy and nft, 0 lost, in 1.2 ms");
  EXPECT_EQ(d.next, "nothing was found that hides packets; try: sudo fwtrace trace -p icmp");
  for (const Check& check : d.checks) {
    EXPECT_NE(check.status, CheckStatus::Missing) << check.name;
    EXPECT_NE(check.status, CheckStatus::Mind) << check.name;
    EXPECT_FALSE(check.found.empty()) << check.name;
  }
}

struct Broken {
  const char* what;
  void (*spoil)(Facts&);
  const char* name;
  const char* found;
  const char* mend;
};
constexpr Broken kMissing[] = {
    {"a plain user", [](Facts& f) { f.root = f.net_admin = f.nf_tables = false; }, "rights",
     "CAP_NET_ADMIN is missing", "sudo fwtrace doctor"},
    {"root of a container", [](Facts& f) { f.net_admin = f.nf_tables = false; }, "rights",
     "CAP_NET_ADMIN is missing, though this is root (a container)", "docker run --cap-add NET_ADMIN …"},
    {"a kernel without nf_tables",
     [](Facts& f) {
       f.self_test = {.problem = "the kernel refused our table: Operation not supported"};
       f.nf_tables = false;
     },
     "nf_tables", "the kernel has no nf_tables", "modprobe nf_tables"},
    {"no NFLOG module",
     [](Facts& f) {
       f = well_with_legacy();
       take_loggers_away(f);
     },
     "nfnetlink_log", "not loaded, and modprobe does not find it", "modprobe nfnetlink_log"},
    {"no events of legacy tables",
     [](Facts& f) {
       f = well_with_legacy();
       f.self_test.legacy_events = 0;
     },
     "self-test",
     "no event came for iptables-legacy's tables (a kernel without CONFIG_NETFILTER_XT_TARGET_TRACE)", ""},
    {"no events at all",
     [](Facts& f) {
       f.self_test.start = f.self_test.delivered = f.self_test.nft_rule = false;
       f.self_test.nft_events = 0;
     },
     "self-test",
     "no event came for the start of the packet's way, the nft rule that it matched, its delivery", ""},
    {"arming was refused",
     [](Facts& f) {
       f.self_test = {.problem = "the kernel refused our set with a timeout: Invalid argument"};
     },
     "self-test", "the kernel refused our set with a timeout: Invalid argument", ""},
    {"ulogd has the group, and there is no kernel log either",
     [](Facts& f) {
       f = well_with_legacy();
       f.group0_holder = "ulogd (process 812)";
       for (NfLog& log : f.nf_log) log.available = {"nfnetlink_log"};
     },
     "NFLOG group 0", "ulogd (process 812) listens", "systemctl stop ulogd2"},
};

TEST(Doctor, WhatIsMissingIsTheAnswer) {
  for (const Broken& broken : kMissing) {
    SCOPED_TRACE(broken.what);
    Facts f = well();
    broken.spoil(f);
    const Diagnosis d = diagnose(f);
    EXPECT_FALSE(d.works);
    const Check check = find(f, broken.name, CheckStatus::Missing);
    EXPECT_EQ(check.found, broken.found);
    EXPECT_EQ(check.mend, broken.mend);
    EXPECT_FALSE(check.means.empty());
    EXPECT_EQ(d.answer, std::string("tracing cannot work here: ") + broken.name + ": " + broken.found);
    EXPECT_EQ(d.next, check.mend.empty() ? "see: " + check.means : "mend it: " + check.mend);
  }
}

constexpr Broken kMind[] = {
    {"before 5.12", [](Facts& f) { f.self_test.owner_flag = false; }, "nf_tables",
     "tables, but not the owner flag (Linux 5.12)", ""},
    {"no namespaces to try in",
     [](Facts& f) {
       f.self_test = {.problem = "no network namespace can be made here: Operation not permitted"};
     },
     "self-test", "no network namespace can be made here: Operation not permitted", ""},
    {"a module to be loaded",
     [](Facts& f) {
       f = well_with_legacy();
       take_loggers_away(f);
       f.nfnetlink_log_loadable = true;
     },
     "nfnetlink_log", "not loaded; fwtrace loads it", "modprobe nfnetlink_log"},
    {"somebody listens", [](Facts& f) { f.group0_holder = "tcpdump (process 7)"; }, "NFLOG group 0",
     "tcpdump (process 7) listens", ""},
    {"a logger without a listener", [](Facts& f) { f.nf_log[0].logger = "nfnetlink_log"; }, "nf_log",
     "IPv4 goes to NFLOG group 0, where nobody listens", "sysctl -w net.netfilter.nf_log.2=nf_log_ipv4"},
    {"two backends",
     [](Facts& f) { f.legacy4 = {.present = true, .readable = true, .tables = {"filter"}, .rules = 5}; },
     "two backends", "iptables-legacy (5) and nft (3) at once", ""},
    {"a tool that failed", [](Facts& f) { f.unread = {"nft -t -a list ruleset: not installed"}; }, "not read",
     "nft -t -a list ruleset: not installed", ""},
    {"somebody else's nftrace rule",
     [](Facts& f) {
       f.logging = {{.kind = LoggingRule::Kind::Trace,
                     .tool = "nft",
                     .family = "inet",
                     .table = "fw",
                     .chain = "c",
                     .number = 2,
                     .handle = 7,
                     .text = "tcp dport 80 meta nftrace set 1"}};
     },
     "TRACE rule", "nft inet fw c handle 7   tcp dport 80 meta nftrace set 1",
     "nft delete rule inet fw c handle 7"},
    {"somebody else's TRACE rule, elsewhere",
     [](Facts& f) {
       f.netns_option = "-N web";
       f.netns_path = "/run/netns/web";
       f.logging = {{.kind = LoggingRule::Kind::Trace,
                     .tool = "iptables-legacy",
                     .family = "ip",
                     .table = "raw",
                     .chain = "OUTPUT",
                     .number = 3,
                     .text = "-A OUTPUT -p icmp -j TRACE"}};
     },
     "TRACE rule", "iptables-legacy raw OUTPUT rule 3   -A OUTPUT -p icmp -j TRACE",
     "nsenter --net=/run/netns/web iptables-legacy -t raw -D OUTPUT -p icmp -j TRACE"},
    {"a flowtable",
     [](Facts& f) {
       f.flowtables = {
           {.family = "inet", .table = "fw", .name = "ft", .devices = "eth0, eth1", .offload = true}};
     },
     "flowtables", "inet fw ft on eth0, eth1, in hardware",
     "conntrack -D   # or take the 'flow add @ft' rule out"},
    {"XDP", [](Facts& f) { f.links = {{.index = 2, .name = "eth0", .xdp = "driver", .xdp_program = 41}}; },
     "before netfilter", "XDP program 41 (driver) on eth0", "ip link set dev eth0 xdp off"},
    {"an interface named to harm who copies the command",
     [](Facts& f) { f.links = {{.index = 2, .name = "a;reboot", .xdp = "generic", .xdp_program = 5}}; },
     "before netfilter", "XDP program 5 (generic) on a;reboot", "ip link set dev 'a;reboot' xdp off"},
    {"tc",
     [](Facts& f) {
       f.links = {{.index = 2, .name = "eth0", .ingress = {"tc filter 'bpf'", "tcx program 12"}}};
     },
     "before netfilter", "tc filter 'bpf', tcx program 12 at ingress of eth0",
     "tc filter show dev eth0 ingress"},
    {"a bridge without br_netfilter",
     [](Facts& f) { f.links = {{.index = 2, .name = "br0", .kind = "bridge"}}; }, "bridges",
     "br0; br_netfilter is not loaded", "modprobe br_netfilter"},
    {"a bridge past the IP tables",
     [](Facts& f) {
       f.links = {{.index = 2, .name = "br0", .kind = "bridge"}};
       f.bridge_calls_iptables = "0";
     },
     "bridges", "br0; net.bridge.bridge-nf-call-iptables = 0",
     "sysctl -w net.bridge.bridge-nf-call-iptables=1"},
    {"a talkative console", [](Facts& f) { f.console_loglevel = 7; }, "console", "kernel.printk = 7",
     "dmesg -n 4"},
    {"a killed run", [](Facts& f) { f.dead_runs = {"4711"}; }, "leftovers",
     "run 4711 was killed, and its guardian too", "fwtrace doctor --repair"},
    {"a folder that is not ours alone",
     [](Facts& f) { f.leftovers_problem = "'/run/fwtrace' is not ours alone, and is not used"; }, "leftovers",
     "'/run/fwtrace' is not ours alone, and is not used", ""},
    {"a table of nobody",
     [](Facts& f) { f.stray_tables = {{.family = packet::Family::Bridge, .name = "fwtrace-4711"}}; },
     "leftovers", "table bridge fwtrace-4711 of a run that has ended", "fwtrace doctor --repair"},
};

TEST(Doctor, WhatHidesPacketsIsSaidAndTracingWorks) {
  for (const Broken& broken : kMind) {
    SCOPED_TRACE(broken.what);
    Facts f = well();
    broken.spoil(f);
    const Check check = find(f, broken.name, CheckStatus::Mind);
    EXPECT_EQ(check.found, broken.found);
    EXPECT_EQ(check.mend, broken.mend);
    EXPECT_FALSE(check.means.empty());
    const Diagnosis d = diagnose(f);
    EXPECT_TRUE(d.works);
    EXPECT_EQ(d.next, std::string("if nothing appears: ") + broken.name + ": " + broken.found);
  }
}

TEST(Doctor, WithoutRightsNothingIsClaimed) {
  Facts f = well();
  f.root = f.net_admin = f.nf_tables = f.group0_known = false;
  f.nft_tables.clear();
  f.legacy4 = {.present = true};
  f.unseen_processes = 92;
  for (const char* name : {"NFLOG group 0", "nft tables", "legacy tables", "namespaces", "leftovers"})
    EXPECT_NE(find(f, name, CheckStatus::Fact).found.find("not to be"), std::string::npos) << name;
}

TEST(Doctor, NamespacesAreNamed) {
  Facts f = well();
  f.namespaces = {{.name = "web", .pid = 812, .process = "nginx", .processes = 3},
                  {.pid = 900, .process = "bad\x1bname", .processes = 1}};
  EXPECT_EQ(find(f, "namespaces", CheckStatus::Fact),
            (Check{.name = "namespaces",
                   .status = CheckStatus::Fact,
                   .found = "web: nginx (process 812), bad\\x1bname (process 900)",
                   .means = "a packet of a container may be in another namespace, with rules of its own",
                   .mend = "fwtrace doctor -N web"}));
  f.namespaces.assign(11, {.pid = 5, .process = "sh", .processes = 1});
  EXPECT_TRUE(find(f, "namespaces", CheckStatus::Fact).found.ends_with(", and 3 more"));
}

TEST(Doctor, ManyRulesAreCounted) {
  Facts f = well();
  f.logging.assign(25, {.kind = LoggingRule::Kind::Log,
                        .tool = "iptables-legacy",
                        .family = "ip",
                        .table = "filter",
                        .chain = "INPUT",
                        .number = 1,
                        .text = "-A INPUT -j LOG"});
  std::vector<Check> checks = diagnose(f).checks;
  std::erase_if(checks, [](const Check& check) { return check.name != "LOG rule"; });
  ASSERT_EQ(checks.size(), 21U);
  EXPECT_EQ(checks.back().found, "and 5 more");
}

TEST(Doctor, TheSelfTestComesThroughThePipe) {
  SelfTest test{.ran = true,
                .in_user_namespace = true,
                .owner_flag = true,
                .start = true,
                .delivered = false,
                .nft_rule = true,
                .legacy_wanted = true,
                .nft_events = 9,
                .legacy_events = 2,
                .lost = 3,
                .microseconds = 456,
                .problem = "no way"};
  EXPECT_EQ(parse_self_test(print_self_test(test)), test);
  EXPECT_FALSE(test.passed());
  test.problem.clear();
  EXPECT_FALSE(test.passed());
  test.delivered = true;
  EXPECT_TRUE(test.passed());
}

TEST(Doctor, TheFileOfKernelMessages) {
  EXPECT_EQ(find_kernel_file("# kern.* /no\nmodule(load=\"imklog\")\nkern.*\t\t-/var/log/kern.log\n"),
            "/var/log/kern.log");
  EXPECT_EQ(find_kernel_file("*.*;auth,authpriv.none\t-/var/log/syslog\nkern.warning /var/log/k\n"),
            "/var/log/k");
  EXPECT_EQ(find_kernel_file("*.info;mail.none /var/log/messages\n"), "/var/log/messages");
  EXPECT_EQ(find_kernel_file("*.info;kern.none /var/log/messages\nkern.* @@loghost\nkern.err /var/log/e\n"),
            std::nullopt);
}

}  // namespace
}  // namespace fwtrace::host
