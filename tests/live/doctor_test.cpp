// Doctor on the running kernel: what it finds in a box is what was put there, it changes nothing, and the script of the
// classic way leaves everything as it was.
#include "host/doctor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/run.h"
#include "host/classic.h"
#include "host/doctor_facts.h"
#include "host/guardian.h"
#include "host/repair.h"
#include "live/box.h"

namespace fwtrace::live {
namespace {

using host::Check;
using host::CheckStatus;

class DoctorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    char pattern[] = "/tmp/fwtrace-live-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  void TearDown() override {
    if (!folder_.empty()) Box::run("rm -rf '" + folder_ + "'");
  }
  // All that doctor could change here. Counters and dates aside: those of the rules change by themselves.
  static std::string everything() {
    return Box::run(
        "cat /proc/thread-self/net/netfilter/nf_log; iptables-legacy-save | grep -v '^#' | sed 's/\\[.*//';"
        "ip6tables-legacy-save | grep -v '^#' | sed 's/\\[.*//'; nft -a list ruleset 2>/dev/null;"
        "ip -o link | sed 's/ qlen.*//'; tc qdisc; sysctl -a 2>/dev/null | grep -E 'netfilter.nf_log|rp_filter|forward|bridge-nf'");
  }
  void write(const std::string& name, const std::string& text, int mode = 0644) const {
    std::ofstream(folder_ + "/" + name) << text;
    chmod((folder_ + "/" + name).c_str(), static_cast<mode_t>(mode));
  }
  std::string read(const std::string& name) const {
    std::stringstream text;
    text << std::ifstream(folder_ + "/" + name).rdbuf();
    return text.str();
  }
  static std::string run_cli(const std::vector<std::string>& args, int expected = 0) {
    base::Output out = base::Output::to_string(), err = base::Output::to_string();
    cli::World world{.out = out, .err = err};
    EXPECT_EQ(cli::run(args, world), expected) << err.text();
    return out.text();
  }

  std::unique_ptr<Box> box_;
  std::string folder_;
};

std::vector<Check> find(const host::Diagnosis& diagnosis, std::string_view name) {
  std::vector<Check> checks = diagnosis.checks;
  std::erase_if(checks, [&](const Check& check) { return check.name != name; });
  return checks;
}

TEST_F(DoctorTest, TheSelfTestPasses) {
  const std::string before = everything();
  const host::SelfTest test = host::run_self_test();
  EXPECT_EQ(test.problem, "");
  EXPECT_TRUE(test.passed()) << host::print_self_test(test);
  EXPECT_TRUE(test.owner_flag);
  EXPECT_EQ(test.lost, 0U);
  // Both hooks of lo's one packet in the legacy filter table: OUTPUT and INPUT.
  EXPECT_EQ(test.legacy_events, test.legacy_wanted ? 2U : 0U);
  EXPECT_EQ(everything(), before);
}

