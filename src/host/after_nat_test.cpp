#include "host/after_nat.h"

#include <gtest/gtest.h>

#include <string>

#include "host/rulebook_for_test.h"

namespace fwtrace::host {
namespace {

using Indices = std::vector<std::size_t>;
using Words = std::vector<std::string>;
using packet::Family;

Indices after(const Words& words, const ruleset::Rulebook& book) {
  const auto taken = packet::take_filter(words, {});
  EXPECT_TRUE(taken.has_value());
  const std::vector<packet::IpAddress> own{*packet::parse_ip("10.36.7.1"), *packet::parse_ip("fd36::1")};
  return find_after_nat(taken->filter, book, own);
}

struct RuleRow {
  Family family;
  const char *text, *target;
  Words filter;
  Indices expected;
};

TEST(AfterNat, WhatARuleCanMake) {
  const std::vector<RuleRow> rows{
      // DNAT: the address, the port, both, neither.
      {Family::Ip,
       "-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 192.168.101.10:80",
       "DNAT",
       {"-d", "192.168.101.10", "-p", "tcp", "--dport", "80"},
       {0, 2}},
      // What the rule asks for held before it: the condition can be tested there.
      {Family::Ip,
       "-A PREROUTING -d 10.32.105.30/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.101.10:80",
       "DNAT",
       {"-p", "tcp", "--dport", "80"},
       {}},
      {Family::Ip,
       "-A PREROUTING -p tcp -m tcp --dport 80:90 -j DNAT --to-destination 192.168.101.10:80",
       "DNAT",
       {"-p", "tcp", "--dport", "80"},
       {1}},
      {Family::Ip,
       "-A PREROUTING -p tcp -m tcp ! --dport 80 -j DNAT --to-destination 192.168.101.10:80",
       "DNAT",
       {"-p", "tcp", "--dport", "80"},
       {1}},
      {Family::Ip,
       "-A PREROUTING -d 192.168.101.7/32 -j DNAT --to-destination 192.168.101.10",
       "DNAT",
       {"-d", "192.168.101.0/24"},
       {}},
      {Family::Ip,
       "-A PREROUTING -j DNAT --to-destination 192.168.101.10",
       "DNAT",
       {"-d", "192.168.101.10", "--dport", "80"},
       {0}},
      {Family::Ip,
       "-A PREROUTING -j DNAT --to-destination 192.168.101.10",
       "DNAT",
       {"-d", "192.168.101.11"},
       {}},
      {Family::Ip,
       "-A PREROUTING -j DNAT --to-destination 192.168.101.10",
       "DNAT",
       {"-d", "192.168.0.0/16"},
       {0}},
      {Family::Ip, "-A PREROUTING -j DNAT --to-destination 192.168.101.10", "DNAT", {"-d", "0.0.0.0/0"}, {}},
      {Family::Ip,
       "-A PREROUTING -j DNAT --to-destination 192.168.101.10",
       "DNAT",
       {"-s", "192.168.101.10"},
       {}},
      {Family::Ip,
       "-A PREROUTING -j DNAT --to-destination 192.168.101.10",
       "DNAT",
       {"!", "-d", "192.168.101.10"},
       {}},
      {Family::Ip,
       "-A PREROUTING -j DNAT --to-destination 192.168.101.10-192.168.101.20:5000-5010/80",
       "DNAT",
       {"-d", "192.168.101.15", "--dport", "5005"},
       {0, 1}},
      {Family::Ip,
       "-A PREROUTING -p tcp -j DNAT --to-destination :81",
       "DNAT",
       {"-p", "tcp", "-d", "10.1.1.1", "--dport", "81"},
       {2}},
      {Family::Ip,
       "-A PREROUTING -p tcp -j DNAT --to-destination :81",
       "DNAT",
       {"-p", "udp", "--dport", "81"},
       {}},
      {Family::Ip6,
       "-A PREROUTING -p tcp -j DNAT --to-destination [fd00::9]:81",
       "DNAT",
       {"-d", "fd00::9", "--dport", "81"},
       {0, 1}},
      {Family::Ip6,
       "-A PREROUTING -j DNAT --to-destination fd00::9",
       "DNAT",
       {"-d", "fd00::9", "--dport", "9"},
       {0}},
      {Family::Ip6,
       "-A PREROUTING -j DNAT --to-destination [fd00::1]-[fd00::9]",
       "DNAT",
       {"-d", "fd00::5"},
       {0}},
      {Family::Ip, "-A PREROUTING -j DNAT --to-destination 10.0.0.1", "DNAT", {"-d", "fd00::9"}, {}},
      // A -L line without its arguments, an extension that we do not know: anything.
      {Family::Ip, "-A PREROUTING -j DNAT", "DNAT", {"-d", "1.2.3.4", "-s", "4.3.2.1"}, {0}},
      {Family::Ip, "-A PREROUTING -j FULLCONENAT", "FULLCONENAT", {"-d", "1.2.3.4", "-s", "4.3.2.1"}, {0, 1}},
      // A user chain's NETMAP may be called from anywhere.
      {Family::Ip, "-A PREROUTING -j NETMAP --to 10.5.0.0/16", "NETMAP", {"-d", "10.5.9.9"}, {0}},
      {Family::Ip, "-A POSTROUTING -j NETMAP --to 10.5.0.0/16", "NETMAP", {"-d", "10.5.9.9"}, {}},
      {Family::Ip,
       "-A mine -j NETMAP --to 10.5.0.0/16",
       "NETMAP",
       {"-d", "10.6.9.9", "-s", "10.7.0.1"},
       {0, 1}},
      // SNAT and MASQUERADE.
      {Family::Ip, "-A POSTROUTING -j SNAT --to-source 198.51.100.7", "SNAT", {"-s", "198.51.100.7"}, {0}},
      {Family::Ip,
       "-A POSTROUTING -j SNAT --to-source 198.51.100.7",
       "SNAT",
       {"-s", "10.1.1.1", "--sport", "9"},
       {}},
      {Family::Ip, "-A POSTROUTING -o em1 -j MASQUERADE", "MASQUERADE", {"-s", "10.36.7.1"}, {0}},
      {Family::Ip,
       "-A POSTROUTING -o em1 -j MASQUERADE",
       "MASQUERADE",
       {"-s", "10.36.7.2", "--sport", "99"},
       {}},
      {Family::Ip, "-A POSTROUTING -o em1 -j MASQUERADE", "MASQUERADE", {"-d", "10.36.7.1"}, {}},
      {Family::Ip,
       "-A POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-2047",
       "MASQUERADE",
       {"--sport", "2000:3000"},
       {0}},
      {Family::Ip, "-A POSTROUTING -j MASQUERADE --random-fully", "MASQUERADE", {"--sport", "99"}, {0}},
      // REDIRECT: own addresses, and loopback for what is sent here.
      {Family::Ip,
       "-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128",
       "REDIRECT",
       {"-d", "10.36.7.1", "--dport", "3128"},
       {0, 1}},
      {Family::Ip,
       "-A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 3128",
       "REDIRECT",
       {"-d", "127.0.0.1", "--dport", "80"},
       {0}},
      // nft's words.
      {Family::Ip,
       "iifname \"em1\" tcp dport 8080 dnat to 192.168.101.10:80",
       "",
       {"-d", "192.168.101.10", "--dport", "80"},
       {0, 1}},
      {Family::Inet, "tcp dport 8080 dnat ip to 192.168.101.10", "", {"-d", "192.168.101.10"}, {0}},
      {Family::Inet, "udp dport 8080 dnat ip6 to [fd00::9]:80", "", {"-p", "tcp", "-d", "fd00::9"}, {}},
      {Family::Inet, "udp dport 8080 dnat ip6 to [fd00::9]:80 persistent", "", {"-d", "fd00::9"}, {0}},
      {Family::Ip,
       "dnat to tcp dport map { 80 : 10.0.0.1, 81 : 10.0.0.2 }",
       "",
       {"-d", "1.2.3.4", "-p", "tcp"},
       {0}},
      {Family::Ip, "dnat to @somewhere", "", {"-d", "1.2.3.4"}, {0}},
      {Family::Ip, "ct status dnat accept", "", {"-d", "1.2.3.4"}, {}},
      {Family::Ip, "jump dnat", "", {"-d", "1.2.3.4"}, {}},
      {Family::Ip, "oifname \"em1\" masquerade", "", {"-s", "10.36.7.1", "--sport", "9"}, {0}},
      {Family::Inet, "oifname \"em1\" masquerade", "", {"-s", "fd36::1"}, {0}},
      {Family::Inet, "masquerade fully-random", "", {"--sport", "9"}, {0}},
      {Family::Ip, "snat to 198.51.100.7-198.51.100.9", "", {"-s", "198.51.100.8"}, {0}},
      {Family::Inet, "tcp dport 80 redirect to :3128", "", {"-p", "tcp", "--dport", "3128"}, {1}},
      {Family::Inet, "tcp dport 80 redirect to :3128", "", {"-p", "tcp", "--dport", "80"}, {}},
      {Family::Ip, "ip daddr set 10.0.0.1 notrack", "", {"-d", "10.0.0.2"}, {0}},
      {Family::Ip, "ip daddr set 10.0.0.1", "", {"-d", "10.0.0.1"}, {0}},
      {Family::Ip, "ip daddr set 10.0.0.1", "", {"-d", "10.0.0.2"}, {}},
      {Family::Ip, "comment \"dnat to 10.0.0.1\" accept", "", {"-d", "10.0.0.1"}, {}},
  };
  for (const RuleRow& row : rows) {
    EXPECT_EQ(after(row.filter, one_rule(row.family, row.text, row.target)), row.expected)
        << row.text << " · " << testing::PrintToString(row.filter);
  }
}

TEST(AfterNat, NoRuleNoCondition) {
  EXPECT_EQ(after({"-p", "tcp", "-d", "10.0.0.1"}, {}), Indices{});
  EXPECT_EQ(after({"-p", "tcp"}, one_rule(Family::Ip, "-A POSTROUTING -j MASQUERADE", "MASQUERADE")),
            Indices{});
}

}  // namespace
}  // namespace fwtrace::host
