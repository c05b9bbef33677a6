#include "host/arming_rules.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fwtrace::host {
namespace {

using Lines = std::vector<std::string>;

ArmingWish wish_of(const std::vector<std::string>& words) {
  auto taken = packet::take_filter(words, {});
  EXPECT_TRUE(taken.has_value());
  ArmingWish wish;
  wish.filter = taken->filter;
  return wish;
}

// The rules of one chain, as text.
Lines rules_of(const ArmingPlan& plan, const std::string& chain, std::size_t table = 0) {
  Lines lines;
  for (const ArmingChain& each : plan.tables.at(table).chains) {
    if (each.name != chain) continue;
    for (const ArmingRule& rule : each.rules) lines.push_back(print_rule(rule));
  }
  return lines;
}

TEST(ArmingRules, RequestRepliesAndErrors) {
  const ArmingPlan plan = plan_arming(wish_of({"-p", "tcp", "--dport", "80", "-4"}));
  EXPECT_EQ(
      rules_of(plan, "first"),
      (Lines{"ip later fragment accept", "iifname lo accept", "nfproto ipv4 l4proto 6 th dport 80 goto start",
             "nfproto ipv4 l4proto 6 th sport 80 goto start",
             "nfproto ipv4 l4proto 1 icmp type 3-5 inner ip protocol 6 inner ip dport 80 goto start",
             "nfproto ipv4 l4proto 1 icmp type 11-12 inner ip protocol 6 inner ip dport 80 goto start",
             "accept"}));
  EXPECT_EQ(rules_of(plan, "sent").front(), "nfproto ipv4 l4proto 6 th dport 80 goto start-sent");
  EXPECT_TRUE(rules_of(plan, "fragments").empty()) << "ports are not seen in later fragments";
  EXPECT_TRUE(plan.wider.empty());
  EXPECT_FALSE(plan.everything);
}

TEST(ArmingRules, LaterFragmentsAreArmedWhereTheyAreStillAlone) {
  const ArmingPlan plan = plan_arming(wish_of({"-s", "10.0.0.0/8"}));
  EXPECT_EQ(rules_of(plan, "fragments"),
            (Lines{"iifname lo accept", "ip later fragment ip saddr 10.0.0.0/8 goto start-fragment",
                   "ip later fragment ip daddr 10.0.0.0/8 goto start-fragment", "accept"}));
}

TEST(ArmingRules, NegatedConditionsAreExclusionsOfTheirDirection) {
  ArmingWish wish = wish_of({"-p", "udp", "!", "-s", "10.1.2.3"});
  wish.replies = true;
  const ArmingPlan plan = plan_arming(wish);
  EXPECT_EQ(rules_of(plan, "first-forth"),
            (Lines{"nfproto ipv4 ip saddr 10.1.2.3 return", "l4proto 17 goto start"}));
  EXPECT_EQ(rules_of(plan, "first-back"),
            (Lines{"nfproto ipv4 ip daddr 10.1.2.3 return", "l4proto 17 goto start"}));
}

TEST(ArmingRules, WhatCannotBeTestedIsSaid) {
  const ArmingPlan out = plan_arming(wish_of({"-o", "eth1", "-p", "tcp", "--dport", "22"}));
  EXPECT_EQ(out.wider, Lines{"out eth1 (routing decides it later)"});
  const Lines sent = rules_of(out, "sent");
  EXPECT_NE(std::ranges::find(sent, "l4proto 6 oifname eth1 th dport 22 goto start-sent"), sent.end())
      << testing::PrintToString(sent);
  const ArmingPlan mark = plan_arming(wish_of({"--mark", "1"}));
  EXPECT_EQ(mark.wider, Lines{"mark 1 (rules set it later)"});
  EXPECT_TRUE(mark.everything);
  ArmingWish nat = wish_of({"-d", "192.168.1.1", "-p", "tcp"});
  nat.after_nat = {0};
  EXPECT_EQ(plan_arming(nat).wider, Lines{"destination 192.168.1.1 (may hold only after NAT)"});
  EXPECT_EQ(rules_of(plan_arming(nat), "first").at(3), "l4proto 6 goto start");
}

TEST(ArmingRules, AnInterfaceAloneDoesNotArmAllReplies) {
  const ArmingPlan plan = plan_arming(wish_of({"-i", "eth0"}));
  EXPECT_EQ(rules_of(plan, "first"), (Lines{"ip later fragment accept", "ip6 later fragment accept",
                                            "iifname eth0 goto start", "accept"}));
  EXPECT_EQ(rules_of(plan, "sent"), (Lines{"oifname eth0 goto start-sent", "accept"}));
  EXPECT_EQ(plan.narrower.size(), 1U);
}

TEST(ArmingRules, ContradictionsArmNothing) {
  // take_filter refuses such words; a filter can still be made so.
  ArmingWish wish = wish_of({"-s", "fd00::1"});
  wish.filter.version = packet::IpVersion::V4;
  EXPECT_TRUE(plan_arming(wish).nothing);
  EXPECT_TRUE(plan_arming(wish).tables.empty());
}

TEST(ArmingRules, EverythingIsOneRuleAndItsOwnMirrorImage) {
  const ArmingPlan plan = plan_arming(ArmingWish{});
  EXPECT_TRUE(plan.everything);
  EXPECT_EQ(rules_of(plan, "sent"), (Lines{"goto start-sent", "accept"}));
}

TEST(ArmingRules, TheOwnConnectionIsExcludedBothWaysEverywhere) {
  ArmingWish wish = wish_of({"-p", "tcp"});
  wish.bridge = true;
  wish.excluded.push_back({.local = *packet::parse_ip("10.1.1.1"),
                           .remote = *packet::parse_ip("10.2.2.2"),
                           .local_port = 22,
                           .remote_port = 50000});
  const ArmingPlan plan = plan_arming(wish);
  ASSERT_EQ(plan.tables.size(), 2U);
  for (const auto& [table, chain] : {std::pair{0U, "first"}, {0U, "sent"}, {1U, "first"}}) {
    const Lines lines = rules_of(plan, chain, table);
    ASSERT_GE(lines.size(), 2U);
    EXPECT_EQ(lines[0],
              "nfproto ipv4 l4proto 6 ip saddr 10.1.1.1 ip daddr 10.2.2.2 th sport 22 th dport 50000 accept");
    EXPECT_EQ(lines[1],
              "nfproto ipv4 l4proto 6 ip saddr 10.2.2.2 ip daddr 10.1.1.1 th sport 50000 th dport 22 accept");
  }
  const Lines inet = rules_of(plan, "first");
  EXPECT_NE(std::ranges::find(inet, "iifkind bridge accept"), inet.end()) << "decided on in the bridge table";
}

TEST(ArmingRules, EveryRuleEndsInAVerdictAndTargetsComeFirst) {
  for (const auto& words : {Lines{"-p", "tcp"}, Lines{"!", "--dport", "1", "-s", "10.0.0.1"}, Lines{}}) {
    ArmingWish wish = wish_of(words);
    wish.conntrack = {.v4 = true, .v6 = true};
    wish.bridge = true;
    const ArmingPlan plan = plan_arming(wish);
    Lines known;
    for (const ArmingChain& chain : plan.tables.at(0).chains) {
      for (const ArmingRule& rule : chain.rules) {
        if (!rule.target.empty()) {
          EXPECT_NE(std::ranges::find(known, rule.target), known.end()) << rule.target;
        }
      }
      if (chain.hook != packet::Hook::None) {
        EXPECT_EQ(chain.rules.back(), ArmingRule{});
      }
      known.push_back(chain.name);
    }
  }
}

TEST(ArmingRules, BehindConntrackAsksFirstWhatTheFirstChainAsked) {
  ArmingWish wish = wish_of({"-p", "tcp", "-d", "10.0.0.1", "--dport", "80"});
  wish.conntrack = {.v4 = true, .v6 = true};
  const ArmingPlan plan = plan_arming(wish);
  ASSERT_EQ(plan.tables.size(), 1U);
  EXPECT_TRUE(plan.tables[0].learns);
  const Lines first = rules_of(plan, "first");
  EXPECT_EQ(first.at(2), "iifname lo accept");
  EXPECT_EQ(first.at(3), "ip tuple @learned4 goto start");
  EXPECT_EQ(first.at(4), "ip6 tuple @learned6 goto start");
  Lines seen;
  for (const std::string& line : Lines(first.begin() + 5, first.end() - 1)) {
    seen.push_back(line.substr(0, line.find("goto")) + "accept");
  }
  Lines expected{"ct direction original accept", "iifname lo accept"};
  expected.insert(expected.end(), seen.begin(), seen.end());
  for (const char* line :
       {"ip tuple @learned4 accept", "ip6 tuple @learned6 accept",
        "nfproto ipv4 l4proto 6 ct direction reply ct original ip daddr 10.0.0.1 ct original proto-dst 80 "
        "goto start-original",
        "nfproto ipv4 l4proto 1 ct original protocol 6 ct direction reply ct original ip daddr 10.0.0.1 "
        "ct original proto-dst 80 goto start-original"}) {
    expected.emplace_back(line);
  }
  const Lines original = rules_of(plan, "original");
  ASSERT_GT(original.size(), expected.size());
  EXPECT_EQ(Lines(original.begin(), original.begin() + static_cast<std::ptrdiff_t>(expected.size())),
            expected);
  EXPECT_EQ(rules_of(plan, "after-conntrack"), Lines{}) << "'original' says the same";
  EXPECT_EQ(rules_of(plan, "left").front(),
            "nfproto ipv4 l4proto 6 ct direction original ct status snat,dnat ct original ip daddr 10.0.0.1 "
            "ct original proto-dst 80 l4proto 6 learn its reply, accept");
  EXPECT_EQ(rules_of(plan, "delivered"), rules_of(plan, "left"));
}

TEST(ArmingRules, WithoutConntrackNoRuleAsksIt) {
  for (const auto& words : {Lines{"-p", "tcp", "--dport", "80"}, Lines{}, Lines{"!", "-s", "10.0.0.1"}}) {
    for (const ArmingTable& table : plan_arming(wish_of(words)).tables) {
      EXPECT_FALSE(table.learns);
      for (const ArmingChain& chain : table.chains) {
        EXPECT_TRUE(std::ranges::none_of(chain.rules, &ArmingRule::needs_conntrack)) << chain.name;
      }
    }
  }
}

TEST(ArmingRules, ConntrackOfOneVersionIsAskedInATableOfThatVersion) {
  ArmingWish wish = wish_of({"-p", "udp"});
  wish.conntrack = {.v4 = true, .v6 = false};
  const ArmingPlan both = plan_arming(wish);
  ASSERT_EQ(both.tables.size(), 2U);
  EXPECT_EQ(both.tables[0].family, packet::Family::Ip);
  EXPECT_EQ(both.tables[1].family, packet::Family::Ip6);
  EXPECT_FALSE(rules_of(both, "original", 0).empty());
  EXPECT_TRUE(rules_of(both, "original", 1).empty());
  for (const ArmingChain& chain : both.tables[1].chains) {
    EXPECT_TRUE(std::ranges::none_of(chain.rules, &ArmingRule::needs_conntrack)) << chain.name;
    for (const ArmingRule& rule : chain.rules) EXPECT_EQ(print_rule(rule).find("ip "), std::string::npos);
  }
  wish.filter.version = packet::IpVersion::V4;
  EXPECT_EQ(plan_arming(wish).tables.size(), 1U);
  wish.conntrack = {.v4 = true, .v6 = true};
  EXPECT_EQ(plan_arming(wish).tables.at(0).family, packet::Family::Inet);
}

TEST(ArmingRules, WhatConntrackDoesNotKnowIsNotAskedOfIt) {
  for (const auto& words : {Lines{"-i", "eth0"}, Lines{"-o", "eth0", "-p", "tcp"}, Lines{}}) {
    ArmingWish wish = wish_of(words);
    wish.conntrack = {.v4 = true, .v6 = true};
    EXPECT_TRUE(rules_of(plan_arming(wish), "original").empty()) << testing::PrintToString(words);
  }
}

// The interface that is asked for is lo or a bridge: nobody before could test it, so nobody decided on the packet.
TEST(ArmingRules, AnInterfaceIsAskedBeforeLoAndBridgesArePassedBy) {
  ArmingWish wish = wish_of({"-i", "br0", "-p", "tcp", "--dport", "80"});
  wish.bridge = true;
  const Lines first = rules_of(plan_arming(wish), "first");
  const auto at = [&](const std::string& line) { return std::ranges::find(first, line) - first.begin(); };
  EXPECT_LT(at("l4proto 6 iifname br0 th dport 80 goto start"), at("iifname lo accept"));
  EXPECT_LT(at("iifkind bridge accept"), at("l4proto 6 th sport 80 goto start"));
  EXPECT_LT(at("l4proto 6 th sport 80 goto start"), static_cast<std::ptrdiff_t>(first.size()));
}

}  // namespace
}  // namespace fwtrace::host
