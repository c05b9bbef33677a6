// The program itself, killed (SIGKILL) at random moments from its start to its end: nothing of it may be left, and
// all is as it was. The kernel and the tools say so, not our own state.
//
// FWTRACE_KILLS=1000 sets how often; what is counted is printed at the end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "base/text.h"
#include "host/leftovers.h"
#include "host/nf_log.h"
#include "host/proc.h"
#include "live/tracing_run.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

int how_often(int usual) {
  const char* const wanted = std::getenv("FWTRACE_KILLS");
  return wanted ? base::parse_number<int>(wanted).value_or(usual) : usual;
}

class KillTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    ASSERT_EQ(
        Box::run(
            "sysctl -qw net.netfilter.nf_log.2=nf_log_ipv4 net.netfilter.nf_log.10=NONE;"
            "iptables-legacy -A INPUT -p udp --dport 7 -j DROP;"
            "iptables-legacy -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to 10.8.0.2;"
            "ip6tables-legacy -A FORWARD -j ACCEPT;"
            "nft 'add table inet own; add set inet own ports { type inet_service; elements = { 5, 6 }; };"
            "add chain inet own in { type filter hook input priority 5; };"
            "add rule inet own in udp dport @ports drop'"),
        "");
    // Orphans become our children, so that we see whether each of them ends.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    before_ = all_settings();
    const auto seed = std::random_device{}();
    random_.seed(seed);
    trace_.emplace(__FILE__, __LINE__, "seed " + std::to_string(seed));
    traffic_ = std::thread([this, sender = std::make_shared<Sender>(*box_, "10.8.0.2")] {
      while (!done_) {
        sender->send(1);
        std::this_thread::sleep_for(2ms);
      }
    });
  }
  void TearDown() override {
    done_ = true;
    if (traffic_.joinable()) traffic_.join();
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  }

  // Rules of all kinds without their counters, listeners, and every sysctl of netfilter.
  static std::string all_settings() {
    return state() +
           Box::run("cd /proc/sys/net/netfilter && grep -r . . 2>/dev/null | grep -v conntrack_count | sort");
  }

  pid_t start(const std::vector<std::string>& words) const {
    const pid_t child = fork();
    if (child != 0) return child;
    const int nothing = open("/dev/null", O_RDWR);
    if (nothing < 0) _exit(126);
    for (int fd = 0; fd < 3; ++fd) dup2(nothing, fd);
    std::vector<std::string> texts{FWTRACE_PROGRAM};
    texts.insert(texts.end(), words.begin(), words.end());
    std::vector<char*> pointers;
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    execv(FWTRACE_PROGRAM, pointers.data());
    _exit(127);
  }
  microseconds up_to(microseconds most) {
    return microseconds(std::uniform_int_distribution<std::int64_t>(0, most.count())(random_));
  }
  static std::optional<int> find_guardian(int pid) {
    for (const int each : host::list_processes()) {
      const auto process = host::find_process(each);
      if (process && process->parent == pid && process->name == "fwtrace-guard") return each;
    }
    return std::nullopt;
  }
  // All processes that descend from us have ended; false if one has not within `patience`, which is killed then.
  static bool wait_for_all(std::chrono::seconds patience) {
    const auto until = Clock::now() + patience;
    for (;;) {
      const pid_t ended = waitpid(-1, nullptr, WNOHANG);
      if (ended < 0 && errno == ECHILD) return true;
      if (ended > 0) continue;
      if (Clock::now() > until) break;
      std::this_thread::sleep_for(1ms);
    }
    for (const int each : host::list_processes()) {
      const auto process = host::find_process(each);
      if (process && process->parent == getpid()) kill(each, SIGKILL);
    }
    while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
    return false;
  }
  static std::string state_file(int pid) {
    return std::string(host::kStateFolder) + "/" + std::to_string(pid) + ".state";
  }
  void expect_clean(int pid) {
    EXPECT_TRUE(wait_for_all(10s)) << "a process is left";
    EXPECT_FALSE(std::filesystem::exists(state_file(pid)));
    EXPECT_EQ(all_settings(), before_);
  }
  // Something of a run is there: the test would prove nothing if it never were.
  void count_what_was_there(const std::string& found) { ++seen_[found]; }
  static std::string what_is_there() {
    const bool set = host::find_logger(2) == host::kNetlinkLogger;
    const bool listens = !host::read_nflog_listeners().empty();
    const auto tables = host::find_our_tables();
    const bool armed = tables && !tables->empty();
    return armed ? "armed" : set ? "nf_log set" : listens ? "listening" : "nothing yet, or no more";
  }
  void report(int rounds) const {
    std::string text = std::to_string(rounds) + " kills:";
    for (const auto& [what, times] : seen_) text += " " + what + " " + std::to_string(times) + ",";
    text.pop_back();
    printf("%s\n", text.c_str());
  }

  std::unique_ptr<Box> box_;
  std::string before_;
  std::mt19937_64 random_;
  std::optional<testing::ScopedTrace> trace_;
  std::map<std::string, int> seen_;
  std::thread traffic_;
  std::atomic<bool> done_{false};
};