TEST_F(DoctorTest, WhatWasThereBeforeIsNamedAndStays) {
  EXPECT_EQ(
      Box::run(
          "iptables-legacy -t raw -A PREROUTING -p icmp -m comment --comment \"it's \\\"me\\\"\" -j TRACE;"
          "iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT; iptables-legacy -A INPUT -j LOG;"
          "ip6tables-legacy -A INPUT -j NFLOG; iptables-nft -A FORWARD -p udp -j TRACE;"
          "nft 'add table inet fw; add chain inet fw c; add rule inet fw c counter;"
          "     add rule inet fw c tcp dport 80 meta nftrace set 1';"
          "ip link add br0 type bridge; tc qdisc add dev veth0 clsact;"
          "sysctl -qw net.netfilter.nf_log.10=NONE"),
      "");
  const std::string before = everything();
  const auto facts = host::gather_facts();
  ASSERT_TRUE(facts) << facts.error().message;
  const host::Diagnosis diagnosis = host::diagnose(*facts);
  EXPECT_EQ(everything(), before);
  EXPECT_TRUE(diagnosis.works) << diagnosis.answer;

  const auto traces = find(diagnosis, "TRACE rule");
  ASSERT_EQ(traces.size(), 3U);
  EXPECT_EQ(
      traces[0].found,
      "iptables-legacy raw PREROUTING rule 1   -A PREROUTING -p icmp -m comment --comment \"it\\'s \\\"me\\\"\" -j TRACE");
  EXPECT_EQ(traces[1].found, "iptables-nft filter FORWARD rule 1   -A FORWARD -p udp -j TRACE");
  EXPECT_TRUE(traces[2].found.ends_with("   tcp dport 80 meta nftrace set 1")) << traces[2].found;
  const auto logs = find(diagnosis, "LOG rule");
  ASSERT_EQ(logs.size(), 1U);
  EXPECT_EQ(logs[0].found, "iptables-legacy filter INPUT rule 2   -A INPUT -j LOG");
  const auto groups = find(diagnosis, "NFLOG rule");
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].found, "ip6tables-legacy filter INPUT rule 1   -A INPUT -j NFLOG");
  ASSERT_EQ(find(diagnosis, "two backends").size(), 1U);
  ASSERT_EQ(find(diagnosis, "bridges").size(), 1U);
  EXPECT_TRUE(find(diagnosis, "bridges")[0].found.starts_with("br0"));

  // The commands that it names remove exactly these rules.
  for (const Check& trace : traces) EXPECT_EQ(Box::run(trace.mend), "") << trace.mend;
  const auto after = host::gather_facts();
  ASSERT_TRUE(after);
  EXPECT_TRUE(find(host::diagnose(*after), "TRACE rule").empty());
  EXPECT_EQ(after->legacy4.rules + after->legacy6.rules, facts->legacy4.rules + facts->legacy6.rules - 1);
  EXPECT_EQ(after->nft_rules, facts->nft_rules - 2);
}

TEST_F(DoctorTest, NothingIsMadeWhereNothingIs) {
  const std::string before = everything();
  const auto facts = host::gather_facts();
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(everything(), before);
  EXPECT_TRUE(facts->legacy4.tables.empty()) << "asking for a legacy table would make it";
  EXPECT_TRUE(facts->nft_tables.empty());
  EXPECT_TRUE(facts->logging.empty());
}

TEST_F(DoctorTest, AListenerOfGroup0IsNamed) {
  auto socket = host::NetlinkSocket::open();
  ASSERT_TRUE(socket);
  ASSERT_EQ(*host::bind_group0(*socket), host::Group0::Ours);
  const auto facts = host::gather_facts();
  ASSERT_TRUE(facts);
  const auto checks = find(host::diagnose(*facts), "NFLOG group 0");
  ASSERT_EQ(checks.size(), 1U);
  EXPECT_EQ(checks[0].status, CheckStatus::Mind);
  EXPECT_NE(checks[0].found.find("(process " + std::to_string(getpid()) + ") listens"), std::string::npos)
      << checks[0].found;
}

// A program that lets every packet pass, attached to `device` while the descriptors are open. Raw bpf(2): the headers
// of older systems do not know tcx.
class Attached {
 public:
  Attached(std::uint32_t type, std::uint32_t where, std::uint32_t flags, std::uint32_t verdict,
           const char* device) {
    const std::uint64_t code[] = {0xb7 | std::uint64_t{verdict} << 32, 0x95};  // r0 = verdict; exit
    const char license[] = "GPL";
    struct {
      std::uint32_t type, count;
      std::uint64_t code, license;
      char rest[96];
    } load{type, 2, reinterpret_cast<std::uintptr_t>(code), reinterpret_cast<std::uintptr_t>(license), {}};
    program_ = host::Fd(static_cast<int>(syscall(SYS_bpf, 5, &load, sizeof load)));
    struct {
      std::uint32_t program, device, where, flags;
      char rest[96];
    } attach{static_cast<std::uint32_t>(program_.get()), if_nametoindex(device), where, flags, {}};
    link_ = host::Fd(static_cast<int>(syscall(SYS_bpf, 28, &attach, sizeof attach)));
  }
  bool attached() const { return program_.open() && link_.open(); }

