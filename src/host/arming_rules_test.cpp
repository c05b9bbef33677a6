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
    const ArmingPlan plan = plan_arming(wish_of(words));
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

}  // namespace
}  // namespace fwtrace::host
