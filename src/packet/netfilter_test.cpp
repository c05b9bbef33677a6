#include "packet/netfilter.h"

#include <gtest/gtest.h>

namespace fwtrace::packet {
namespace {

TEST(Netfilter, WordsComeBack) {
  for (const Family f :
       {Family::Inet, Family::Ip, Family::Arp, Family::Netdev, Family::Bridge, Family::Ip6}) {
    EXPECT_EQ(parse_family(to_text(f)), f);
  }
  for (const Hook h : {Hook::Ingress, Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output,
                       Hook::Postrouting, Hook::Egress}) {
    EXPECT_EQ(parse_hook(to_text(h)), h);
  }
  for (const Verdict v : {Verdict::Accept, Verdict::Drop, Verdict::Stolen, Verdict::Queue, Verdict::Repeat,
                          Verdict::Continue, Verdict::Break, Verdict::Jump, Verdict::Goto, Verdict::Return}) {
    EXPECT_EQ(parse_verdict(to_text(v)), v);
  }
}

TEST(Netfilter, NothingHasNoWord) {
  EXPECT_EQ(to_text(Family::None), "");
  EXPECT_EQ(to_text(Hook::None), "");
  EXPECT_EQ(to_text(Verdict::None), "");
  EXPECT_EQ(parse_family(""), std::nullopt);
  EXPECT_EQ(parse_hook(""), std::nullopt);
  EXPECT_EQ(parse_hook("Prerouting"), std::nullopt);
  EXPECT_EQ(parse_verdict(""), std::nullopt);
  EXPECT_EQ(parse_verdict("reject"), std::nullopt);
}

TEST(Netfilter, HooksAreReadInEitherCase) {
  EXPECT_EQ(parse_hook("POSTROUTING"), Hook::Postrouting);
  EXPECT_EQ(parse_hook("INGRESS"), Hook::Ingress);
}

TEST(Netfilter, OnlyFixedNamesAreBaseChains) {
  EXPECT_EQ(hook_of_chain("FORWARD"), Hook::Forward);
  EXPECT_EQ(hook_of_chain("forward"), Hook::None);
  EXPECT_EQ(hook_of_chain("FORWARD_direct"), Hook::None);
  EXPECT_EQ(hook_of_chain(""), Hook::None);
}

TEST(Netfilter, LegacyPriorities) {
  EXPECT_EQ(legacy_priority("raw", Hook::Prerouting), -300);
  EXPECT_EQ(legacy_priority("mangle", Hook::Postrouting), -150);
  EXPECT_EQ(legacy_priority("nat", Hook::Output), -100);
  EXPECT_EQ(legacy_priority("nat", Hook::Input), 100);
  EXPECT_EQ(legacy_priority("nat", Hook::Postrouting), 100);
  EXPECT_EQ(legacy_priority("filter", Hook::Forward), 0);
  EXPECT_EQ(legacy_priority("security", Hook::Input), 50);
  EXPECT_EQ(legacy_priority("raw", Hook::Input), std::nullopt);
  EXPECT_EQ(legacy_priority("nat", Hook::Forward), std::nullopt);
  EXPECT_EQ(legacy_priority("filter", Hook::Prerouting), std::nullopt);
  EXPECT_EQ(legacy_priority("broute", Hook::Prerouting), std::nullopt);
  EXPECT_EQ(legacy_priority("filter", Hook::None), std::nullopt);
}

}  // namespace
}  // namespace fwtrace::packet
