// Tracing on a kernel that has no owner flag for tables and loads its modules on demand: Debian 11's 5.10, in a virtual
// machine (tests/qemu/run). The machine is the test's own, so its first network namespace may be changed too.
//
// tests/qemu/init runs the suites one after the other, and decides which modules can be had meanwhile.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "host/leftovers.h"
#include "host/nf_log.h"
#include "host/proc.h"
#include "live/tracing_run.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
using Strings = std::vector<std::string>;

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string all(const Strings& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

int find_guardian(int pid) {
  for (const int each : host::list_processes()) {
    const auto process = host::find_process(each);
    if (process && process->parent == pid && process->name == "fwtrace-guard") return each;
  }
  return 0;
}
// Both die, so that nobody renews and nobody takes out.
void kill_with_guardian(pid_t child) {
  const int guardian = find_guardian(child);
  ASSERT_GT(guardian, 0);
  kill(guardian, SIGKILL);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

void prepare() {
  Box::run("ip link set lo up; iptables-legacy -F; iptables-legacy -A OUTPUT -p icmp -j ACCEPT");
}

// nfnetlink, nf_tables, nfnetlink_log and nf_log_ipv4 cannot be loaded.
TEST(NoModules, EachIsNamedWithItsCommand) {
  in_child([] {
    const auto tracing = host::Tracing::start(wish({"-p", "icmp"}));
    ASSERT_FALSE(tracing);
    EXPECT_EQ(tracing.error().kind, base::ErrorKind::Permission);
    EXPECT_TRUE(has(all(tracing.error().hints), "modprobe nfnetlink")) << tracing.error().message;
  });
}

// nf_tables, nfnetlink_log and nf_log_ipv4 cannot be loaded.
TEST(NoTables, TheErrorSaysWhatIsMissing) {
  prepare();
  const std::string before = state();
  in_child([] {
    const auto tracing = host::Tracing::start(wish({"-p", "icmp"}));
    ASSERT_FALSE(tracing);
    EXPECT_TRUE(has(tracing.error().message, "this kernel has no nf_tables")) << tracing.error().message;
    EXPECT_TRUE(has(all(tracing.error().hints), "modprobe nf_tables"));
    EXPECT_TRUE(has(all(tracing.error().hints), "--allow-insert inserts 4 rules"));
  });
  EXPECT_EQ(state(), before);
}

// kernel: trace_tg_check of xt_TRACE, before 5.13, wants somebody who would log.
TEST(NoTables, InsertedRulesNeedSomebodyWhoLogs) {
  const std::string before = state();
  in_child([] {
    host::TracingWish wanted = wish({"-p", "icmp", "-4"});
    wanted.allow_insert = true;
    const auto tracing = host::Tracing::start(wanted);
    ASSERT_FALSE(tracing);
    EXPECT_TRUE(
        has(all(tracing.error().hints),
            "iptables-legacy events cannot be seen: this kernel has not loaded nfnetlink_log, and the "
            "kernel has not loaded nf_log_ipv4: modprobe nfnetlink_log\n"))
        << all(tracing.error().hints);
  });
  Box::run("rmmod iptable_raw");  // made by the attempt
  EXPECT_EQ(state(), before);
}

// nf_tables and nfnetlink_log cannot be loaded: the lowest rung of all, rules in raw and the kernel log.
TEST(NoTablesNoNflog, InsertedRulesAndTheKernelLog) {
  Box::run(
      "iptables-legacy -t raw -A OUTPUT -p icmp -m comment --comment mine; modprobe nf_log_ipv4; modprobe nf_log_ipv6");
  const std::string before = state();
  in_child([&] {
    host::TracingWish wanted = wish({"-p", "icmp", "-4"});
    wanted.allow_insert = true;
    const auto tracing = host::Tracing::start(wanted);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_TRUE((*tracing)->legacy_events());
    EXPECT_EQ((*tracing)->raw_shift(packet::IpVersion::V4), 1U);
    EXPECT_EQ((*tracing)->raw_shift(packet::IpVersion::V6), 0U);
    Box::run("ping -c 2 127.0.0.1");
    const Heard heard = listen(**tracing, 500);
    EXPECT_TRUE(has(heard.kernel_log, ";fwtrace: tracing begins here\n")) << heard.kernel_log;
    EXPECT_TRUE(has(heard.kernel_log, ",-;TRACE: raw:OUTPUT:rule:2 IN= OUT=lo SRC=127.0.0.1 "));
    EXPECT_TRUE(has(heard.kernel_log, ",-;TRACE: filter:OUTPUT:rule:1 IN= OUT=lo SRC=127.0.0.1 "));
    ASSERT_TRUE((*tracing)->counters());
    EXPECT_EQ((*tracing)->counters()->armed, 4U);  // two requests, two replies
    EXPECT_EQ((*tracing)->stop(), Strings());
  });
  EXPECT_EQ(state(), before);
}

TEST(NoTablesNoNflog, TheTimeLimitEndsTracingByItself) {
  const std::string before = state();
  host::TracingWish wanted = wish({"-p", "icmp", "-4"});
  wanted.allow_insert = true;
  const pid_t child = fork();
  if (child == 0) {
    const auto tracing = host::Tracing::start(wanted);
    while (tracing) pause();
    _exit(1);
  }
  std::string rules;
  for (int i = 0; i < 200 && !has(rules, "--datestop"); ++i) {
    std::this_thread::sleep_for(50ms);
    rules = Box::run("iptables-legacy-save -t raw");
  }
  ASSERT_TRUE(has(rules, "-A OUTPUT -m comment --comment fwtrace-")) << rules;
  kill_with_guardian(child);
  const std::string arm = "iptables-legacy-save -c -t raw | grep -e '-arm$' | sed 's/:.*//'";
  Box::run("ping -c 1 127.0.0.1");
  EXPECT_NE(Box::run(arm), "[0\n");
  Box::run("date -s \"@$(($(date +%s) + 61))\"");
  const std::string counted = Box::run(arm);
  Box::run("ping -c 3 127.0.0.1");
  EXPECT_EQ(Box::run(arm), counted) << "a minute later nothing is armed";
  in_child([&] {  // and the next run cleans up
    const auto tracing = host::Tracing::start(wanted);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_TRUE(has(all((*tracing)->notes()), "put back what 1 killed run of fwtrace had left changed"))
        << all((*tracing)->notes());
  });
  EXPECT_EQ(state(), before);
}

// nfnetlink_log cannot be loaded.
TEST(NoNflog, TheSecondRungAndTheKernelLog) {
  Box::run("modprobe nf_tables; modprobe nf_log_ipv4; modprobe nf_log_ipv6");
  const std::string before = state();
  in_child([&] {
    const auto tracing = host::Tracing::start(wish({"-p", "icmp", "-4"}));
    ASSERT_TRUE(tracing) << tracing.error().message;
    const std::string notes = all((*tracing)->notes());
    EXPECT_TRUE(has(notes, "this kernel has no owner flag for tables")) << notes;
    EXPECT_TRUE(
        has(notes,
            "iptables-legacy events are read from the kernel log: this kernel has not loaded nfnetlink_log"))
        << notes;
    Box::run("ping -c 1 127.0.0.1");
    const Heard heard = listen(**tracing, 500);
    EXPECT_EQ(heard.count("nft " + host::Arming::table_name(getpid()) + ":start-sent"), 2U)
        << testing::PrintToString(heard.events);
    EXPECT_TRUE(has(heard.kernel_log, ",-;TRACE: filter:OUTPUT:rule:1 IN= OUT=lo ")) << heard.kernel_log;
    EXPECT_EQ((*tracing)->stop(), Strings());
  });
  EXPECT_EQ(state(), before);
}

class AllModules : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    ASSERT_TRUE(box_) << why;
    // The module stays when it was loaded, and would be a difference.
    EXPECT_EQ(
        Box::run(
            "modprobe nfnetlink_log; iptables-legacy -A FORWARD -p udp -j ACCEPT; nft add table inet own"),
        "");
    before_ = state();
  }
  // Within five seconds all is as it was.
  void expect_clean() const {
    std::string now;
    for (int i = 0; i < 100; ++i) {
      now = state() + Box::run("ls /run/fwtrace");
      if (now == before_) return;
      std::this_thread::sleep_for(50ms);
    }
    EXPECT_EQ(now, before_);
  }
  std::unique_ptr<Box> box_;
  std::string before_;
};

