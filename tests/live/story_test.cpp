// The whole story with the kernel as the judge: libvirt-like rules in each rule system, and in both address families; a
// connection forwarded through DNAT, one rejected, one from behind masquerading, one delivered, one sent, one across the
// bridge. What the real program shows of it must agree with the counters of every rule, and its texts with what the rule
// systems' own tools print.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "live/story_rules.h"
#include "live/town.h"

namespace fwtrace::live {
namespace {

using Json = nlohmann::json;

enum class Rules { Legacy, IptablesNft, Nft, Mixed };

// One rule as its own tool prints it. Its key names it as a step does: "legacy mangle PREROUTING 1", "inet fw 12".
struct Rule {
  std::string text, chain;
  std::uint64_t packets = 0;
  int position = 0;
  bool counted = true;
};
using Book = std::map<std::string, Rule>;

// Of `iptables-save -c` (either one's).
void read_save(const std::string& save, const std::string& system, Book& book) {
  std::map<std::string, int> numbers;
  std::string table, line;
  for (std::istringstream lines(save); std::getline(lines, line);) {
    if (line.starts_with("*")) table = line.substr(1);
    if (!line.starts_with("[")) continue;
    const std::string text = line.substr(line.find("] ") + 2);
    const std::string chain = text.substr(3, text.find(' ', 3) - 3);
    const int number = ++numbers[table + " " + chain];
    book[fmt::format("{} {} {} {}", system, table, chain, number)] = {
        text, chain, std::stoull(line.substr(1)), number, true};
  }
}

// Without the counters' values.
std::string strip(const std::string& text) {
  static const std::regex kCounts("counter packets [0-9]+ bytes [0-9]+");
  return std::regex_replace(text, kCounts, "counter");
}

// Of `nft -a list ruleset`.
void read_nft(const std::string& listing, Book& book) {
  static const std::regex kRule("^\t\t(.*) # handle ([0-9]+)$"), kCount("counter packets ([0-9]+)");
  std::string table, chain, line;
  int position = 0;
  for (std::istringstream lines(listing); std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, second, third;
    words >> first >> second >> third;
    if (first == "table") table = second + " " + third;
    if (first == "chain") chain = second, position = 0;
    std::smatch found;
    if (!std::regex_match(line, found, kRule)) continue;
    Rule rule{strip(found[1]), chain, 0, ++position, false};
    std::smatch count;
    const std::string text = found[1];
    if (std::regex_search(text, count, kCount)) rule.packets = std::stoull(count[1]), rule.counted = true;
    book[table + " " + std::string(found[2])] = rule;
  }
}

const char* print(Rules rules) {
  switch (rules) {
    case Rules::Legacy: return "legacy";
    case Rules::IptablesNft: return "iptables_nft";
    case Rules::Nft: return "nft";
    case Rules::Mixed: return "mixed";
  }
  return "";
}

std::string print_key(const Json& step, bool iptables_nft) {
  const auto text = [&](const char* name) { return step.value(name, std::string()); };
  if (step.value("dialect", "") == "kernel" || iptables_nft)
    return fmt::format("{} {} {} {}", iptables_nft ? "iptables-nft" : "legacy", text("table"), text("chain"),
                       step.value("rule", 0));
  return fmt::format("{} {} {}", text("family"), text("table"), step.value("handle", 0));
}

std::string print_journey(const Json& journey) {
  std::string out =
      fmt::format("  {} {} ({}){}\n", journey["serial"].dump(),
                  journey["outcome"]["verdict"].get<std::string>(), journey["outcome"].value("because", ""),
                  journey.contains("answers") ? " answers " + journey["answers"].dump() : "");
  for (const auto& form : journey["forms"]) out += "    form " + form.dump().substr(0, 200) + "\n";
  for (const auto& step : journey["steps"])
    out += fmt::format("    {} {} {} {} {} rule {} handle {} {}: {}\n", step.value("hook", "-"),
                       step.value("kind", "-"), step.value("family", "-"), step.value("table", "-"),
                       step.value("chain", "-"), step.value("rule", 0), step.value("handle", 0),
                       step.value("did", "-"), step.value("text", "(no text)"));
  return out;
}

class StoryTest : public testing::TestWithParam<std::tuple<Rules, bool>> {
 protected:
  void SetUp() override {
    std::string why;
    town_ = Town::make(why);
    if (!town_) GTEST_SKIP() << why;
    make_rules();
  }

