// Tracing as a whole: which rung is taken, what is said about it, and that everything is as before when it ends.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "host/capability.h"
#include "host/proc.h"
#include "live/tracing_run.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
using Strings = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

// Each test has a process of its own, because starting gives up capabilities for good.
class TracingTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    char pattern[] = "/tmp/fwtrace-live-XXXXXX";
    knobs_.state_folder = mkdtemp(pattern);
    remember();
  }
  void remember() {
    before_ = state();
    settings_ = settings();
  }
  void TearDown() override {
    if (!box_) return;
    EXPECT_EQ(state(), before_);
    EXPECT_EQ(Box::run("ls " + knobs_.state_folder), "");
    Box::run("rm -rf '" + knobs_.state_folder + "'");
  }
  std::unique_ptr<Box> box_;
  host::TracingKnobs knobs_;
  std::string before_, settings_;
};

TEST_F(TracingTest, TheFirstRung) {
  Box::run("iptables-legacy -A FORWARD -p udp -j ACCEPT");
  remember();
  in_child([&] {
    const Sender sender(*box_, "10.8.0.2");
    auto tracing = host::Tracing::start(wish({"-p", "udp", "--dport", "53"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ((*tracing)->notes(), Strings());
    EXPECT_TRUE((*tracing)->legacy_events());
    EXPECT_EQ((*tracing)->raw_shift(packet::IpVersion::V4), 0U);
    sender.send(3);
    const Heard heard = listen(**tracing);
    const std::string ours = "nft " + host::Arming::table_name(getpid());
    EXPECT_EQ(heard.count(ours + ":start"), 3U) << testing::PrintToString(heard.events);
    EXPECT_EQ(heard.count(ours + ":left"), 3U);
    EXPECT_EQ(heard.count("legacy filter:FORWARD:rule:1"), 3U);
    sender.send(2);
    EXPECT_EQ((*tracing)->stop(), Strings());
    sender.send(7);
    EXPECT_EQ(listen(**tracing).count(ours + ":left"), 2U) << "what was armed is still told";
    ASSERT_TRUE((*tracing)->counters());
    EXPECT_EQ((*tracing)->counters()->armed, 5U);
    EXPECT_EQ(settings(), settings_);
  });
}

TEST_F(TracingTest, TheSecondRung) {
  knobs_.try_owner = false;
  in_child([&] {
    const Sender sender(*box_, "fd08::2");
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    ASSERT_EQ((*tracing)->notes().size(), 1U);
    EXPECT_NE((*tracing)->notes()[0].find("no owner flag"), std::string::npos);
    sender.send(1);
    const Heard heard = listen(**tracing);
    EXPECT_EQ(heard.count("nft " + host::Arming::table_name(getpid()) + ":left"), 1U)
        << testing::PrintToString(heard.events);
    EXPECT_EQ((*tracing)->stop(), Strings());
    EXPECT_EQ(settings(), settings_);
  });
}

TEST_F(TracingTest, TheThirdRungOnlyIfAllowed) {
  knobs_.try_nft = false;
  in_child([&] {
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_FALSE(tracing);
    EXPECT_EQ(tracing.error().kind, base::ErrorKind::Permission);
    ASSERT_EQ(tracing.error().hints.size(), 1U);
    EXPECT_NE(tracing.error().hints[0].find("--allow-insert inserts 4 rules"), std::string::npos);
  });
}

TEST_F(TracingTest, TheThirdRung) {
  Box::run(
      "iptables-legacy -t raw -A PREROUTING -p udp -m comment --comment mine; ip6tables-legacy -t raw -A OUTPUT -j ACCEPT;"
      "iptables-legacy -A FORWARD -p udp -j ACCEPT");
  remember();
  knobs_.try_nft = false;
  in_child([&] {
    const Sender sender(*box_, "10.8.0.2"), other(*box_, "10.8.0.2", 54), v6(*box_, "fd08::2");
    host::TracingWish wanted = wish({"-p", "udp", "--dport", "53"});
    wanted.allow_insert = true;
    auto tracing = host::Tracing::start(wanted, knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ((*tracing)->raw_shift(packet::IpVersion::V4), 1U);
    EXPECT_EQ((*tracing)->raw_shift(packet::IpVersion::V6), 1U);
    EXPECT_EQ((*tracing)->notes().size(), 2U) << testing::PrintToString((*tracing)->notes());
    sender.send(3);
    other.send(4);
    v6.send(2);
    const Heard heard = listen(**tracing);
    const std::string ours = host::Arming::table_name(getpid());
    EXPECT_EQ(heard.count("legacy raw:PREROUTING:rule:2"), 3U) << testing::PrintToString(heard.events);
    EXPECT_EQ(heard.count("legacy filter:FORWARD:rule:1"), 3U);
    EXPECT_EQ(heard.count("legacy raw:" + ours + "-arm:return:3"), 5U);
    ASSERT_TRUE((*tracing)->counters());
    EXPECT_EQ((*tracing)->counters()->matched, 5U);
    EXPECT_EQ((*tracing)->counters()->armed, 5U);
    EXPECT_TRUE((*tracing)->set_rate(7));
    sender.send(1);
    EXPECT_EQ((*tracing)->stop(), Strings());
    EXPECT_EQ((*tracing)->counters()->armed, 6U);
    EXPECT_EQ(settings(), settings_);
  });
}

TEST_F(TracingTest, TheRateIsChangedWhileArmed) {
  in_child([&] {
    const Sender sender(*box_, "10.8.0.2");
    host::TracingWish wanted = wish({"-p", "udp", "--dport", "53"});
    wanted.limits = {.rate = 1000, .burst = 200};
    auto tracing = host::Tracing::start(wanted, knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    const std::string table = host::Arming::table_name(getpid());
    for (const std::uint32_t rate : {50U, 10U, 500U, 10U}) {
      EXPECT_TRUE((*tracing)->set_rate(rate));
      const std::string listed = Box::run("nft list table inet " + table);
      EXPECT_NE(listed.find("\trate " + std::to_string(rate) + "/second"), std::string::npos) << listed;
      EXPECT_EQ(listed.find("\tlimit per-second"), listed.rfind("\tlimit per-second"))
          << "the old one is gone";
      const auto before = (*tracing)->counters();
      const auto begin = Clock::now();
      sender.send(2'000);
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      const auto after = (*tracing)->counters();
      ASSERT_TRUE(before && after);
      EXPECT_EQ(after->matched - before->matched, 2'000U);
      const std::uint64_t burst = std::max<std::uint64_t>(rate / 5, 1);
      EXPECT_GE(after->armed - before->armed, burst);
      EXPECT_LE(after->armed - before->armed, burst + static_cast<std::uint64_t>(rate * seconds) + 1) << rate;
    }
    EXPECT_FALSE((*tracing)->set_rate(0));
  });
}

TEST_F(TracingTest, KilledOnTheThirdRung) {
  Box::run(
      "iptables-legacy -t raw -A PREROUTING -p udp -m comment --comment mine;"
      "ip6tables-legacy -t raw -A PREROUTING -p tcp");
  remember();
  knobs_.try_nft = false;
  host::TracingWish wanted = wish({"-p", "udp", "!", "-s", "10.1.2.3"});
  wanted.allow_insert = true;
  for (int round = 0; round < 20 && !HasFailure(); ++round) {
    const auto after = std::chrono::milliseconds(3 * round);  // a start takes about 30 ms
    SCOPED_TRACE(after.count());
    const pid_t child = fork();
    if (child == 0) {
      auto tracing = host::Tracing::start(wanted, knobs_);
      while (tracing) pause();
      _exit(1);
    }
    std::this_thread::sleep_for(after);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    for (int i = 0; i < 200 && state() != before_; ++i) std::this_thread::sleep_for(10ms);
    EXPECT_EQ(state(), before_);
    for (int i = 0; i < 200 && !Box::run("ls " + knobs_.state_folder).empty(); ++i)
      std::this_thread::sleep_for(10ms);
  }
}

// While packets flow, each is asked about exactly once, whatever is replaced meanwhile.
TEST_F(TracingTest, ChangingTheRateNeitherDisarmsNorArmsTwice) {
  in_child([&] {
    const Sender sender(*box_, "10.8.0.2");
    host::TracingWish wanted = wish({"-p", "udp", "--dport", "53"});
    wanted.arming.replies = false;
    wanted.limits = {.rate = 1'000'000, .burst = 1'000'000};
    auto tracing = host::Tracing::start(wanted, knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    std::uint64_t sent = 0;
    std::atomic<bool> done = false;
    std::thread flood([&] {
      while (!done) sender.send(10), sent += 10;
    });
    for (std::uint32_t i = 0; i < 100; ++i) EXPECT_TRUE((*tracing)->set_rate(1'000'000 + i));
    done = true;
    flood.join();
    const auto counters = (*tracing)->counters();
    ASSERT_TRUE(counters);
    EXPECT_EQ(counters->matched, sent);
    EXPECT_EQ(counters->armed, sent);
    EXPECT_GT(sent, 100U);
  });
}

TEST_F(TracingTest, GroupTakenInANamespaceThatTheKernelLogDoesNotKnow) {
  Box::run("iptables-legacy -A FORWARD -p udp -j ACCEPT");
  remember();
  auto socket = host::NetlinkSocket::open();
  ASSERT_TRUE(socket && host::bind_group0(*socket));
  in_child([&] {
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_FALSE((*tracing)->legacy_events());
    ASSERT_EQ((*tracing)->notes().size(), 1U);
    const std::string note = (*tracing)->notes()[0];
    for (const char* part : {"iptables-legacy events cannot be seen", "(process ", "nf_log_all_netns=1"}) {
      EXPECT_NE(note.find(part), std::string::npos) << note;
    }
  });
}

TEST_F(TracingTest, NothingIsSaidOfLegacyWhereThereIsNone) {
  auto socket = host::NetlinkSocket::open();
  ASSERT_TRUE(socket && host::bind_group0(*socket));
  in_child([&] {
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ((*tracing)->notes(), Strings());
  });
}

TEST_F(TracingTest, ASignalEndsIt) {
  in_child([&] {
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
      bool sent = false;
      (*tracing)->run({.datagram = [](std::span<const std::uint8_t>) {},
                       .kernel_log = {},
                       .lost = {},
                       .tick =
                           [&] {
                             if (!sent) kill(getpid(), number);
                             return sent = true;
                           }});
    }
  });
}

TEST_F(TracingTest, NetAdminIsEnough) {
  Box::run("iptables-legacy -A FORWARD -p udp -j ACCEPT");
  remember();
  in_child([&] {
    const Sender sender(*box_, "10.8.0.2");
    ASSERT_TRUE(host::keep_only({host::Capability::NetAdmin}));
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ((*tracing)->notes(), Strings());
    sender.send(1);
    const Heard heard = listen(**tracing);
    EXPECT_EQ(heard.count("legacy filter:FORWARD:rule:1"), 1U);
    EXPECT_EQ(heard.count("nft " + host::Arming::table_name(getpid()) + ":left"), 1U);
    EXPECT_EQ((*tracing)->stop(), Strings());
  });
}

TEST_F(TracingTest, SysctlsThatCannotBeWrittenAreANote) {
  Box::run("iptables-legacy -A FORWARD -p udp -j ACCEPT");
  remember();
  in_child([&] {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(mount(nullptr, "/proc/sys", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr), 0);
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ(
        (*tracing)->notes(),
        (Strings{"IPv4 events of iptables-legacy cannot be seen: net.netfilter.nf_log.2 cannot be set: "
                 "Read-only file system",
                 "IPv6 events of iptables-legacy cannot be seen: net.netfilter.nf_log.10 cannot be set: "
                 "Read-only file system"}));
    EXPECT_FALSE((*tracing)->legacy_events());
    EXPECT_EQ((*tracing)->stop(), Strings());
  });
}

TEST_F(TracingTest, WhatAKilledRunLeftIsPutBackAndSaid) {
  knobs_.try_owner = false;
  const pid_t child = fork();
  if (child == 0) {
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    while (tracing) pause();
    _exit(1);
  }
  int guardian = 0;
  for (int i = 0; i < 200 && Box::run("nft list tables").empty(); ++i) std::this_thread::sleep_for(10ms);
  for (const int pid : host::list_processes()) {
    const auto process = host::find_process(pid);
    if (process && process->parent == child && process->name == "fwtrace-guard") guardian = pid;
  }
  ASSERT_GT(guardian, 0);
  kill(guardian, SIGKILL);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_NE(settings(), settings_);
  knobs_.try_owner = true;
  in_child([&] {
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_TRUE(tracing) << tracing.error().message;
    EXPECT_EQ((*tracing)->notes(), (Strings{"put back what 1 killed run of fwtrace had left changed"}));
  });
}

TEST_F(TracingTest, WithoutTheRightItSaysWhich) {
  in_child([&] {
    ASSERT_EQ(setresuid(65534, 65534, 65534), 0);
    auto tracing = host::Tracing::start(wish({"-p", "udp"}), knobs_);
    ASSERT_FALSE(tracing);
    EXPECT_EQ(tracing.error().kind, base::ErrorKind::Permission);
    EXPECT_EQ(tracing.error().message, "live tracing needs CAP_NET_ADMIN");
    ASSERT_EQ(tracing.error().hints.size(), 1U);
    EXPECT_NE(tracing.error().hints[0].find("sudo"), std::string::npos);
  });
}

}  // namespace
}  // namespace fwtrace::live