TEST_F(AllModules, TheOwnerFlagIsRefusedAndTheSecondRungWorks) {
  EXPECT_NE(Box::run("nft 'add table inet probe { flags owner; }'"), "");
  in_child([&] {
    const Sender sender(*box_, "10.8.0.2"), v6(*box_, "fd08::2");
    const auto tracing = host::Tracing::start(wish({"-p", "udp", "--dport", "53"}));
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ((*tracing)->notes().size(), 1U);
    EXPECT_TRUE(has(all((*tracing)->notes()), "this kernel has no owner flag for tables"))
        << all((*tracing)->notes());
    EXPECT_TRUE((*tracing)->legacy_events());
    sender.send(3);
    v6.send(1);
    const Heard heard = listen(**tracing, 500);
    const std::string ours = "nft " + host::Arming::table_name(getpid());
    EXPECT_EQ(heard.count(ours + ":start"), 4U) << testing::PrintToString(heard.events);
    EXPECT_EQ(heard.count("legacy filter:FORWARD:rule:1"), 3U);
    EXPECT_EQ(heard.count(ours + ":left"), 4U);
    EXPECT_TRUE((*tracing)->set_rate(10));
    sender.send(1);
    EXPECT_EQ((*tracing)->stop(), Strings());
    ASSERT_TRUE((*tracing)->counters());
    EXPECT_EQ((*tracing)->counters()->armed, 5U);
  });
  expect_clean();
}

