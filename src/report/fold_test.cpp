#include "report/fold.h"

#include <gtest/gtest.h>

#include "report/journeys_for_test.h"

namespace fwtrace::report {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

journey::Journey later(journey::Journey journey, std::int64_t us) {
  for (journey::Step& step : journey.steps) step.time.uptime_us += us;
  return journey;
}

packet::Tcp& tcp_of(journey::Journey& journey) { return std::get<packet::Tcp>(journey.forms[0].transport); }

std::string fold(const std::vector<journey::Journey>& journeys) {
  RetransmitFold fold;
  for (const journey::Journey& journey : journeys) EXPECT_FALSE(fold.add(journey).has_value());
  std::string out;
  while (const auto folded = fold.take()) out += "[" + print_repetitions(*folded) + "]";
  return out;
}

TEST(RetransmitFold, TellsHowOftenAndAfterWhat) {
  JourneyMaker m;
  make_rejected(m);
  const auto& j = m.journey;
  EXPECT_EQ(fold({j}), "[]");
  EXPECT_EQ(fold({j, later(j, kSecond), later(j, 3 * kSecond), later(j, 7 * kSecond)}),
            "[×4, after 1 s 2 s 4 s]");
  EXPECT_EQ(fold({j, later(j, 203'400)}), "[×2, after 203 ms]");
  EXPECT_EQ(fold({j, later(j, -kSecond)}), "[×2]");  // time ran backwards: say nothing
}

TEST(RetransmitFold, OnlyTheSameSegmentWithTheSameFate) {
  JourneyMaker m;
  make_rejected(m);
  const auto changed = [&](auto change) {
    journey::Journey other = later(m.journey, kSecond);
    change(other);
    return fold({m.journey, other});
  };
  EXPECT_EQ(changed([](auto&) {}), "[×2, after 1 s]");
  EXPECT_EQ(changed([](auto& j) { ++*tcp_of(j).seq; }), "[][]");
  EXPECT_EQ(changed([](auto& j) { ++*tcp_of(j).ack_seq; }), "[][]");
  EXPECT_EQ(changed([](auto& j) { tcp_of(j).flags = packet::kRst; }), "[][]");
  EXPECT_EQ(changed([](auto& j) { tcp_of(j).window = 1; }), "[×2, after 1 s]");
  EXPECT_EQ(changed([](auto& j) { ++*j.forms[0].ports.source; }), "[][]");
  EXPECT_EQ(changed([](auto& j) { j.steps[3].number = 9; }), "[][]");
  EXPECT_EQ(changed([](auto& j) { j.outcome.kind = journey::OutcomeKind::Dropped; }), "[][]");
  EXPECT_EQ(changed([](auto& j) { j.overlaps_loss = true; }), "[][]");
}

TEST(RetransmitFold, WithoutASequenceNumberNothingIsARepetition) {
  JourneyMaker m;
  make_rejected(m);
  tcp_of(m.journey).seq.reset();
  EXPECT_EQ(fold({m.journey, m.journey}), "[][]");
  m.journey.forms[0].transport = packet::Udp{};
  EXPECT_EQ(fold({m.journey, m.journey}), "[][]");
}

TEST(RetransmitFold, SecondsWithoutAFractionAreNotZero) {
  JourneyMaker m;
  make_rejected(m);
  for (journey::Step& step : m.journey.steps) step.time = {.wall_us = 5 * kSecond};
  EXPECT_EQ(fold({m.journey, m.journey}), "[×2, after <1 s]");
}

TEST(RetransmitFold, HoldsABoundedNumberInOrder) {
  JourneyMaker m;
  make_rejected(m);
  RetransmitFold fold;
  std::uint64_t next = 1;
  for (std::uint64_t serial = 1; serial <= 100; ++serial) {
    journey::Journey other = m.journey;
    other.serial = serial;
    *tcp_of(other).seq += static_cast<std::uint32_t>(serial);
    const auto out = fold.add(other);
    EXPECT_EQ(out.has_value(), serial > RetransmitFold::kHeld);
    if (out) {
      EXPECT_EQ(out->journey.serial, next++);
    }
  }
  while (const auto out = fold.take()) EXPECT_EQ(out->journey.serial, next++);
  EXPECT_EQ(next, 101U);
}

TEST(RetransmitFold, ALongListOfGapsIsCut) {
  JourneyMaker m;
  make_rejected(m);
  std::vector<journey::Journey> many;
  for (int i = 0; i < 12; ++i) many.push_back(later(m.journey, i * kSecond));
  EXPECT_EQ(fold(many), "[×12, after 1 s 1 s 1 s 1 s 1 s 1 s 1 s 1 s …]");
}

}  // namespace
}  // namespace fwtrace::report
