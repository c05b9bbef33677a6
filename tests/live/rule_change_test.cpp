// Rules that change while the real program traces: flushed and loaded again with other rules under the same names,
// reloaded as firewalld does it, inserted and deleted about 100 times a second. The program must not end, must show every
// packet, and no text of a rule that was not true at that event.
//
// How a false text is known: packets go to port 7001 and to 7002 in turn, and each rule says in its text which port alone
// it matches; the rules change places and numbers all the time. A step of one port's packet that is shown with the text
// of another's rule is false, whatever the rules were.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "live/town.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

constexpr auto kTime = 3s;
constexpr std::uint16_t kFirstPort =
    20'000;  // of the sender: each packet has its own, so each is new to conntrack

// A tool that reads commands, one a line.
class Pipe {
 public:
  explicit Pipe(const std::string& command)
      : pipe_(popen(("export PATH=$PATH:/usr/sbin:/sbin; " + command).c_str(), "we")) {}
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    if (pipe_) pclose(pipe_);
  }
  void put(const std::string& line) {
    fputs((line + "\n").c_str(), pipe_);
    fflush(pipe_);
  }

 private:
  FILE* pipe_;
};

// "only 7001": what the rule of that port says of itself, with a serial number so that no two states are alike.
std::string iptables_rule(int port, int serial) {
  return fmt::format("-p udp -m udp --dport {0} -m comment --comment \"only {0}, {1}\"", port, serial);
}
std::string nft_rule(int port, int serial) {
  return fmt::format("udp dport {0} counter comment \"only {0}, {1}\"", port, serial);
}

class RuleChangeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    town_ = Town::make(why);
    if (!town_) GTEST_SKIP() << why;
    for (const int port : {7001, 7002}) listeners_.push_back(listen(port));
  }

  host::Fd listen(int port) const {
    host::Fd socket = town_->socket(Who::Router, AF_INET, SOCK_DGRAM);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(port));
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    return socket;
  }

  // One packet every 10 ms; returns how many.
  int send_stream() const {
    const auto until = std::chrono::steady_clock::now() + kTime;
    int sent = 0;
    for (; std::chrono::steady_clock::now() < until; ++sent) {
      const host::Fd socket = town_->socket(Who::Client, AF_INET, SOCK_DGRAM);
      sockaddr_in at{};
      at.sin_family = AF_INET;
      at.sin_port = htons(static_cast<std::uint16_t>(kFirstPort + sent));
      EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
      at.sin_port = htons(static_cast<std::uint16_t>(7001 + sent % 2));
      inet_pton(AF_INET, Town::address(Who::Router, false).c_str(), &at.sin_addr);
      EXPECT_EQ(sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&at), sizeof at), 1);
      std::this_thread::sleep_for(10ms);
    }
    return sent;
  }

  struct Shown {
    int steps = 0, with_text = 0, changed = 0;  // of rules that speak of a port
  };

  // `change` is called over and over, with 1, 2, 3 …, `pace` apart, while packets come.
  Shown trace(const std::function<void(int)>& change, std::chrono::milliseconds pace, int least_changes,
              bool all_delivered = true) {
    Traced traced("-c 0 --rate 1000 -p udp -d " + Town::address(Who::Router, false) + " --dport 7001:7002");
    EXPECT_TRUE(traced.armed()) << traced.said();
    std::atomic<bool> done = false;
    std::atomic<int> changes = 0;
    std::thread changer([&] {
      auto next = std::chrono::steady_clock::now();
      while (!done) {
        change(++changes);
        next = std::max(next + pace, std::chrono::steady_clock::now());
        std::this_thread::sleep_until(next);
      }
    });
    const int sent = send_stream();
    done = true;
    changer.join();
    EXPECT_TRUE(traced.runs()) << "it ended: " << traced.said();
    EXPECT_EQ(traced.stop(), 0) << traced.said();
    EXPECT_GE(changes, least_changes);
    RecordProperty("changes", changes);

    Shown shown;
    std::set<int> seen;
    for (const Json& journey : traced.journeys()) {
      const Json& form = journey["forms"].front();
      const int port = form.value("dport", 0);
      EXPECT_TRUE(seen.insert(form.value("sport", 0)).second) << "twice: " << form.dump();
      if (all_delivered) {
        EXPECT_EQ(journey["outcome"]["verdict"], "delivered") << journey.dump();
      }
      for (const Json& step : journey["steps"]) take(step, port, shown);
      if (journey["outcome"].contains("by")) {
        Shown decider;
        take(journey["outcome"]["by"], port, decider);
      }
    }
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(sent)) << traced.said();
    for (int i = 0; i < sent; ++i) EXPECT_TRUE(seen.contains(kFirstPort + i)) << "not shown: packet " << i;
    std::cout << changes << " changes, " << sent << " packets; steps on rules: " << shown.steps
              << ", with text: " << shown.with_text << ", rules changed: " << shown.changed << "\n";
    return shown;
  }

  static void take(const Json& step, int port, Shown& shown) {
    if (step["kind"] != "rule") return;
    ++shown.steps;
    if (step.contains("rules_changed")) {
      ++shown.changed;
      return;
    }
    const std::string text = step.value("text", "");
    if (!text.empty()) ++shown.with_text;
    static const std::regex kPort("(?:only|dport) (7[0-9]{3})\\b");
    for (auto at = std::sregex_iterator(text.begin(), text.end(), kPort); at != std::sregex_iterator();
         ++at) {
      EXPECT_EQ((*at)[1], std::to_string(port)) << "a false text: " << step.dump();
    }
  }

  std::unique_ptr<Town> town_;
  std::vector<host::Fd> listeners_;
};