 private:
  host::Fd program_, link_;
};

TEST_F(DoctorTest, ProgramsBeforeNetfilterAreNamed) {
  constexpr std::uint32_t kXdpProgram = 6, kXdp = 37, kGeneric = 2,
                          kPass = 2;  // linux/bpf.h, linux/if_link.h
  constexpr std::uint32_t kClassifier = 3, kTcxIngress = 46, kNext = ~0U;
  const auto find_here = [] {
    const auto facts = host::gather_facts();
    return facts ? find(host::diagnose(*facts), "before netfilter") : std::vector<Check>();
  };
  const Attached xdp(kXdpProgram, kXdp, kGeneric, kPass, "veth0");
  ASSERT_TRUE(xdp.attached());
  auto checks = find_here();
  ASSERT_EQ(checks.size(), 1U);
  EXPECT_EQ(checks[0].status, CheckStatus::Mind);
  EXPECT_TRUE(checks[0].found.starts_with("XDP program ") && checks[0].found.ends_with(" (generic) on veth0"))
      << checks[0].found;
  const Attached tcx(kClassifier, kTcxIngress, 0, kNext, "out0");
  if (!tcx.attached()) GTEST_SKIP() << "this kernel has no tcx (6.6)";
  checks = find_here();
  ASSERT_EQ(checks.size(), 2U);
  EXPECT_TRUE(std::ranges::any_of(checks, [](const Check& check) {
    return check.found.starts_with("tcx program ") && check.found.ends_with(" at ingress of out0");
  }));
}

TEST_F(DoctorTest, AnotherNamespaceIsLookedInto) {
  {
    const auto inside = host::EnterNamespace::enter(box_->neighbour());
    ASSERT_EQ(Box::run("iptables-legacy -A INPUT -p udp -j LOG"), "");
  }
  const std::string path =
      "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(box_->neighbour().fd());
  const auto here = host::gather_facts();
  const auto there = host::gather_facts(path);
  ASSERT_TRUE(here && there);
  EXPECT_TRUE(here->logging.empty());
  ASSERT_EQ(there->logging.size(), 1U);
  EXPECT_EQ(there->logging[0].text, "-A INPUT -p udp -j LOG");
}