  Rules rules() const { return std::get<0>(GetParam()); }
  bool v6() const { return std::get<1>(GetParam()); }
  std::string tool(const char* end) const {
    return std::string(v6() ? "ip6" : "ip") + "tables-" + (rules() == Rules::IptablesNft ? "nft" : "legacy") +
           end;
  }

  void make_rules() {
    const std::string server = Town::address(Who::Server, v6());
    const std::string guests = v6() ? "fd07::/64" : "10.7.0.0/24",
                      nobody = v6() ? "2001:db8::/32" : "192.0.2.0/24";
    const auto fill = [&](const char* text) {
      return fmt::format(fmt::runtime(text), Town::address(Who::Router, v6()), server, guests, nobody,
                         v6() ? "[" + server + "]" : server, v6() ? "ip6" : "ip", v6() ? "ip6" : "ip");
    };
    const auto load = [](const std::string& command, const std::string& text) {
      EXPECT_EQ(Box::run(command + " <<'RULES'\n" + text + "RULES\n"), "") << text;
    };
    switch (rules()) {
      case Rules::Legacy:
      case Rules::IptablesNft: load(tool("-restore"), fill(kIptables) + fill(kIptablesNat)); break;
      case Rules::Nft: load("nft -f -", fill(kNft) + fill(kNftNat)); break;
      case Rules::Mixed:
        load(tool("-restore"), fill(kIptables));
        load("nft -f -", fill(kNftNat));
        break;
    }
  }

  Book book() const {
    Book book;
    if (rules() != Rules::Nft)
      read_save(Box::run(tool("-save -c")), rules() == Rules::IptablesNft ? "iptables-nft" : "legacy", book);
    if (rules() == Rules::Nft || rules() == Rules::Mixed) read_nft(Box::run("nft -a list ruleset"), book);
    return book;
  }

  struct Expect {
    std::string filter;
    Town::Call call;
    bool connects = true;
    std::set<std::string> asked{}, answered{};  // verdicts
    std::string dials{}, becomes{};             // the rewrite of its destination
    bool masquerades = false;
  };

  void follow(const char* name, const Expect& expect) {
    SCOPED_TRACE(name);
    const Book before = book();
    ASSERT_GE(before.size(), 20U);
    Traced traced("-c 0 --rate 1000 " + expect.filter);
    ASSERT_TRUE(traced.armed()) << traced.said();
    EXPECT_EQ(town_->connect(expect.call, v6()), expect.connects);
    EXPECT_EQ(traced.stop(), 0) << traced.said();
    const Book after = book();
    const auto journeys = traced.journeys();
    std::string shown = traced.said();
    for (const Json& journey : journeys) shown += print_journey(journey);
    compare(journeys, traced.summary(), before, after, expect);
    if (HasFailure()) std::cout << "-- " << name << "\n" << shown;
  }

  void compare(const std::vector<Json>& journeys, const Json& summary, const Book& before, const Book& after,
               const Expect& expect) const {
    ASSERT_GE(journeys.size(), expect.connects ? 6U : 1U);

    std::map<std::string, std::uint64_t> steps;
    for (const Json& journey : journeys) {
      for (const Json& step : journey["steps"]) take_step(step, after, steps);
      check_order(journey, after);
      check_journey(journey, journeys.front(), expect);
    }
    // Every packet of the window, and nothing but that.
    for (const auto& [key, rule] : after) {
      const auto met = steps.find(key);
      const std::uint64_t moved = rule.packets - before.at(key).packets;
      EXPECT_TRUE(!rule.counted || moved == (met == steps.end() ? 0 : met->second))
          << key << ": " << rule.text << "\n  its counter moved by " << moved
          << ", steps: " << (met == steps.end() ? 0 : met->second);
    }
    EXPECT_FALSE(steps.empty());
    ASSERT_TRUE(summary.is_object());
    EXPECT_EQ(summary["live"]["wholly_lost"], 0);
    EXPECT_EQ(summary["live"]["foreign"], 0);
    EXPECT_EQ(summary["live"]["armed"], journeys.size()) << summary.dump();
  }