TEST_F(KillTest, NothingIsLeft) {
  const int rounds = how_often(60);
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    // It is killed while it starts and traces; while it comes to its end by itself; while it obeys SIGTERM.
    const int way = i % 3;
    std::vector<std::string> words{"-p", "udp", "-c", "0"};
    if (way == 1) words.insert(words.end(), {"--for", "60ms"});
    const pid_t pid = start(words);
    microseconds after = up_to(way == 1 ? 600ms : 300ms);
    std::this_thread::sleep_for(after);
    if (way == 2) {
      kill(pid, SIGTERM);
      const auto more = up_to(60ms);
      std::this_thread::sleep_for(more);
      after += more;
    }
    count_what_was_there(what_is_there());
    kill(pid, SIGKILL);
    SCOPED_TRACE("round " + std::to_string(i) + ", killed after " + std::to_string(after.count()) + " us");
    expect_clean(pid);
  }
  report(rounds);
  EXPECT_GT(seen_["armed"], 0) << "the moments were ill chosen";
}

// A run whose guardian was killed puts all back by itself when it is stopped.
TEST_F(KillTest, TheGuardianAlone) {
  const int rounds = how_often(60) / 4;
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    const pid_t pid = start({"-p", "udp", "-c", "0"});
    const auto after = up_to(300ms);
    std::this_thread::sleep_for(after);
    SCOPED_TRACE("round " + std::to_string(i) + ", killed after " + std::to_string(after.count()) + " us");
    const auto guardian = find_guardian(pid);
    if (guardian) kill(*guardian, SIGKILL);
    count_what_was_there(guardian ? what_is_there() : "no guardian");
    std::this_thread::sleep_for(up_to(100ms));
    kill(pid, SIGTERM);
    EXPECT_TRUE(wait_for_all(10s)) << "a process is left";
    EXPECT_EQ(all_settings(), before_);
    EXPECT_FALSE(std::filesystem::exists(state_file(pid)));
  }
  report(rounds);
}

// Both at once: `doctor --repair`, or the next start, puts back what neither could.
TEST_F(KillTest, TheGuardianToo) {
  const int rounds = how_often(60) / 4;
  int repaired = 0;
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    const pid_t pid = start({"-p", "udp", "-c", "0"});
    const auto after = up_to(300ms);
    std::this_thread::sleep_for(after);
    SCOPED_TRACE("round " + std::to_string(i) + ", killed after " + std::to_string(after.count()) + " us");
    const auto guardian = find_guardian(pid);
    count_what_was_there(guardian ? what_is_there() : "no guardian");
    if (guardian) kill(*guardian, SIGKILL);
    kill(pid, SIGKILL);
    EXPECT_TRUE(wait_for_all(10s)) << "a process is left";
    if (all_settings() != before_) ++repaired;
    if (i % 2 == 0) {
      start({"doctor", "--repair"});
    } else {
      start({"-p", "udp", "--for", "20ms"});
    }
    expect_clean(pid);
  }
  report(rounds);
  printf("%d of them left something, and it was put back\n", repaired);
  EXPECT_GT(repaired, 0) << "the moments were ill chosen";
}

}  // namespace
}  // namespace fwtrace::live
