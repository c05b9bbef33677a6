// The folded path of one table, and what changed on the way.
#include <gtest/gtest.h>

#include "report/journeys_for_test.h"
#include "report/path.h"

namespace fwtrace::report {
namespace {

using journey::Did;
using packet::Hook;

class WalkTest : public testing::Test {
 protected:
  journey::Step& step(std::string_view chain, std::uint16_t depth, Did did, std::uint32_t number) {
    return m.step(Hook::Input, "filter", chain, depth, did, number);
  }
  std::string print() {
    const auto changes = find_changes(m.journey);
    return print_walk(m.journey, 0, static_cast<std::uint32_t>(m.journey.steps.size()), changes);
  }
  JourneyMaker m;
};

TEST_F(WalkTest, RulesInARowAreOneWord) {
  for (const std::uint32_t number : {1U, 2U, 5U, 7U, 8U, 9U}) step("INPUT", 0, Did::Continue, number);
  step("INPUT", 0, Did::PolicyDrop, 10);
  m.journey.outcome = {journey::OutcomeKind::Dropped, {}, m.last(), {}, {}};
  EXPECT_EQ(print(), "INPUT rules 1, 2, 5, 7 to 9 · policy DROP ✗");
}

TEST_F(WalkTest, AContinuingRuleNamesItsTarget) {
  step("INPUT", 0, Did::Continue, 8).rule = m.rule(8, "-A INPUT -j LOG", "LOG", ruleset::Effect::Continue);
  step("INPUT", 0, Did::PolicyUnknown, 9);
  EXPECT_EQ(print(), "INPUT rule 8 LOG · policy");
}

TEST_F(WalkTest, ManyEmptyChainsAreCounted) {
  for (const std::uint32_t number : {1U, 2U, 3U, 4U}) {
    step("INPUT", 0, Did::Jump, number);
    step("USER" + std::to_string(number), 1, Did::ChainEnd, 1);
  }
  step("INPUT", 0, Did::Jump, 5);
  step("LAST", 1, Did::Accept, 2);
  EXPECT_EQ(print(), "INPUT → 4 chains ↩ rule 5 → LAST rule 2   ACCEPT");
}

TEST_F(WalkTest, AnEmptyChainHidesItsRuleAndOneThatMattersShowsIt) {
  step("INPUT", 0, Did::Jump, 1);
  step("A", 1, Did::ChainEnd, 1);
  step("INPUT", 0, Did::Jump, 2);
  step("B", 1, Did::Continue, 4);
  step("B", 1, Did::ChainEnd, 6);
  step("INPUT", 0, Did::Accept, 3);
  EXPECT_EQ(print(), "INPUT → A ↩ rule 2 → B rule 4 ↩ rule 3   ACCEPT");
}

// The kernel reports one return for a chain entered by goto, and it leads past the chain that said goto.
TEST_F(WalkTest, AfterAGotoTheChainIsNamedAgain) {
  for (const std::uint16_t goto_depth : {1, 2}) {
    m.journey.steps.clear();
    step("INPUT", 0, Did::Jump, 6);
    step("ZONES", 1, Did::Goto, 1);
    step("PUBLIC", goto_depth, Did::ChainEnd, 4);
    step("INPUT", 0, Did::Continue, 8);
    step("INPUT", 0, Did::PolicyDrop, 9);
    EXPECT_EQ(print(), "INPUT → ZONES → PUBLIC ↩ INPUT rule 8 · policy DROP") << goto_depth;
  }
}

TEST_F(WalkTest, AnExplicitReturnNamesItsRule) {
  step("INPUT", 0, Did::Jump, 1);
  step("A", 1, Did::Return, 2);
  step("INPUT", 0, Did::PolicyAccept, 3);
  EXPECT_EQ(print(), "INPUT rule 1 → A rule 2 ↩ · policy ACCEPT");
}

TEST_F(WalkTest, WithoutARulesetNothingIsGuessed) {
  step("INPUT", 0, Did::Unknown, 1);
  step("A", 1, Did::Unknown, 2).kind = trace::EventKind::Return;
  step("INPUT", 0, Did::Unknown, 3);
  step("INPUT", 0, Did::Unknown, 4).kind = trace::EventKind::Policy;
  EXPECT_EQ(print(), "INPUT → A ↩ rule 3 · policy:4");
}

TEST_F(WalkTest, AReturnThatNothingFollowsMayBeAnAccept) {
  step("INPUT", 0, Did::Jump, 1);
  step("A", 1, Did::Unknown, 2).kind = trace::EventKind::Return;
  EXPECT_EQ(print(), "INPUT rule 1 → A return:2");
}

TEST_F(WalkTest, AMarkIsToldWithTheRuleThatSetIt) {
  m.form();
  step("INPUT", 0, Did::Continue, 2).rule = m.rule(2, "-A INPUT -j MARK", "MARK", ruleset::Effect::Continue);
  m.form().mark = 0x100;
  step("INPUT", 0, Did::Accept, 3);
  EXPECT_EQ(print(), "INPUT rule 2 MARK   mark 0x0 ⇒ 0x100 · rule 3   ACCEPT");
}

TEST_F(WalkTest, ADamagedLineMakesNoChange) {
  m.form().mark = 0x100;
  step("INPUT", 0, Did::Continue, 2);
  packet::Packet& form = m.form();
  form.mark.reset();
  form.damaged = true;
  step("INPUT", 0, Did::Accept, 3);
  EXPECT_EQ(print(), "INPUT rule 2 · rule 3   ACCEPT");
}

TEST_F(WalkTest, NftWordsAreNfts) {
  const auto nft = [&](std::string_view chain, std::uint16_t depth, Did did,
                       std::uint64_t handle) -> journey::Step& {
    journey::Step& made = step(chain, depth, did, 0);
    made.family = packet::Family::Inet;
    made.handle = handle;
    return made;
  };
  m.journey.dialect = trace::Dialect::NftMonitor;
  nft("input", 0, Did::Headers, 0).kind = trace::EventKind::Headers;
  nft("input", 0, Did::Continue, 11);
  nft("input", 0, Did::Jump, 12);
  nft("services", 1, Did::Drop, 31);
  m.journey.outcome = {journey::OutcomeKind::Dropped, {}, m.last(), {}, {}};
  EXPECT_EQ(print(), "input handle 11 · handle 12 → services handle 31   drop ✗");
}

// nft's text form prints neither numbers nor handles, and nothing for a chain in which no rule matched.
TEST_F(WalkTest, RulesWithoutANameAreToldByTheirText) {
  const auto nft = [&](std::string_view chain, std::uint16_t depth, Did did,
                       std::string text) -> journey::Step& {
    journey::Step& made = step(chain, depth, did, 0);
    made.family = packet::Family::Inet;
    made.rule_text = std::move(text);
    return made;
  };
  nft("input", 0, Did::Continue,
      "tcp dport 22 counter packets 0 bytes 0 log prefix \"a very long one indeed\"");
  nft("input", 0, Did::Jump, "jump empty").target_chain = m.name("empty");
  nft("input", 0, Did::Goto, "goto zone").target_chain = m.name("zone");
  nft("zone", 1, Did::Jump, "jump empty").target_chain = m.name("empty");
  nft("zone", 1, Did::Jump, "jump last").target_chain = m.name("last");
  nft("input", 0, Did::PolicyDrop, "");
  EXPECT_EQ(print(), "input rule (tcp dport 22 log prefix \"a very long on…) · → 4 chains ↩ · policy drop");
  m.journey.steps.erase(m.journey.steps.begin() + 2, m.journey.steps.end() - 1);
  EXPECT_EQ(print(), "input rule (tcp dport 22 log prefix \"a very long on…) · → empty ↩ · policy drop");
}

TEST_F(WalkTest, DeepInputCostsNoStack) {
  for (std::uint32_t i = 0; i < 60'000; ++i)
    step("C" + std::to_string(i), static_cast<std::uint16_t>(i), Did::Jump, 1);
  EXPECT_TRUE(print().starts_with("C0 rule 1 → C1 rule 1 → C2"));
}

TEST(PrintNumbers, ShortensRunsAndLongLists) {
  using Numbers = std::vector<std::uint64_t>;
  EXPECT_EQ(print_numbers(Numbers{7}, "rule", "rules"), "rule 7");
  EXPECT_EQ(print_numbers(Numbers{1, 2, 3, 9}, "rule", "rules"), "rules 1 to 3, 9");
  Numbers many;
  for (std::uint64_t i = 1; i < 40; ++i) many.push_back(2 * i);
  EXPECT_EQ(print_numbers(many, "rule", "rules"),
            "rules 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24 … 27 more");
}

TEST(Path, ChangesThatNoStepMadeStandBetween) {
  JourneyMaker m;
  m.form();
  m.step(Hook::Prerouting, "mangle", "PREROUTING", 0, Did::PolicyAccept, 1);
  packet::Packet& form = m.form();
  form.destination = *packet::parse_ip("192.168.101.10");
  form.ttl = 58;
  form.mark = 5;
  form.out = m.name("virbr1");
  m.step(Hook::Forward, "filter", "FORWARD", 0, Did::Accept, 5);
  m.step(Hook::None, "other", "FORWARD", 0, Did::Accept, 6);
  journey::Rewrite rewrite;
  rewrite.destination = true;
  rewrite.to_form = 1;
  m.journey.rewrites.push_back(rewrite);
  std::string out;
  append_path(out, m.journey, m.sources, {});
  EXPECT_EQ(
      out,
      "  prerouting  mangle   PREROUTING policy ACCEPT\n"
      "  conntrack   destination 10.32.105.30:80 ⇒ 192.168.101.10:80   a known connection, or a rule not traced\n"
      "  routing     forward to virbr1 (ttl 59 → 58)\n"
      "  changed     mark 0x0 ⇒ 0x5\n"
      "  forward     filter   FORWARD rule 5   ACCEPT\n"
      "              ip other FORWARD rule 6   ACCEPT\n");
}

TEST(Path, StepsWithoutAnyHookAreCalledChains) {
  JourneyMaker m;
  m.step(Hook::None, "filter", "USER", 0, Did::Unknown, 3);
  std::string out;
  append_path(out, m.journey, m.sources, {});
  EXPECT_EQ(out, "  chains      filter   USER rule 3\n");
}

}  // namespace
}  // namespace fwtrace::report
