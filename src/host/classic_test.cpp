#include "host/classic.h"

#include <gtest/gtest.h>

namespace fwtrace::host {
namespace {

using packet::Hook;
using packet::IpVersion;

packet::Filter filter(const std::vector<std::string>& words) {
  auto taken = packet::take_filter(words, {});
  EXPECT_TRUE(taken && taken->rest.empty());
  return taken ? taken->filter : packet::Filter{};
}

Facts legacy_machine() {
  Facts f;
  f.root = f.net_admin = f.initial_namespace = true;
  f.nf_log = {{.family = 2, .logger = "NONE", .available = {"nf_log_ipv4", "nfnetlink_log"}},
              {.family = 10, .logger = "nf_log_ipv6", .available = {"nf_log_ipv6", "nfnetlink_log"}}};
  f.legacy4 = {.present = true, .readable = true, .tables = {"raw", "filter"}, .rules = 3};
  f.tools = {"iptables", "iptables-legacy", "nft"};
  f.kernel_log = {.kind = KernelLogPlace::Kind::File, .file = "/var/log/kern.log", .daemon = "rsyslogd"};
  return f;
}

TEST(Classic, TheScriptForLegacyTables) {
  EXPECT_EQ(print_classic(legacy_machine(), filter({"--dport", "80", "-p", "tcp", "!", "-i", "lo"})),
            R"(# The classic way to trace on this machine: destination port 80, tcp, not in lo.
# To be run as root. What is changed is put back at the end; Ctrl-C goes on to that.
trap : INT TERM HUP

# 1. What is traced goes to the kernel log.
sysctl -w net.netfilter.nf_log.2=nf_log_ipv4

# 2. Trace them. The limit is needed: the kernel log has none, and its ring holds some 600 such lines.
iptables-legacy -w -t raw -I PREROUTING 1 -p tcp --dport 80 ! -i lo -m limit --limit 100/second --limit-burst 20 -j TRACE
iptables-legacy -w -t raw -I OUTPUT 1 -p tcp --dport 80 -m limit --limit 100/second --limit-burst 20 -j TRACE

# 3. Send the packets now.
if (: </dev/tty) 2>/dev/null; then
  echo 'send the packets now, then press Enter' >&2
  read -r answer </dev/tty
else
  sleep 10
fi

# 4. What happened to them. The rules are read before the undo, since TRACE rules count as raw's first.
fwtrace explain /var/log/kern.log --rules live --dport 80 -p tcp ! -i lo

# 5. The undo.
iptables-legacy -w -t raw -D OUTPUT -p tcp --dport 80 -m limit --limit 100/second --limit-burst 20 -j TRACE
iptables-legacy -w -t raw -D PREROUTING -p tcp --dport 80 ! -i lo -m limit --limit 100/second --limit-burst 20 -j TRACE
sysctl -w net.netfilter.nf_log.2=NONE
trap - INT TERM HUP
)");
}

TEST(Classic, TheScriptForNft) {
  Facts f = legacy_machine();
  f.legacy4 = {};
  f.netns_path = "/run/netns/web";
  EXPECT_EQ(print_classic(f, filter({"-p", "udp", "-o", "eth0"})),
            R"(# The classic way to trace on this machine: udp, out eth0.
# To be run as root. What is changed is put back at the end; Ctrl-C goes on to that.
trap : INT TERM HUP

# 1. Trace them, by a table of its own.
nsenter --net=/run/netns/web nft add table inet fwtrace_classic
nsenter --net=/run/netns/web nft 'add chain inet fwtrace_classic prerouting { type filter hook prerouting priority -350; }'
# -o eth0 is decided by routing, behind prerouting: left out here
nsenter --net=/run/netns/web nft 'add rule inet fwtrace_classic prerouting meta l4proto 17 limit rate 100/second burst 20 packets meta nftrace set 1'
nsenter --net=/run/netns/web nft 'add chain inet fwtrace_classic output { type filter hook output priority -350; }'
nsenter --net=/run/netns/web nft 'add rule inet fwtrace_classic output meta l4proto 17 oifname "eth0" limit rate 100/second burst 20 packets meta nftrace set 1'
trace=$(mktemp)
nsenter --net=/run/netns/web nft monitor trace >"$trace" &
monitor=$!
sleep 1

# 2. Send the packets now.
if (: </dev/tty) 2>/dev/null; then
  echo 'send the packets now, then press Enter' >&2
  read -r answer </dev/tty
else
  sleep 10
fi

# 3. What happened to them.
nsenter --net=/run/netns/web fwtrace explain "$trace" --rules live

# 4. The undo.
kill $monitor
rm -f "$trace"
nsenter --net=/run/netns/web nft delete table inet fwtrace_classic
trap - INT TERM HUP
)");
}

TEST(Classic, TheMachineDecidesTheSteps) {
  const auto has = [](const Facts& f, const std::vector<std::string>& words, std::string_view line) {
    const std::string script = print_classic(f, filter(words));
    return script.find("\n" + std::string(line) + "\n") != std::string::npos;
  };
  Facts f = legacy_machine();
  EXPECT_FALSE(has(f, {}, "modprobe nf_log_syslog"));
  f.nf_log[0].available = {"nfnetlink_log"};
  f.syslog_module = "nf_log_ipv4";
  EXPECT_TRUE(has(f, {}, "modprobe nf_log_ipv4"));
  f = legacy_machine();
  f.nf_log[0].logger = "nf_log_ipv4";
  EXPECT_TRUE(has(f, {}, "# net.netfilter.nf_log.2 is nf_log_ipv4 already"));
  EXPECT_FALSE(has(f, {}, "sysctl -w net.netfilter.nf_log.2=nf_log_ipv4"));
  f.legacy4.tables = {"filter"};
  EXPECT_TRUE(has(f, {}, "# IPv4 has no raw table yet: the next line makes it, and it stays, empty"));
  f.initial_namespace = false;
  f.all_netns = "0";
  EXPECT_TRUE(has(f, {}, "sysctl -w net.netfilter.nf_log_all_netns=1"));
  EXPECT_TRUE(has(f, {}, "sysctl -w net.netfilter.nf_log_all_netns=0"));
  f.all_netns.reset();
  EXPECT_FALSE(has(f, {}, "sysctl -w net.netfilter.nf_log_all_netns=1"));
  f.kernel_log = {.kind = KernelLogPlace::Kind::Journal};
  EXPECT_TRUE(has(f, {}, "since=$(date '+%Y-%m-%d %H:%M:%S')"));
  f.kernel_log = {};
  EXPECT_TRUE(has(f, {"-4"}, "dmesg | fwtrace explain - --rules live -4"));
  EXPECT_TRUE(
      has(f, {"-p", "icmpv6"},
          "# No packet of this FILTER meets a table of iptables-legacy here: there is nothing to trace."));
  Facts compat = legacy_machine();
  compat.legacy4 = {};
  compat.tools = {"iptables", "iptables-legacy", "stdbuf"};
  compat.iptables_is_nft = true;
  EXPECT_TRUE(has(compat, {}, "stdbuf -oL xtables-monitor --trace >\"$trace\" &"));
  EXPECT_TRUE(
      has(compat, {"-p", "icmp"},
          "iptables -w -t raw -D OUTPUT -p icmp -m limit --limit 100/second --limit-burst 20 -j TRACE"));
  f.tools = {"iptables"};
  EXPECT_TRUE(has(
      f, {"--dport", "53", "-p", "udp"},
      "iptables -w -t raw -I OUTPUT 1 -p udp --dport 53 -m limit --limit 100/second --limit-burst 20 -j TRACE"));
}

struct Words {
  std::vector<std::string> filter;
  IpVersion version;
  Hook hook;
  const char* iptables;  // null: no such packet
  const char* nft;
};

TEST(Classic, TheFilterInBothLanguages) {
  const Words rows[] = {
      {{"-s", "10.0.0.0/255.0.0.0"},
       IpVersion::V4,
       Hook::Prerouting,
       "-s 10.0.0.0/255.0.0.0",
       "ip saddr 10.0.0.0/8"},
      {{"-s", "10.0.0.0/8"}, IpVersion::V6, Hook::Prerouting, nullptr, nullptr},
      {{"!", "-s", "10.0.0.0/8"}, IpVersion::V6, Hook::Prerouting, "", ""},
      {{"-d", "fd00::1"}, IpVersion::V6, Hook::Output, "-d fd00::1", "ip6 daddr fd00::1"},
      {{"-i", "eth0"}, IpVersion::V4, Hook::Output, nullptr, nullptr},
      {{"-i", "vir+"}, IpVersion::V4, Hook::Prerouting, "-i vir+", "iifname \"vir*\""},
      {{"!", "-o", "eth0"}, IpVersion::V4, Hook::Output, "! -o eth0", "oifname != \"eth0\""},
      {{"-p", "tcp", "--sport", "1024:2000"},
       IpVersion::V4,
       Hook::Output,
       "-p tcp --sport 1024:2000",
       "meta l4proto 6 th sport 1024-2000"},
      {{"--icmp-type", "echo-request"},
       IpVersion::V4,
       Hook::Output,
       "--icmp-type echo-request",
       "icmp type 8"},
      {{"-m", "mark", "--mark", "0x1/0xff"},
       IpVersion::V4,
       Hook::Output,
       "-m mark --mark 0x1/0xff",
       "meta mark & 0xff == 0x1"},
      {{"-4"}, IpVersion::V6, Hook::Output, nullptr, nullptr},
      {{"-p", "icmpv6"}, IpVersion::V4, Hook::Output, nullptr, nullptr},
  };
  for (const Words& row : rows) {
    SCOPED_TRACE(packet::print_filter(filter(row.filter)));
    const auto iptables = to_iptables(filter(row.filter), row.version, row.hook);
    const auto nft = to_nft_words(filter(row.filter), row.version, row.hook);
    ASSERT_EQ(iptables.has_value(), row.iptables != nullptr);
    ASSERT_EQ(nft.has_value(), row.nft != nullptr);
    if (!row.iptables) continue;
    EXPECT_EQ(iptables->words, row.iptables);
    EXPECT_EQ(nft->words, row.nft);
  }
}

}  // namespace
}  // namespace fwtrace::host
