#include "host/conntrack.h"

#include <gtest/gtest.h>

#include <string>

#include "host/rulebook_for_test.h"

namespace fwtrace::host {
namespace {

using packet::Family;

Conntrack by(Family family, const std::string& text, const std::string& target = "") {
  return find_conntrack(one_rule(family, text, target));
}

TEST(ConntrackByRules, RulesThatHoldIt) {
  constexpr Conntrack kV4{.v4 = true, .v6 = false}, kV6{.v4 = false, .v6 = true},
      kBoth{.v4 = true, .v6 = true};
  EXPECT_EQ(by(Family::Ip, "-A INPUT -m conntrack --ctstate NEW -j ACCEPT", "ACCEPT"), kV4);
  EXPECT_EQ(by(Family::Ip6, "-A INPUT -p tcp -m state --state NEW", ""), kV6);
  EXPECT_EQ(by(Family::Ip, "-A POSTROUTING -j MASQUERADE", "MASQUERADE"), kV4);
  EXPECT_EQ(by(Family::Inet, "ct state established,related accept"), kBoth);
  EXPECT_EQ(by(Family::Ip6, "tcp dport 80 dnat to [fd00::1]:80"), kV6);
  EXPECT_EQ(by(Family::Ip, "oifname \"em1\" masquerade"), kV4);
}

TEST(ConntrackByRules, RulesThatDoNot) {
  constexpr Conntrack kOff{};
  EXPECT_EQ(by(Family::Ip, "-A INPUT -m comment --comment conntrack -j ACCEPT", "ACCEPT"), kOff);
  EXPECT_EQ(by(Family::Ip, "-A INPUT -m comment --comment \"-m conntrack\" -j ACCEPT", "ACCEPT"), kOff);
  EXPECT_EQ(by(Family::Ip, "-A INPUT -m comment --comment -m conntrack", ""), kOff);
  EXPECT_EQ(by(Family::Ip, "-A PREROUTING -j CT --notrack", "CT"), kOff);
  EXPECT_EQ(by(Family::Inet, "jump ct comment \"x\""), kOff);
  EXPECT_EQ(by(Family::Inet, "goto masquerade"), kOff);
  EXPECT_EQ(by(Family::Inet, "tcp dport 21 ct helper set \"ftp\""), kOff);
  EXPECT_EQ(by(Family::Inet, "accept comment \"ct state new dnat to x\""), kOff);
  EXPECT_EQ(by(Family::Bridge, "ct state new accept"), kOff);
}

}  // namespace
}  // namespace fwtrace::host