TEST_F(AllModules, TheGuardianRemovesTheTableAfterKillNine) {
  for (int round = 0; round < 20 && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    const pid_t child = fork();
    if (child == 0) {
      const auto tracing = host::Tracing::start(wish({"-p", "udp"}));
      while (tracing) pause();
      _exit(1);
    }
    if (round == 0) {  // once for certain with the table there
      std::string tables;
      for (int i = 0; i < 200 && !has(tables, "fwtrace-"); ++i) {
        std::this_thread::sleep_for(50ms);
        tables = Box::run("nft list tables");
      }
      EXPECT_TRUE(has(tables, "table inet fwtrace-" + std::to_string(child))) << tables;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(10 * round));
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    expect_clean();
  }
}

TEST_F(AllModules, WithoutTheGuardianNothingIsArmedAnyMoreAndTheNextRunCleansUp) {
  const Sender sender(*box_, "10.8.0.2");
  const pid_t child = fork();
  if (child == 0) {
    host::TracingWish wanted = wish({"-p", "udp"});
    wanted.limits.dead_mans_switch = host::DeadMansSwitch{.lifetime = 5s, .refresh_every = 2s};
    const auto tracing = host::Tracing::start(wanted);
    while (tracing) pause();
    _exit(1);
  }
  std::string tables;
  for (int i = 0; i < 200 && !has(tables, "fwtrace-"); ++i) {
    std::this_thread::sleep_for(50ms);
    tables = Box::run("nft list tables");
  }
  kill_with_guardian(child);
  std::this_thread::sleep_for(6s);
  sender.send(3);
  const std::string table = Box::run("nft list table inet fwtrace-" + std::to_string(child));
  EXPECT_TRUE(has(table, "counter matched {\n\t\tpackets 3 ")) << table;
  EXPECT_TRUE(has(table, "counter armed {\n\t\tpackets 0 ")) << table;
  in_child([] {
    const auto tracing = host::Tracing::start(wish({"-p", "udp"}));
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_TRUE(has(all((*tracing)->notes()), "put back what 1 killed run of fwtrace had left changed"));
  });
  expect_clean();
}

TEST_F(AllModules, GroupTakenTheKernelLogIfItKnowsTheNamespace) {
  const auto socket = host::NetlinkSocket::open();
  ASSERT_TRUE(socket);
  auto& holder = const_cast<host::NetlinkSocket&>(*socket);
  ASSERT_TRUE(host::bind_group0(holder));
  before_ = state();
  const auto first = host::NetworkNamespace::of_process(1);
  const auto all_namespaces = [&](const char* value) {
    const auto inside = host::EnterNamespace::enter(*first);
    Box::run(std::string("sysctl -w net.netfilter.nf_log_all_netns=") + value);
  };
  for (const bool known : {false, true}) {
    all_namespaces(known ? "1" : "0");
    in_child([&] {
      const Sender sender(*box_, "10.8.0.2");
      const auto tracing = host::Tracing::start(wish({"-p", "udp"}));
      ASSERT_TRUE(tracing) << tracing.error().message;
      EXPECT_EQ((*tracing)->legacy_events(), known) << all((*tracing)->notes());
      sender.send(2);
      const Heard heard = listen(**tracing, 500);
      EXPECT_EQ(has(heard.kernel_log, "TRACE: filter:FORWARD:rule:1 IN=veth0 OUT=out0 "), known)
          << heard.kernel_log;
    });
    expect_clean();
  }
  all_namespaces("0");
}

}  // namespace
}  // namespace fwtrace::live
