// Rules over time: which capture was true at a journey's events, and when nobody can say.

#include "journey/rule_versions.h"

#include <gtest/gtest.h>

#include <string>

namespace fwtrace::journey {
namespace {

// One rule in INPUT, with that comment.
ruleset::Capture save(const std::string& comment) {
  ruleset::Capture capture;
  capture.listings = {
      {"iptables-legacy-save", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -m comment --comment " +
                                   comment + " -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"}};
  capture.generation_before = capture.generation_after = 5;
  return capture;
}

class RuleVersionsRace : public testing::Test {
 protected:
  // A step on rule 1 of INPUT, whose event was the `event`th.
  Step join(std::uint64_t event) {
    Journey journey;
    journey.live = true;
    journey.family = packet::Family::Ip;
    journey.first_event = journey.last_event = event;
    Step& step = journey.steps.emplace_back();
    step.family = packet::Family::Ip;
    step.hook = packet::Hook::Input;
    step.table = names_.intern("filter");
    step.chain = names_.intern("INPUT");
    step.number = 1;
    (void)versions_.join(journey);
    Step found = journey.steps.front();
    comment_ = found.rule == nullptr ? "" : found.rule->comment;
    found.rule = nullptr;  // lives as long as the journey
    return found;
  }

  base::Names names_;
  RuleVersions versions_{[](const base::Diagnostic&) {}};
  std::string comment_;
};

TEST_F(RuleVersionsRace, LegacyRulesThatAgreeBeforeAndBehindAreTrue) {
  versions_.add(save("one"), 0, 0);
  versions_.add(save("one"), 9, 12);
  EXPECT_FALSE(join(7).rules_changed);
  EXPECT_EQ(comment_, "one");
}

TEST_F(RuleVersionsRace, LegacyRulesThatDoNotAgreeAreBothTold) {
  versions_.add(save("one"), 0, 0);
  versions_.add(save("two"), 9, 12);
  const Step step = join(7);
  EXPECT_TRUE(step.rules_changed);
  EXPECT_NE(step.rule_text.find("before: -A INPUT -p udp -m comment --comment one"), std::string::npos);
  EXPECT_NE(step.rule_text.find("now: -A INPUT -p udp -m comment --comment two"), std::string::npos);
}

// "two" was finished when 12 events were read; the 13th was queued then, and had happened under "one".
TEST_F(RuleVersionsRace, AnEventThatWasQueuedDuringACaptureMayBeOlderThanIt) {
  versions_.add(save("one"), 0, 0);
  versions_.read_all(10);
  versions_.add(save("two"), 10, 12);
  versions_.read_all(13);
  versions_.add(save("two"), 20, 21);
  EXPECT_TRUE(join(13).rules_changed);
  EXPECT_FALSE(join(14).rules_changed);
  EXPECT_EQ(comment_, "two");
}

TEST_F(RuleVersionsRace, RulesThatWereThereAndBackAreNotTakenForUnchanged) {
  versions_.add(save("one"), 0, 0);
  versions_.add(save("two"), 5, 6);
  versions_.read_all(6);
  versions_.add(save("one"), 9, 12);
  EXPECT_TRUE(join(4).rules_changed);
}

}  // namespace
}  // namespace fwtrace::journey
