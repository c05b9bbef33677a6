#include "ruleset/nft_listing.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "ruleset/nft_words.h"

namespace fwtrace::ruleset {
namespace {

using packet::Family;
using packet::Hook;
using packet::Verdict;

struct Read {
  Rulebook book;
  base::Diagnostics diagnostics;
  base::Sources sources;
  RulesFound found;
  explicit Read(std::string_view text) { found = read_rules(text, sources.add("x"), "x", book, diagnostics); }
  const Chain& chain(Family family, std::string_view table, std::string_view name) const {
    static const Chain kNone;
    const Ruleset* const ruleset = book.find(family, Backend::Nft);
    const Table* const found_table = ruleset == nullptr ? nullptr : ruleset->find_table(table);
    const Chain* const found_chain = found_table == nullptr ? nullptr : found_table->find_chain(name);
    return found_chain == nullptr ? kNone : *found_chain;
  }
};

std::string recorded() {
  std::ifstream in(FWTRACE_SOURCE_DIR "/tests/fixtures/rules/nft-families.list");
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(NftListing, EveryHandleOfARuleIsRead) {
  const std::string text = recorded();
  const Read read(text);
  EXPECT_TRUE(read.diagnostics.kinds().empty());
  EXPECT_EQ(read.found.tables, 11U);
  EXPECT_EQ(read.found.other_lines, 0U);
  // Rules stand two tabs deep; what else does has no handle.
  std::size_t lines = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const bool deep = line.starts_with("\t\t") || line.starts_with("y\"");
    lines += deep && line.find(" # handle ") != std::string::npos && line.back() != '"' ? 1 : 0;
  }
  EXPECT_EQ(lines, read.found.rules);
  EXPECT_EQ(read.book.rule_count(), read.found.rules);
  for (const Ruleset& ruleset : read.book.rulesets) {
    EXPECT_EQ(ruleset.backend, Backend::Nft);
    for (const Table& table : ruleset.tables) {
      EXPECT_NE(table.handle, 0U);
      std::set<std::uint64_t> handles;
      for (const Chain& chain : table.chains) {
        for (const Rule& rule : chain.rules) {
          EXPECT_TRUE(rule.handle != 0 && handles.insert(rule.handle).second) << rule.text;
          EXPECT_EQ(rule.text.find("packets"), std::string::npos) << rule.text;
        }
      }
    }
  }
}

TEST(NftListing, BaseChains) {
  const Read read(recorded());
  struct Row {
    Family family;
    const char *table, *chain, *type;
    Hook hook;
    std::int64_t priority;
    Verdict policy;
  };
  for (const Row& row : {
           Row{Family::Inet, "fw", "in", "filter", Hook::Input, 0, Verdict::Drop},
           Row{Family::Inet, "fw", "forw", "filter", Hook::Forward, -150, Verdict::Accept},
           Row{Family::Ip, "nat2", "pre", "nat", Hook::Prerouting, -100, Verdict::Accept},
           Row{Family::Ip, "nat2", "post", "nat", Hook::Postrouting, 93, Verdict::Accept},
           Row{Family::Ip, "nat2", "out", "route", Hook::Output, -150, Verdict::Accept},
           Row{Family::Ip, "nat2", "anyprio", "filter", Hook::Input, INT32_MIN, Verdict::Accept},
           Row{Family::Ip, "nat2", "anyprio2", "filter", Hook::Input, INT32_MAX, Verdict::Accept},
           Row{Family::Ip, "nat2", "secu", "filter", Hook::Input, 62, Verdict::Accept},
           Row{Family::Ip, "nat2", "tp", "filter", Hook::Prerouting, -149, Verdict::Accept},
           Row{Family::Ip6, "six", "a", "filter", Hook::Input, 17, Verdict::Accept},
           Row{Family::Arp, "a", "i", "filter", Hook::Input, 0, Verdict::Accept},
           Row{Family::Bridge, "b", "f", "filter", Hook::Forward, -200, Verdict::Accept},
           Row{Family::Bridge, "b", "p", "filter", Hook::Prerouting, -300, Verdict::Accept},
           Row{Family::Bridge, "b", "o", "filter", Hook::Output, 100, Verdict::Accept},
           Row{Family::Netdev, "nd", "ing2", "filter", Hook::Ingress, -500, Verdict::Drop},
           Row{Family::Netdev, "nd", "egr", "filter", Hook::Egress, 0, Verdict::Accept},
       }) {
    SCOPED_TRACE(row.chain);
    const Chain& chain = read.chain(row.family, row.table, row.chain);
    EXPECT_EQ(chain.type, row.type);
    EXPECT_EQ(chain.hook, row.hook);
    EXPECT_EQ(chain.priority, row.priority);
    EXPECT_EQ(chain.policy, row.policy);
    EXPECT_NE(chain.handle, 0U);
  }
  const Chain& web = read.chain(Family::Inet, "fw", "web");
  EXPECT_EQ(web.hook, Hook::None);
  EXPECT_EQ(web.policy, Verdict::None);
  ASSERT_EQ(web.rules.size(), 1U);
  EXPECT_EQ(web.rules[0].comment, "odd text # handle 12");
  EXPECT_EQ(web.rules[0].handle, 15U);
  EXPECT_TRUE(read.book.find(Family::Inet, Backend::Nft)->find_table("dormant")->dormant);
  EXPECT_FALSE(read.book.find(Family::Inet, Backend::Nft)->find_table("fw")->dormant);
}

TEST(NftListing, OddNamesAndComments) {
  const Read read(recorded());
  const Chain& input = read.chain(Family::Ip, "filter", "INPUT");
  ASSERT_EQ(input.rules.size(), 6U);
  EXPECT_EQ(input.rules[2].text, "counter jump odd{;#x");
  EXPECT_EQ(input.rules[2].target, "odd{;#x");
  EXPECT_EQ(input.rules[2].effect, Effect::Jump);
  EXPECT_EQ(input.rules[3].effect, Effect::Goto);
  EXPECT_EQ(input.rules[5].comment, "x # handle 3 y");  // a comment of three lines
  EXPECT_EQ(input.rules[5].handle, 8U);
  EXPECT_EQ(read.chain(Family::Ip, "filter", "odd{;#x").handle, 4U);
}

TEST(NftListing, LinesOfALongSetAreOneRule) {
  const Read read(
      "table inet t { # handle 3\n\tset s { # handle 9\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1, 10.0.0.2,\n"
      "\t\t\t     10.0.0.3 }\n\t}\n\n\tflowtable ft {\n\t\thook ingress priority filter + 5\n\t\tdevices = { d0 }\n"
      "\t\tcounter\n\t}\n\n\tchain c { # handle 1\n\t\ttcp dport { 1, 2,\n\t\t\t    3, 4 } counter packets 7 bytes 9 "
      "drop # handle 4\n\t\tudp dport 53 queue flags bypass to 3 # handle 5\n\t\t # handle 6\n"
      "\t\tip protocol tcp flow add @ft # handle 7\n\t}\n}\n");
  EXPECT_TRUE(read.diagnostics.kinds().empty());
  const Chain& chain = read.chain(Family::Inet, "t", "c");
  ASSERT_EQ(chain.rules.size(), 4U);
  EXPECT_EQ(chain.rules[0].text, "tcp dport { 1, 2, 3, 4 } counter drop");
  EXPECT_EQ(chain.rules[0].counters, (Counters{7, 9}));
  EXPECT_EQ(chain.rules[0].place.line, 15U);
  EXPECT_EQ(chain.rules[1].effect, Effect::Queue);
  EXPECT_EQ(chain.rules[2].text, "");  // a rule without any expression
  EXPECT_EQ(chain.rules[2].handle, 6U);
  EXPECT_EQ(chain.rules[3].effect, Effect::Continue);
}

TEST(NftListing, WithoutHandlesAndAsAScript) {
  const Read read(
      "#!/usr/sbin/nft -f\nflush ruleset\ntable inet t {\n  set s { type ipv4_addr; flags interval; } chain d { }\n"
      "  chain c { type filter hook input priority 0; policy drop;\n    tcp dport { 22,\n      80 } accept # web\n"
      "    iifname \"a;b\" drop; udp dport 1 \\\n      reject\n    ct state vmap { new : jump d }\n  }\n}\n"
      "table filter { chain x { accept; } }\n");
  EXPECT_TRUE(read.diagnostics.kinds().empty());
  EXPECT_EQ(read.found.other_lines, 2U);
  const Chain& chain = read.chain(Family::Inet, "t", "c");
  EXPECT_EQ(chain.policy, Verdict::Drop);
  ASSERT_EQ(chain.rules.size(), 4U);
  EXPECT_EQ(chain.rules[0].text, "tcp dport { 22, 80 } accept");
  EXPECT_EQ(chain.rules[1].text, "iifname \"a;b\" drop");
  EXPECT_EQ(chain.rules[2].text, "udp dport 1  reject");
  EXPECT_EQ(chain.rules[3].effect, Effect::Unknown);
  EXPECT_EQ(chain.rules[3].number, 4U);
  EXPECT_EQ(read.chain(Family::Inet, "t", "d").place.line, 4U);
  EXPECT_EQ(read.chain(Family::Ip, "filter", "x").rules.size(), 1U);
}

TEST(NftListing, WhatIsCutOffOrBrokenDoesNotSpoilTheRest) {
  const std::string good = "table ip g {\n\tchain c { # handle 1\n\t\taccept # handle 2\n\t}\n}\n";
  for (const char* const bad : {
           "table ip x {\n\tchain c {\n\t\ttcp dport { 1,\n",
           "table ip x {\n\tset s {\n\t\telements = { 1,\n",
           "table ip x {\n\tchain c {\n\t\tcounter comment \"no end\n",
           "table ip x {\n",
       }) {
    const Read read(bad + good);
    EXPECT_EQ(read.chain(Family::Ip, "g", "c").rules.size(), 1U) << bad;
    EXPECT_EQ(read.diagnostics.count("nft-cut-off"), 1U) << bad;
  }
  // A comment that was not set by nft: three quotes.
  const Read quotes(
      "table ip x { # handle 1\n\tchain c { # handle 1\n\t\tcounter packets 0 bytes 0 comment \"a\"b\" # handle 2\n"
      "\t\tdrop # handle 3\n\t}\n}\n" +
      good);
  ASSERT_EQ(quotes.chain(Family::Ip, "x", "c").rules.size(), 2U);
  EXPECT_EQ(quotes.chain(Family::Ip, "x", "c").rules[0].comment, "a\"b");
  EXPECT_EQ(quotes.chain(Family::Ip, "g", "c").rules.size(), 1U);
}

TEST(NftListing, OurOwnTablesAreLeftOut) {
  const Read read(
      "table inet fwtrace-77 {\n\tchain start {\n\t\taccept\n\t}\n}\ntable inet fwtrace-x {\n}\n");
  EXPECT_EQ(read.found.tables, 1U);
  EXPECT_EQ(read.found.rules, 0U);
}

TEST(NftListing, ChainsListedAgainAreReplaced) {
  const Read read(
      "table ip t { # handle 1\n\tchain a { # handle 1\n\t\taccept # handle 2\n\t}\n}\n"
      "table ip t { # handle 1\n\tchain b { # handle 3\n\t\taccept # handle 4\n\t}\n}\n"
      "table ip t { # handle 1\n\tchain a { # handle 1\n\t\tdrop # handle 5\n\t}\n}\n");
  EXPECT_EQ(read.chain(Family::Ip, "t", "a").rules.at(0).handle, 5U);
  EXPECT_EQ(read.chain(Family::Ip, "t", "b").rules.size(), 1U);
  // A new table of that name.
  const Read newer(
      "table ip t { # handle 1\n\tchain a { # handle 1\n\t}\n}\ntable ip t { # handle 8\n\tchain b {\n\t}\n}\n");
  EXPECT_EQ(newer.book.rulesets.at(0).tables.at(0).chains.size(), 1U);
}

TEST(NftWords, WhatARuleDoes) {
  struct Row {
    const char* text;
    Effect effect;
    const char* target;
    std::optional<bool> conditional;
  };
  for (const Row& row : {
           Row{"accept", Effect::Accept, "accept", false},
           Row{"counter log prefix \"drop\" level warn accept", Effect::Accept, "accept", false},
           Row{"iifname \"drop\" counter", Effect::Continue, "", true},
           Row{"counter comment \"then drop\"", Effect::Continue, "", false},
           Row{"tcp dport 25 reject with tcp reset", Effect::Reject, "reject", true},
           Row{"reject", Effect::Reject, "reject", false},
           Row{"icmp type redirect", Effect::Continue, "", true},
           Row{"icmp type redirect drop", Effect::Drop, "drop", true},
           Row{"ct status dnat ip saddr 1.2.3.4 accept", Effect::Accept, "accept", std::nullopt},
           Row{"ct status dnat ip saddr 1.2.3.4", Effect::Continue, "", std::nullopt},
           Row{"ip daddr 1.2.3.4 dnat ip to 10.0.0.1", Effect::Accept, "dnat", true},
           Row{"masquerade fully-random", Effect::Accept, "masquerade", false},
           Row{"tcp dport 80 redirect to :8080", Effect::Accept, "redirect", true},
           Row{"udp dport 53 queue num 3 bypass", Effect::Queue, "queue", true},
           Row{"jump drop", Effect::Jump, "drop", false},
           Row{"ip protocol vmap { tcp : accept }", Effect::Unknown, "", true},
           Row{"ip protocol vmap @m", Effect::Unknown, "", true},
           Row{"tcp dport { 1, 2 } drop", Effect::Drop, "drop", true},
           Row{"ip saddr { accept } counter", Effect::Continue, "", true},
           Row{"counter xt target \"TTL\"", Effect::Continue, "TTL", std::nullopt},
           Row{"xt target LOG", Effect::Continue, "LOG", std::nullopt},
           Row{"fwd to \"eth0\"", Effect::Unknown, "fwd", false},
           Row{"return", Effect::Return, "return", false},
           Row{"", Effect::Continue, "", false},
       }) {
    SCOPED_TRACE(row.text);
    const Rule rule = parse_nft_rule(row.text);
    EXPECT_EQ(rule.effect, row.effect);
    EXPECT_EQ(rule.target, row.target);
    EXPECT_EQ(rule.conditional, row.conditional);
  }
}

TEST(NftWords, Priorities) {
  EXPECT_EQ(parse_nft_priority("dstnat - 5", Family::Ip), -105);
  EXPECT_EQ(parse_nft_priority("dstnat", Family::Bridge), -300);
  EXPECT_EQ(parse_nft_priority("-42", Family::Ip), -42);
  for (const char* const bad :
       {"", "nonsense", "filter +", "filter + x", "filter * 2", "security + 2147483647", "1 2"})
    EXPECT_EQ(parse_nft_priority(bad, Family::Ip), std::nullopt) << bad;
}

}  // namespace
}  // namespace fwtrace::ruleset