  void take_step(const Json& step, const Book& book, std::map<std::string, std::uint64_t>& steps) const {
    if (!step.contains("rule") && !(step["kind"] == "rule" && step.contains("handle"))) return;
    const std::string key = print_key(step, rules() == Rules::IptablesNft);
    ++steps[key];
    const auto rule = book.find(key);
    if (rule == book.end()) {
      ADD_FAILURE() << "no such rule: " << key;
      return;
    }
    EXPECT_EQ(strip(step.value("text", "")), rule->second.text) << key;
    EXPECT_EQ(step.value("chain", ""), rule->second.chain) << key;
    EXPECT_FALSE(step.contains("rules_changed")) << key;
  }

  // Hooks in the way of a packet; in a chain the rules' own order; into a chain only by a jump or goto to it, and back out
  // of it only behind that jump.
  void check_order(const Json& journey, const Book& book) const {
    static const std::map<std::string, int> kRank = {
        {"prerouting", 0}, {"input", 1}, {"forward", 1}, {"output", 1}, {"postrouting", 2}};
    std::map<bool, int> ranks;  // a bridge's hooks lie around and between IP's
    std::string walk;           // the base chain's walk that this step is in
    std::vector<std::pair<std::string, int>> stack;
    for (const Json& step : journey["steps"]) {
      const auto hook = kRank.find(step.value("hook", ""));
      if (hook != kRank.end()) {
        int& rank = ranks[step.value("family", "") == "bridge"];
        EXPECT_GE(hook->second, rank) << "a hook before its time: " << step.dump();
        rank = hook->second;
      }
      if (!step.contains("rule") && step["kind"] != "rule") continue;
      const auto rule = book.find(print_key(step, rules() == Rules::IptablesNft));
      if (rule == book.end()) continue;
      const std::string here = step.value("family", "") + " " + step.value("table", "") + " " +
                               step.value("hook", "") + " " + step.value("dialect", "");
      const std::string chain = rule->second.chain;
      const int position = rule->second.position;
      const bool deep = step.value("depth", 0) > 0;
      if (here != walk || !deep) {
        if (here == walk && !stack.empty() && stack.front().first == chain) {
          EXPECT_GT(position, stack.front().second) << step.dump();
        }
        EXPECT_FALSE(deep && here != walk) << "a walk that begins in a user chain: " << step.dump();
        walk = here;
        stack = {{chain, position}};
      } else {
        while (stack.size() > 1 && stack.back().first != chain && jumped_ != chain) stack.pop_back();
        if (stack.back().first == chain) {
          EXPECT_GT(position, stack.back().second) << step.dump();
          stack.back().second = position;
        } else {
          EXPECT_EQ(jumped_, chain) << "not jumped into: " << step.dump();
          stack.emplace_back(chain, position);
        }
      }
      jumped_ = find_target(rule->second.text);
    }
  }

  // The chain that a rule jumps or goes to, "" if none.
  static std::string find_target(const std::string& text) {
    static const std::regex kTarget("(?:-[jg]|jump|goto) (\\S+)");
    std::smatch found;
    return std::regex_search(text, found, kTarget) ? std::string(found[1]) : "";
  }

