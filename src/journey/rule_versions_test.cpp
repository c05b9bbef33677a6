// Which text was true at an event: the laws of rule_versions.h.

#include "journey/rule_versions.h"

#include <gtest/gtest.h>

#include <string>

namespace fwtrace::journey {
namespace {

using packet::Family;
using ruleset::Capture;
using trace::Dialect;
using trace::EventKind;

Capture legacy(const std::string& rules) {
  Capture capture;
  capture.listings.push_back(
      {"iptables-legacy-save", "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n" + rules + "COMMIT\n"});
  capture.generation_before = capture.generation_after = 1;
  return capture;
}

Capture nft(std::uint32_t generation, int table, const std::string& rules) {
  Capture capture;
  capture.listings.push_back(
      {"nft -t -a list ruleset",
       "table inet fw { # handle " + std::to_string(table) +
           "\n\tchain in { # handle 1\n\t\ttype filter hook input priority filter; policy accept;\n" + rules +
           "\t}\n}\n"});
  capture.generation_before = capture.generation_after = generation;
  return capture;
}

class RuleVersionsTest : public testing::Test {
 protected:
  // A capture, and then the kernel's queue was read to its end.
  void add(const Capture& capture, std::uint64_t begun, std::uint64_t ended) {
    versions_.add(capture, begun, ended);
    versions_.read_all(ended);
  }
  void saw(std::uint64_t events, std::uint32_t generation) {
    versions_.saw_generation(events, generation);
    versions_.read_all(events);
  }
  // A journey of one rule step, whose events were number 10 and 11.
  Journey journey(Dialect dialect, std::uint32_t number, std::uint64_t handle) {
    Journey j;
    j.live = j.marked = j.armed = true;
    j.family = Family::Ip;
    j.first_event = 10, j.last_event = 11;
    Step& step = j.steps.emplace_back();
    step.dialect = dialect;
    step.kind = EventKind::Rule;
    step.number = number, step.handle = handle;
    step.family = dialect == Dialect::KernelLog ? Family::Ip : Family::Inet;
    step.hook = packet::Hook::Input;
    step.table = names_.intern(dialect == Dialect::KernelLog ? "filter" : "fw");
    step.chain = names_.intern(dialect == Dialect::KernelLog ? "INPUT" : "in");
    if (dialect == Dialect::NftMonitor) step.verdict = packet::Verdict::Drop;
    return j;
  }
  Journey of_legacy() { return journey(Dialect::KernelLog, 1, 0); }
  Journey of_nft(std::uint64_t handle) { return journey(Dialect::NftMonitor, 0, handle); }

