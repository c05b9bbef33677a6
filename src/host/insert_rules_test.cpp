#include "host/insert_rules.h"

#include <gtest/gtest.h>

namespace fwtrace::host {
namespace {

using Lines = std::vector<std::string>;
using packet::IpVersion;

RawRules raw_of(const std::vector<std::string>& words, IpVersion version, bool replies = true) {
  auto taken = packet::take_filter(words, {});
  EXPECT_TRUE(taken && taken->rest.empty());
  ArmingWish wish;
  wish.filter = taken->filter;
  wish.replies = replies;
  return to_raw_rules(plan_arming(wish), version, "fwtrace-7");
}

TEST(InsertRules, ForthAndBackWithoutQuotedPackets) {
  const RawRules rules = raw_of({"-p", "tcp", "--dport", "80", "-d", "10.1.0.0/16"}, IpVersion::V4);
  EXPECT_EQ(rules.chains, (Lines{"fwtrace-7-arm", "fwtrace-7-in", "fwtrace-7-out"}));
  EXPECT_EQ(rules.rules,
            (Lines{"-A fwtrace-7-in -i lo -j RETURN",
                   "-A fwtrace-7-in -p 6 -m multiport --dports 80 -d 10.1.0.0/16 -g fwtrace-7-arm",
                   "-A fwtrace-7-in -p 6 -m multiport --sports 80 -s 10.1.0.0/16 -g fwtrace-7-arm",
                   "-A fwtrace-7-out -p 6 -m multiport --dports 80 -d 10.1.0.0/16 -g fwtrace-7-arm",
                   "-A fwtrace-7-out -p 6 -m multiport --sports 80 -s 10.1.0.0/16 -g fwtrace-7-arm"}));
  EXPECT_TRUE(rules.arms);
  EXPECT_TRUE(rules.without_errors);
  EXPECT_FALSE(raw_of({"-p", "tcp", "-d", "10.1.0.0/16"}, IpVersion::V6).arms) << "an IPv4 address";
}

TEST(InsertRules, WhatIsExcludedOfOneDirectionMayBeOfTheOther) {
  const RawRules rules = raw_of({"-p", "udp", "!", "-s", "fd00::1"}, IpVersion::V6);
  const Lines in(rules.rules.begin(), rules.rules.begin() + 8);
  EXPECT_EQ(
      in, (Lines{"-A fwtrace-7-in -i lo -j RETURN", "-A fwtrace-7-in -g fwtrace-7-in-1",
                 "-A fwtrace-7-in-1 -s fd00::1 -g fwtrace-7-in-2", "-A fwtrace-7-in-1 -p 17 -g fwtrace-7-arm",
                 "-A fwtrace-7-in-1 -g fwtrace-7-in-2", "-A fwtrace-7-in-2 -g fwtrace-7-in-2-1",
                 "-A fwtrace-7-in-2-1 -d fd00::1 -g fwtrace-7-in-2-2",
                 "-A fwtrace-7-in-2-1 -p 17 -g fwtrace-7-arm"}));
}

TEST(InsertRules, TheWordsOfEachCondition) {
  const auto first = [](const std::vector<std::string>& words, IpVersion version) {
    const RawRules rules = raw_of(words, version, false);
    for (const std::string& rule : rules.rules) {
      if (rule.starts_with("-A fwtrace-7-in ") && rule.ends_with(" -g fwtrace-7-arm")) {
        return rule.substr(15, rule.size() - 15 - 17);
      }
    }
    return std::string("none");
  };
  EXPECT_EQ(first({"--icmp-type", "3/1"}, IpVersion::V4), " -p 1 -m icmp --icmp-type 3/1");
  EXPECT_EQ(first({"--icmpv6-type", "echo-request"}, IpVersion::V6), " -p 58 -m icmp6 --icmpv6-type 128");
  EXPECT_EQ(first({"--icmpv6-type", "echo-request"}, IpVersion::V4), "none");
  EXPECT_EQ(first({"-i", "eth+", "-p", "udp", "--sport", "5:7"}, IpVersion::V4),
            " -p 17 -i eth+ -m multiport --sports 5:7");
  EXPECT_EQ(first({"-p", "ah"}, IpVersion::V4), " -p 51");
  EXPECT_EQ(first({"-i", "we\"ird", "-p", "udp"}, IpVersion::V4), "none") << "no quoting";
}

TEST(InsertRules, TheEntryEndsByItself) {
  EXPECT_EQ(raw_entry_rule("fwtrace-7", "in", 1'700'000'000),
            "-m comment --comment fwtrace-7 -m time --datestop 2023-11-14T22:13:20 -j fwtrace-7-in");
  EXPECT_EQ(raw_limit_rule(20'000, 0), "-m limit --limit 10000/second --limit-burst 1 -j TRACE");
}

TEST(InsertRules, RemovalTakesOursAndNothingElse) {
  const char* saved =
      "# Generated\n*raw\n:PREROUTING ACCEPT [5:300]\n:fwtrace-7-arm - [0:0]\n:fwtrace-71-in - [0:0]\n"
      "-A PREROUTING -m comment --comment fwtrace-7 -m time --datestop 2026-11-23T16:00:00 -j fwtrace-7-in\n"
      "-A PREROUTING -m comment --comment \"fwtrace-7-in\" -j ACCEPT\n-A PREROUTING -j fwtrace-71-in\n"
      "-A fwtrace-7-arm -m limit --limit 1/sec -j TRACE\nCOMMIT\n";
  const std::string entry =
      "-D PREROUTING -m comment --comment fwtrace-7 -m time --datestop 2026-11-23T16:00:00 -j fwtrace-7-in";
  EXPECT_EQ(removal_of(saved, "fwtrace-7", false), (Lines{entry, "-F fwtrace-7-arm", "-X fwtrace-7-arm"}));
  EXPECT_EQ(removal_of(saved, "fwtrace-7", true), (Lines{entry}));
  EXPECT_EQ(removal_of(saved, "fwtrace-8", false), Lines());
}

}  // namespace
}  // namespace fwtrace::host