  void check_journey(const Json& journey, const Json& first, const Expect& expect) const {
    const bool asks = journey["forms"].front()["src"] == first["forms"].front()["src"];
    EXPECT_NE(asks, journey.contains("answers")) << journey["serial"];
    const std::string verdict = journey["outcome"]["verdict"];
    EXPECT_TRUE((asks ? expect.asked : expect.answered).contains(verdict))
        << (asks ? "asks: " : "answers: ") << verdict << " of " << journey["serial"];
    EXPECT_EQ(journey["complete"], true) << journey["serial"];
    EXPECT_EQ(journey["armed_here"], true) << journey["serial"];
    if (expect.dials.empty() && !expect.masquerades) {
      EXPECT_TRUE(journey["rewrites"].empty()) << journey["rewrites"].dump();
    } else if (expect.masquerades) {
      ASSERT_EQ(journey["rewrites"].size(), 1U) << journey["serial"];
      const Json& rewrite = journey["rewrites"].front();
      EXPECT_EQ(rewrite["what"], asks ? "source" : "destination") << journey["serial"];
      EXPECT_TRUE(rewrite[asks ? "to" : "from"].get<std::string>().starts_with(
          (v6() ? "[" : "") + Town::address(Who::Router, v6())))
          << rewrite.dump();
    } else if (!expect.dials.empty()) {
      ASSERT_EQ(journey["rewrites"].size(), 1U) << journey["serial"];
      const Json& rewrite = journey["rewrites"].front();
      EXPECT_EQ(rewrite["what"], asks ? "destination" : "source");
      EXPECT_EQ(rewrite["from"], asks ? expect.dials : expect.becomes);
      EXPECT_EQ(rewrite["to"], asks ? expect.becomes : expect.dials);
    }
    if (&journey == &first && !expect.dials.empty()) {
      ASSERT_TRUE(journey["rewrites"].front().contains("by_step"));
      const std::size_t step = journey["rewrites"].front()["by_step"];
      EXPECT_NE(journey["steps"][step].value("text", "").find("port forward"), std::string::npos);
    }
  }

  std::unique_ptr<Town> town_;
  mutable std::string jumped_;
};

TEST_P(StoryTest, WhatTheProgramShowsAgreesWithEveryCounter) {
  const auto address = [&](Who who) { return Town::address(who, v6()); };
  const auto end = [&](Who who, int port) {
    return fmt::format(fmt::runtime(v6() ? "[{}]:{}" : "{}:{}"), address(who), port);
  };
  follow("forwarded, through DNAT",
         {.filter = "-p tcp -d " + address(Who::Router) + " --dport 8080",
          .call = {.from = Who::Client, .to = address(Who::Router), .port = 8080, .at = 80},
          .asked = {"forwarded"},
          .answered = {"forwarded"},
          .dials = end(Who::Router, 8080),
          .becomes = end(Who::Server, 80)});
  follow("rejected", {.filter = "-p tcp --dport 81",
                      .call = {.from = Who::Client, .to = address(Who::Server), .port = 81, .at = 81},
                      .connects = false,
                      .asked = {"rejected"},
                      .answered = {"sent"}});
  follow("rejected by a reset",
         {.filter = "-p tcp --dport 82",
          .call = {.from = Who::Client, .to = address(Who::Server), .port = 82, .at = 82},
          .connects = false,
          .asked = {"rejected"},
          .answered = {"sent"}});
  follow("masqueraded", {.filter = "-p tcp -s " + address(Who::Server) + " --dport 9000",
                         .call = {.from = Who::Server,
                                  .to = address(Who::Client),
                                  .port = 9000,
                                  .listens = Who::Client,
                                  .at = 9000},
                         .asked = {"forwarded"},
                         .answered = {"forwarded"},
                         .masquerades = true});
  follow("delivered", {.filter = "-p tcp --dport 2200",
                       .call = {.from = Who::Client,
                                .to = address(Who::Router),
                                .port = 2200,
                                .listens = Who::Router,
                                .at = 2200},
                       .asked = {"delivered"},
                       .answered = {"sent"}});
  follow("sent", {.filter = "-p tcp -d " + address(Who::Client) + " --dport 9100",
                  .call = {.from = Who::Router,
                           .to = address(Who::Client),
                           .port = 9100,
                           .listens = Who::Client,
                           .at = 9100},
                  .asked = {"sent"},
                  .answered = {"delivered"}});
  if (!Town::filter_bridge()) GTEST_SKIP() << "this kernel has no br_netfilter";
  follow("bridged", {.filter = "-p tcp --dport 5000",
                     .call = {.from = Who::Guest, .to = address(Who::Server), .port = 5000, .at = 5000},
                     .asked = {"forwarded"},
                     .answered = {"forwarded"}});
}

INSTANTIATE_TEST_SUITE_P(Story, StoryTest,
                         testing::Combine(testing::Values(Rules::Legacy, Rules::IptablesNft, Rules::Nft,
                                                          Rules::Mixed),
                                          testing::Bool()),
                         [](const auto& of) {
                           return std::string(print(std::get<0>(of.param))) +
                                  (std::get<1>(of.param) ? "_IPv6" : "_IPv4");
                         });

}  // namespace
}  // namespace fwtrace::live
