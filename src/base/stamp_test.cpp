#include "base/stamp.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <ctime>

namespace fwtrace::base {
namespace {

constexpr std::int64_t kSecond = 1'000'000, kDay = 86'400 * kSecond;

Stamp wall(std::int64_t us, bool year_known = true) {
  Stamp stamp;
  stamp.wall_us = us;
  stamp.year_known = year_known;
  return stamp;
}

Stamp uptime(std::int64_t us) {
  Stamp stamp;
  stamp.uptime_us = us;
  return stamp;
}

TEST(Stamp, DaysFromCivil) {
  EXPECT_EQ(days_from_civil(1970, 1, 1), 0);
  EXPECT_EQ(days_from_civil(1969, 12, 31), -1);
  EXPECT_EQ(days_from_civil(2000, 2, 29), 11016);
  EXPECT_EQ(days_from_civil(2026, 11, 23), 20780);
  EXPECT_EQ(days_from_civil(1900, 3, 1) - days_from_civil(1900, 2, 28), 1);
}

RC_GTEST_PROP(Stamp, DatesAreThoseOfTheCLibrary, ()) {
  const auto seconds = *rc::gen::inRange<std::int64_t>(-5'000'000'000, 10'000'000'000);
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char expected[64];
  std::strftime(expected, sizeof expected, "%Y-%m-%d %H:%M:%S", &parts);
  RC_ASSERT(print_stamp(wall(seconds * kSecond)) == expected);
  RC_ASSERT(days_from_civil(parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday) ==
            (seconds - parts.tm_hour * 3600 - parts.tm_min * 60 - parts.tm_sec) / 86'400);
}

TEST(Stamp, PrintsWhatIsKnown) {
  EXPECT_EQ(print_stamp(Stamp()), "");
  EXPECT_EQ(print_stamp(uptime(123'456'789)), "[  123.456789]");
  EXPECT_EQ(print_stamp(uptime(1'234'567'000'089)), "[1234567.000089]");
  Stamp stamp = wall(days_from_civil(2026, 11, 23) * kDay + 43'201 * kSecond + 123'456);
  EXPECT_EQ(print_stamp(stamp), "2026-11-23 12:00:01");
  stamp.seconds_only = false;
  EXPECT_EQ(print_stamp(stamp), "2026-11-23 12:00:01.123456");
  stamp.zone_known = true;
  stamp.zone_minutes = -90;
  EXPECT_EQ(print_stamp(stamp), "2026-11-23 10:30:01.123456");
  stamp.uptime_us = 5;
  EXPECT_EQ(print_stamp(stamp), "2026-11-23 10:30:01.123456");
}

TEST(Stamp, AnUnknownYearHasALeapDay) {
  EXPECT_EQ(print_stamp(wall(59 * kDay, false)), "Feb 29 00:00:00");
  EXPECT_EQ(print_stamp(wall(60 * kDay + kSecond, false)), "Mar  1 00:00:01");
  EXPECT_EQ(print_stamp(wall(365 * kDay, false)), "Dec 31 00:00:00");
}

TEST(Stamp, Elapsed) {
  EXPECT_EQ(elapsed_us(wall(5), wall(12)), 7);
  EXPECT_EQ(elapsed_us(uptime(12), uptime(5)), -7);
  EXPECT_EQ(elapsed_us(Stamp(), wall(5)), std::nullopt);
  EXPECT_EQ(elapsed_us(uptime(1), wall(5)), std::nullopt);
  EXPECT_EQ(elapsed_us(wall(1, false), wall(5, true)), std::nullopt);
  Stamp both = wall(100);
  both.uptime_us = 3;
  EXPECT_EQ(elapsed_us(both, uptime(5)), 2);
  EXPECT_EQ(elapsed_us(both, wall(105)), 5);
  Stamp utc = wall(100);
  utc.zone_known = true;
  EXPECT_EQ(elapsed_us(utc, wall(105)), std::nullopt);
}

TEST(Stamp, WithoutYearsANewYearIsNoStepBack) {
  EXPECT_EQ(elapsed_us(wall(365 * kDay, false), wall(0, false)), std::nullopt);
  EXPECT_EQ(elapsed_us(wall(100 * kDay, false), wall(99 * kDay, false)), -kDay);
}

}  // namespace
}  // namespace fwtrace::base
