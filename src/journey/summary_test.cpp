#include "journey/summary.h"

#include <gtest/gtest.h>

namespace fwtrace::journey {
namespace {

class SummaryTest : public testing::Test {
 protected:
  Journey made(OutcomeKind kind, std::string_view chain, std::uint32_t number) {
    Journey journey;
    Step& step = journey.steps.emplace_back();
    step.family = packet::Family::Ip;
    step.table = names.intern("filter");
    step.chain = names.intern(chain);
    step.number = number;
    step.did = Did::Drop;
    journey.outcome.kind = kind;
    journey.outcome.step = 0;
    return journey;
  }
  base::Names names;
  Summary summary;
};

TEST_F(SummaryTest, CountsAddUp) {
  summary.add(made(OutcomeKind::Dropped, "INPUT", 3), true);
  summary.add(made(OutcomeKind::Dropped, "INPUT", 3), true);
  summary.add(made(OutcomeKind::Rejected, "FORWARD", 7), true);
  Journey hidden = made(OutcomeKind::Dropped, "INPUT", 3);
  hidden.starts_late = hidden.overlaps_loss = true;
  summary.add(hidden, false);  // what a filter hides is counted as a packet, and else not
  EXPECT_EQ(summary.journeys, 4U);
  EXPECT_EQ(summary.shown, 3U);
  EXPECT_EQ(summary.outcomes[static_cast<std::size_t>(OutcomeKind::Dropped)], 2U);
  EXPECT_EQ(summary.starts_late, 0U);
  EXPECT_EQ(summary.overlap_loss, 0U);
  const auto deciders = summary.sorted();
  ASSERT_EQ(deciders.size(), 2U);
  EXPECT_EQ(deciders[0].where, "filter INPUT rule 3");
  EXPECT_EQ(deciders[0].count, 2U);
  EXPECT_EQ(deciders[1].where, "filter FORWARD rule 7");
}

TEST_F(SummaryTest, TheLastStepSeenDecidedNothing) {
  for (const OutcomeKind kind : {OutcomeKind::Lost, OutcomeKind::Undecided, OutcomeKind::Incomplete})
    summary.add(made(kind, "INPUT", 3), true);
  EXPECT_TRUE(summary.deciders.empty());
}

TEST_F(SummaryTest, TheSameNumberInIp6IsAnotherRule) {
  summary.add(made(OutcomeKind::Dropped, "INPUT", 3), true);
  Journey other = made(OutcomeKind::Dropped, "INPUT", 3);
  other.steps[0].family = packet::Family::Ip6;
  summary.add(other, true);
  EXPECT_EQ(summary.deciders.size(), 2U);
}

TEST_F(SummaryTest, MemoryIsBounded) {
  for (std::uint32_t number = 1; number <= Summary::kMaxDeciders + 10; ++number)
    summary.add(made(OutcomeKind::Dropped, "INPUT", number), true);
  EXPECT_EQ(summary.deciders.size(), Summary::kMaxDeciders);
  EXPECT_EQ(summary.deciders_not_kept, 10U);
}

TEST_F(SummaryTest, LossesAreExactOrSaidToBeUncounted) {
  for (int i = 0; i < 20; ++i)
    summary.add(trace::Loss{.place = {}, .host = {}, .time = {}, .lines = 3, .reason = "gap"});
  summary.add(trace::Loss{.place = {}, .host = {}, .time = {}, .lines = 0, .reason = "missed"});
  EXPECT_EQ(summary.lost_lines, 60U);
  EXPECT_EQ(summary.losses_uncounted, 1U);
  EXPECT_EQ(summary.first_losses.size(), 8U);
}

TEST_F(SummaryTest, StepsAreNamedAsPeopleNameThem) {
  Step step = made(OutcomeKind::Dropped, "FORWARD", 7).steps[0];
  EXPECT_EQ(print_where(step), "filter FORWARD rule 7");
  step.did = Did::PolicyDrop;
  EXPECT_EQ(print_where(step), "filter FORWARD policy");
  step.did = Did::ChainEnd;
  EXPECT_EQ(print_where(step), "filter FORWARD end of chain");
  step.did = Did::Unknown;
  EXPECT_EQ(print_where(step), "filter FORWARD rule 7");
  step.kind = trace::EventKind::Return;
  EXPECT_EQ(print_where(step), "filter FORWARD return:7");
  step.kind = trace::EventKind::Policy;
  EXPECT_EQ(print_where(step), "filter FORWARD policy:7");

  Step nft;
  nft.family = packet::Family::Inet;
  nft.table = names.intern("fw");
  nft.chain = names.intern("forward");
  nft.handle = 12;
  nft.did = Did::Drop;
  EXPECT_EQ(print_where(nft), "inet fw forward handle 12");
  nft.handle = 0;
  EXPECT_EQ(print_where(nft), "inet fw forward rule");
  nft.handle = 12;
  nft.family = packet::Family::Ip;
  EXPECT_EQ(print_where(nft), "ip fw forward handle 12");
  nft.table = names.intern("filter");
  EXPECT_EQ(print_where(nft), "filter forward handle 12");
  nft.family = packet::Family::Bridge;
  EXPECT_EQ(print_where(nft), "bridge filter forward handle 12");
}

}  // namespace
}  // namespace fwtrace::journey