// The script as sh runs it, without a terminal, a shorter time to send packets, and a stub of fwtrace that looks at
// the machine as it is then.
class ClassicTest : public DoctorTest {
 protected:
  std::string run_script(const std::vector<std::string>& args) { return run_text(run_cli(args)); }
  std::string run_text(std::string script) {
    const std::string pause = "  sleep 10\n";
    const auto at = script.find(pause);
    EXPECT_NE(at, std::string::npos);
    if (at == std::string::npos) return script;
    script.replace(at, pause.size(), "  echo ready >'" + folder_ + "/ready'; sleep 1\n");
    write("classic.sh", script);
    write(
        "fwtrace",
        "#!/bin/sh\n{ iptables-legacy-save -t raw 2>/dev/null; cat /proc/thread-self/net/netfilter/nf_log; } >'" +
            folder_ + "/during'\ncat \"$2\" >'" + folder_ + "/trace'\n",
        0755);
    std::thread packets([this, neighbour = box_->neighbour().fd()] {
      for (int i = 0; i < 500 && access((folder_ + "/ready").c_str(), F_OK) != 0; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      if (setns(neighbour, CLONE_NEWNET) != 0) return;  // of this thread alone
      box_->send_udp("10.9.0.1", 4242, 3);
    });
    const std::string said = Box::run("PATH='" + folder_ + "':$PATH setsid -w sh '" + folder_ +
                                      "/classic.sh' </dev/null >/dev/null");
    packets.join();
    return said;
  }
};

TEST_F(ClassicTest, TheScriptForLegacyTablesLeavesNothing) {
  ASSERT_EQ(
      Box::run(
          "iptables-legacy -t raw -A PREROUTING -p udp -j ACCEPT; iptables-legacy -A INPUT -p tcp -j ACCEPT;"
          "ip6tables-legacy -t raw -A OUTPUT -p udp -j ACCEPT;"
          "sysctl -qw net.netfilter.nf_log.2=nfnetlink_log net.netfilter.nf_log.10=NONE"),
      "");
  const std::string before = everything();
  EXPECT_EQ(run_script({"doctor", "--classic", "-p", "udp", "--dport", "4242"}), "");
  EXPECT_EQ(everything(), before);
  const std::string during = read("during");
  EXPECT_NE(
      during.find(
          "-A PREROUTING -p udp -m udp --dport 4242 -m limit --limit 100/sec --limit-burst 20 -j TRACE\n"
          "-A PREROUTING -p udp -j ACCEPT\n"),
      std::string::npos)
      << during;
  EXPECT_NE(during.find("-A OUTPUT -p udp -m udp --dport 4242 -m limit"), std::string::npos);
  EXPECT_NE(during.find(" 2 nf_log_ipv4 "), std::string::npos);
  EXPECT_NE(during.find("10 nf_log_ipv6 "), std::string::npos);
}

TEST_F(ClassicTest, TheScriptForNftTracesAndLeavesNothing) {
  ASSERT_EQ(Box::run("nft 'add table inet fw; add chain inet fw in { type filter hook input priority 0; };"
                     "add rule inet fw in udp dport 4242 counter'"),
            "");
  const std::string before = Box::run("nft -a list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'");
  EXPECT_EQ(run_script({"doctor", "--classic", "-p", "udp", "--dport", "4242", "-s", "10.9.0.2"}), "");
  EXPECT_EQ(Box::run("nft -a list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'"), before);
  EXPECT_EQ(
      Box::run("pgrep -f 'nft monitor trace' | while read p; do readlink /proc/$p/ns/net; done | grep -c "
               "\"$(readlink /proc/self/ns/net)\"; true"),
      "0\n")
      << "the monitor has ended";
  const std::string trace = read("trace");
  EXPECT_NE(trace.find("inet fw in rule udp dport 4242"), std::string::npos) << trace;
}

TEST_F(ClassicTest, TheScriptForIptablesNftWithoutNft) {
  ASSERT_EQ(
      Box::run(
          "iptables-nft -t raw -A PREROUTING -p tcp -j ACCEPT; iptables-nft -t raw -A OUTPUT -j ACCEPT; iptables-nft -A INPUT -p udp -j ACCEPT"),
      "");
  auto facts = host::gather_facts();
  ASSERT_TRUE(facts);
  std::erase(facts->tools, "nft");
  facts->iptables_is_nft = true;
  const std::string before = Box::run("nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'");
  const auto words = packet::take_filter({"-4", "-p", "udp", "--dport", "4242"}, {});
  ASSERT_TRUE(words);
  std::string script = host::print_classic(*facts, words->filter);
  // Where "iptables" is something else, it must be named here.
  for (auto at = script.find("\niptables -w"); at != std::string::npos; at = script.find("\niptables -w"))
    script.replace(at, 9, "\niptables-nft");
  EXPECT_EQ(run_text(script), "");
  EXPECT_EQ(Box::run("nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'"), before);
  const std::string trace = read("trace");
  EXPECT_NE(trace.find("-A INPUT -p udp"), std::string::npos) << trace << script;
}

TEST_F(DoctorTest, RepairAfterAKilledGuardian) {
  const auto loggers = [] { return Box::run("cat /proc/thread-self/net/netfilter/nf_log"); };
  ASSERT_EQ(Box::run("sysctl -qw net.netfilter.nf_log.10=NONE"), "");
  const std::string before = loggers();
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {  // a run that is killed with its guardian, without the owner flag
    auto guardian = host::Guardian::start(folder_);
    if (!guardian) _exit(1);
    for (const int family : {2, 10}) {
      if (!guardian->will_set_logger(family, host::find_logger(family).value_or("NONE"))) _exit(2);
      host::set_logger(family, host::kNetlinkLogger);
    }
    auto socket = host::NetlinkSocket::open();
    const std::string table = host::Arming::table_name(getpid());
    if (!guardian->will_add_table(table, {packet::Family::Inet})) _exit(3);
    if (!socket || !host::Arming::arm(*socket, plan({"-p", "udp"}), {}, table, false)) _exit(4);
    const int pid = guardian->pid();
    if (::write(ready[1], &pid, sizeof pid) != sizeof pid) _exit(5);
    pause();
    _exit(6);
  }
  int guardian = 0;
  close(ready[1]);
  ASSERT_EQ(::read(ready[0], &guardian, sizeof guardian), static_cast<ssize_t>(sizeof guardian));
  close(ready[0]);
  EXPECT_NE(loggers(), before);
  auto repaired = host::repair_all(folder_);
  ASSERT_TRUE(repaired);
  EXPECT_TRUE(repaired->done.empty()) << "it lives: nothing of it is left over";
  kill(guardian, SIGKILL);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  // The lock of the guardian, which is not our child, goes with it a moment later.
  for (int i = 0; i < 200; ++i) {
    const auto left = host::find_leftovers(folder_);
    if (left && !left->empty()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  repaired = host::repair_all(folder_);
  ASSERT_TRUE(repaired) << repaired.error().message;
  EXPECT_EQ(repaired->failed, std::vector<std::string>());
  const std::string run = "run " + std::to_string(child) + ": ";
  ASSERT_EQ(repaired->done.size(), 1U);
  EXPECT_EQ(repaired->done[0],
            run +
                "net.netfilter.nf_log.2 back to nf_log_ipv4, net.netfilter.nf_log.10 back to NONE, "
                "table inet fwtrace-" +
                std::to_string(child) + " removed");
  EXPECT_EQ(loggers(), before);
  EXPECT_TRUE(host::find_our_tables()->empty());
  repaired = host::repair_all(folder_);
  ASSERT_TRUE(repaired);
  EXPECT_TRUE(repaired->done.empty());
}

TEST_F(DoctorTest, RepairOfATableAloneAndOfAGoneNamespace) {
  auto file =
      host::StateFile::create({.pid = 999'999, .home = {.inode = 1}, .loggers = {{2, "NONE"}}}, folder_);
  ASSERT_TRUE(file) << file.error().message;
  {
    const host::StateFile dropped = std::move(*file);
  }
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  waitpid(gone, nullptr, 0);
  ASSERT_EQ(Box::run("nft 'add table bridge fwtrace-" + std::to_string(gone) + "; add table inet fwtrace-" +
                     std::to_string(getpid()) + "; add table inet fwtrace-mine'"),
            "");
  const auto repaired = host::repair_all(folder_);
  ASSERT_TRUE(repaired) << repaired.error().message;
  EXPECT_EQ(repaired->done,
            (std::vector<std::string>{
                "run 999999: its network namespace is gone, and what it changed there with it: dropped",
                "table bridge fwtrace-" + std::to_string(gone) + " removed: no process has it any more"}));
  EXPECT_EQ(Box::run("nft list tables"),
            "table inet fwtrace-" + std::to_string(getpid()) + "\ntable inet fwtrace-mine\n");
}

TEST_F(DoctorTest, TheCommandItself) {
  const std::string text = run_cli({"doctor"});
  EXPECT_TRUE(text.starts_with("tracing works here: ")) << text;
  const std::string json = run_cli({"doctor", "--json"});
  EXPECT_NE(json.find("{\"schema\":1,\"doctor\":{\"works\":true,"), std::string::npos) << json;
}

}  // namespace
}  // namespace fwtrace::live
