#include <gtest/gtest.h>

#include "ruleset/model.h"

namespace fwtrace::ruleset {
namespace {

TEST(Targets, SayWhatBecomesOfThePacket) {
  EXPECT_EQ(effect_of_target("ACCEPT"), Effect::Accept);
  EXPECT_EQ(effect_of_target("DROP"), Effect::Drop);
  EXPECT_EQ(effect_of_target("REJECT"), Effect::Reject);
  EXPECT_EQ(effect_of_target("TARPIT"), Effect::Reject);
  EXPECT_EQ(effect_of_target("RETURN"), Effect::Return);
  EXPECT_EQ(effect_of_target("QUEUE"), Effect::Queue);
  EXPECT_EQ(effect_of_target("NFQUEUE"), Effect::Queue);
  for (const char* name : {"DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"}) {
    EXPECT_EQ(effect_of_target(name), Effect::Accept) << name;
    EXPECT_TRUE(is_nat_target(name)) << name;
  }
  for (const char* name : {"LOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TEE", "TRACE", "NFLOG", "ULOG", "TOS",
                           "DSCP", "TTL", "HL", "TCPMSS", "SET"}) {
    EXPECT_EQ(effect_of_target(name), Effect::Continue) << name;
    EXPECT_FALSE(is_nat_target(name)) << name;
  }
}

TEST(Targets, WhatDependsOnUnseenStateIsUnknown) {
  for (const char* name : {"TPROXY", "SYNPROXY", "CLUSTERIP", "NOSUCH", "accept", ""}) {
    EXPECT_EQ(effect_of_target(name), Effect::Unknown) << name;
  }
}

TEST(Model, FindsChainsWithAndWithoutAnIndex) {
  Table table;
  for (const char* name : {"zeta", "INPUT", "alpha"}) {
    table.chains.emplace_back();
    table.chains.back().name = name;
  }
  for (int round = 0; round < 2; ++round) {
    for (const Chain& chain : table.chains) EXPECT_EQ(table.find_chain(chain.name), &chain);
    EXPECT_EQ(table.find_chain("beta"), nullptr);
    EXPECT_EQ(table.find_chain(""), nullptr);
    table.index_chains();
  }
}

TEST(Model, ALegacyLineSpeaksOfLegacyThenUnknownThenNft) {
  Rulebook book;
  for (const Backend backend : {Backend::NftCompat, Backend::Unknown, Backend::Legacy}) {
    book.rulesets.emplace_back();
    book.rulesets.back().backend = backend;
    EXPECT_EQ(book.find(packet::Family::Ip)->backend, backend);
  }
  EXPECT_EQ(book.find(packet::Family::Ip6), nullptr);
}

}  // namespace
}  // namespace fwtrace::ruleset