// The same table and chain, the two ports' rules in one order and in the other: after a flush handles begin at 1 again.
TEST_F(RuleChangeTest, FlushRulesetAndOtherRulesUnderTheSameNames) {
  const auto rules = [](int serial) {
    const int first = serial % 2 == 0 ? 7001 : 7002;
    return fmt::format("table ip t {{ chain c {{ type filter hook input priority 0; {}; {}; }}; }}",
                       nft_rule(first, serial), nft_rule(7001 + 7002 - first, serial));
  };
  ASSERT_EQ(Box::run("nft '" + rules(0) + "'"), "");
  Pipe nft("exec nft -i >/dev/null 2>&1");
  const Shown shown = trace([&](int serial) { nft.put("flush ruleset; " + rules(serial)); }, 100ms, 15);
  EXPECT_GT(shown.with_text, shown.steps / 4);
}

TEST_F(RuleChangeTest, NftRulesInsertedAndDeleted) {
  ASSERT_EQ(Box::run("nft 'table ip t { chain c { type filter hook input priority 0; " + nft_rule(7001, 0) +
                     "; " + nft_rule(7002, 0) + "; }; }'"),
            "");
  Pipe nft("exec nft -i >/dev/null 2>&1");
  // Deleted with all others of the chain, which are made anew in the other order.
  const Shown shown = trace(
      [&](int serial) {
        if (serial % 4 != 0) return nft.put("insert rule ip t c " + nft_rule(7003, serial));
        const int first = serial % 8 == 0 ? 7001 : 7002;
        nft.put(fmt::format("flush chain ip t c; add rule ip t c {}; add rule ip t c {}",
                            nft_rule(first, serial), nft_rule(7001 + 7002 - first, serial)));
      },
      10ms, 150);
  EXPECT_GT(shown.steps, 200);
}

TEST_F(RuleChangeTest, LegacyRulesInsertedAndDeleted) {
  const std::string tool = "iptables-legacy -w 5 ";
  ASSERT_EQ(Box::run(tool + "-A INPUT " + iptables_rule(7003, 0) + ";" + tool + "-A INPUT " +
                     iptables_rule(7001, 0) + ";" + tool + "-A INPUT " + iptables_rule(7002, 0)),
            "");
  // One or two rules stand before the two: what is at number 3 is never the same for long.
  const Shown shown = trace(
      [&](int serial) {
        Box::run(serial % 2 == 1 ? tool + "-I INPUT 1 " + iptables_rule(7003, serial) : tool + "-D INPUT 2");
      },
      10ms, 100);
  EXPECT_GT(shown.steps, 200);
}

// So slowly that most packets have a save before and behind them with the same rules.
TEST_F(RuleChangeTest, LegacyRulesInsertedNowAndThen) {
  const std::string tool = "iptables-legacy -w 5 ";
  ASSERT_EQ(Box::run(tool + "-A INPUT " + iptables_rule(7001, 0) + ";" + tool + "-A INPUT " +
                     iptables_rule(7002, 0)),
            "");
  const Shown shown =
      trace([&](int serial) { Box::run(tool + "-I INPUT 1 " + iptables_rule(7003, serial)); }, 400ms, 5);
  EXPECT_GT(shown.with_text, shown.steps / 4);
}

TEST_F(RuleChangeTest, IptablesNftRulesInsertedAndDeleted) {
  const std::string tool = "iptables-nft -w 5 ";
  ASSERT_EQ(Box::run(tool + "-A INPUT " + iptables_rule(7003, 0) + ";" + tool + "-A INPUT " +
                     iptables_rule(7001, 0) + ";" + tool + "-A INPUT " + iptables_rule(7002, 0)),
            "");
  const Shown shown = trace(
      [&](int serial) {
        Box::run(serial % 2 == 1 ? tool + "-I INPUT 1 " + iptables_rule(7003, serial) : tool + "-D INPUT 2");
      },
      10ms, 100);
  EXPECT_GT(shown.steps, 200);
}

// firewalld itself cannot be run here without a message bus of the whole machine; these are its rules (1.3.3, zone public,
// two ports open), loaded in the transactions of its reload as `nft monitor` showed them.
TEST_F(RuleChangeTest, FirewalldReload) {
  std::stringstream text;
  text << std::ifstream(FWTRACE_SOURCE_DIR "/tests/fixtures/rules/firewalld-1.3.3.nft").rdbuf();
  const std::string rules = text.str();
  std::string other = rules;
  const std::string first = "udp dport 7001 accept\n\t\tudp dport 7002 accept",
                    second = "udp dport 7002 accept\n\t\tudp dport 7001 accept";
  ASSERT_NE(other.find(first), std::string::npos);
  other.replace(other.find(first), first.size(), second);
  const std::string drop =
      "table inet firewalld_policy_drop { chain filter_input { type filter hook input priority 9; policy drop; "
      "ct state { established, related } accept; }; chain filter_forward { type filter hook forward priority 9; "
      "policy drop; ct state { established, related } accept; }; chain filter_output { type filter hook output "
      "priority 9; policy drop; ct state { established, related } accept; }; }";
  const auto load = [](const std::string& ruleset) {
    return Box::run("nft -f - <<'RULES'\n" + ruleset + "\nRULES\n");
  };
  ASSERT_EQ(load(rules), "");
  const Shown shown = trace(
      [&](int serial) {
        for (const std::string& transaction :
             {drop, std::string("delete table inet firewalld"), std::string("add table inet firewalld"),
              serial % 2 == 0 ? rules : other, std::string("delete table inet firewalld_policy_drop")})
          EXPECT_EQ(load(transaction), "");
      },
      300ms, 4, false);
  EXPECT_GT(shown.with_text, shown.steps / 4);
}

}  // namespace
}  // namespace fwtrace::live