  base::Names names_;
  std::vector<std::string> complaints_;
  RuleVersions versions_{[this](base::Diagnostic d) { complaints_.push_back(d.message); }};
};

TEST_F(RuleVersionsTest, LegacyTextIsTrueIfTheCapturesAroundTheJourneyAgree) {
  add(legacy("-A INPUT -p tcp -j DROP\n"), 0, 5);
  Journey j = of_legacy();
  EXPECT_FALSE(versions_.ready(j)) << "nothing was listed behind it";
  add(legacy("-A INPUT -p tcp -j DROP\n"), 9, 20);
  EXPECT_FALSE(versions_.ready(j)) << "that one was begun before its last event";
  add(legacy("-A INPUT -p tcp -j DROP\n"), 11, 21);
  ASSERT_TRUE(versions_.ready(j));
  const auto joined = versions_.join(j);
  EXPECT_FALSE(joined.changed);
  ASSERT_NE(j.steps[0].rule, nullptr);
  EXPECT_EQ(j.steps[0].rule->text, "-A INPUT -p tcp -j DROP");
  EXPECT_EQ(j.steps[0].did, Did::Drop);
  EXPECT_EQ(versions_.changes(), 0U);
}

TEST_F(RuleVersionsTest, WithoutGenerationsEqualLegacyTextIsOneVersion) {
  Capture capture = legacy("-A INPUT -p tcp -j DROP\n");
  capture.generation_before = capture.generation_after = 0;
  add(capture, 0, 5);
  add(capture, 12, 13);
  EXPECT_EQ(versions_.changes(), 0U);
}

TEST_F(RuleVersionsTest, LegacyRulesThatChangedMeanwhileAreBothTold) {
  add(legacy("-A INPUT -p tcp -j DROP\n"), 0, 5);
  add(legacy("-A INPUT -p udp -j ACCEPT\n-A INPUT -p tcp -j DROP\n"), 12, 13);
  Journey j = of_legacy();
  ASSERT_TRUE(versions_.ready(j));
  EXPECT_TRUE(versions_.join(j).changed);
  EXPECT_EQ(j.steps[0].rule, nullptr);
  EXPECT_TRUE(j.steps[0].rules_changed);
  EXPECT_EQ(j.steps[0].rule_text, "before: -A INPUT -p tcp -j DROP · now: -A INPUT -p udp -j ACCEPT");
  EXPECT_EQ(versions_.changes(), 1U);
}

// Between two captures that differ anything may have stood there, and legacy rules have no identity.
TEST_F(RuleVersionsTest, LegacyRulesThatChangedElsewhereAreNotSureEither) {
  add(legacy("-A INPUT -p tcp -j DROP\n"), 0, 5);
  add(legacy("-A INPUT -p tcp -j DROP\n-A INPUT -p udp -j ACCEPT\n"), 12, 13);
  Journey j = of_legacy();
  EXPECT_TRUE(versions_.join(j).changed);
  EXPECT_EQ(j.steps[0].rule, nullptr);
}

TEST_F(RuleVersionsTest, OneGenerationIsExactWhateverCameLater) {
  add(nft(7, 1, "\t\ttcp dport 22 drop # handle 4\n"), 0, 5);
  saw(9, 7);
  Journey j = of_nft(4);
  EXPECT_FALSE(versions_.ready(j)) << "the generation behind it is not known";
  saw(12, 7);
  saw(15, 8);
  ASSERT_TRUE(versions_.ready(j));
  add(nft(8, 2, "\t\tudp dport 53 accept # handle 4\n"), 20, 21);
  versions_.join(j);
  ASSERT_NE(j.steps[0].rule, nullptr);
  EXPECT_EQ(j.steps[0].rule->text, "tcp dport 22 drop");
}

TEST_F(RuleVersionsTest, AHandleOfTheSameTableIsTheSameRule) {
  add(nft(7, 1, "\t\ttcp dport 22 drop # handle 4\n"), 0, 5);
  saw(9, 7);
  saw(12, 8);
  add(nft(8, 1, "\t\tudp dport 53 accept # handle 5\n"), 12, 13);
  Journey gone = of_nft(4), fresh = of_nft(5), unknown = of_nft(6);
  ASSERT_TRUE(versions_.ready(gone));
  EXPECT_FALSE(versions_.join(gone).changed);
  EXPECT_EQ(gone.steps[0].rule_text, "tcp dport 22 drop") << "deleted since, and true then";
  EXPECT_EQ(gone.steps[0].did, Did::Drop);
  EXPECT_FALSE(versions_.join(fresh).changed);
  ASSERT_NE(fresh.steps[0].rule, nullptr);
  EXPECT_EQ(fresh.steps[0].rule->text, "udp dport 53 accept");
  EXPECT_FALSE(versions_.join(unknown).changed);
  EXPECT_EQ(unknown.steps[0].rule, nullptr) << "came and went between the listings";
  EXPECT_EQ(unknown.steps[0].rule_text, "");
}

TEST_F(RuleVersionsTest, AnotherTableOfTheSameNameHasOtherHandles) {
  add(nft(7, 1, "\t\ttcp dport 22 drop # handle 4\n"), 0, 5);
  saw(9, 7);
  saw(12, 9);
  add(nft(9, 3, "\t\tudp dport 53 drop # handle 4\n"), 12, 13);
  Journey j = of_nft(4);
  EXPECT_TRUE(versions_.join(j).changed);
  EXPECT_EQ(j.steps[0].rule, nullptr);
  EXPECT_TRUE(j.steps[0].rules_changed);
  EXPECT_EQ(j.steps[0].did, Did::Drop) << "the verdict is the event's own";
}

}  // namespace
}  // namespace fwtrace::journey
