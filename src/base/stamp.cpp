#include "base/stamp.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace fwtrace::base {
namespace {

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;
constexpr int kUnknownYear = 2000;  // counted as a leap year, so that 29 February has a place
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Civil {
  std::int64_t year;
  int month, day;
};

std::int64_t floor_divide(std::int64_t value, std::int64_t by) {
  return value / by - (value % by < 0 ? 1 : 0);
}

// The year is counted from March, so that the leap day is its last; a "era" is 400 years of 146,097 days.
Civil civil_from_days(std::int64_t days) {
  days += 719'468;
  const std::int64_t era = floor_divide(days, 146'097);
  const std::int64_t day_of_era = days - era * 146'097;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month = (5 * day_of_year + 2) / 153;  // 0 is March
  return {year_of_era + era * 400 + (month >= 10 ? 1 : 0),
          static_cast<int>(month < 10 ? month + 3 : month - 9),
          static_cast<int>(day_of_year - (153 * month + 2) / 5 + 1)};
}

}  // namespace

std::int64_t days_from_civil(int year, int month, int day) {
  const std::int64_t from_march = month > 2 ? month - 3 : month + 9;
  const std::int64_t y = month > 2 ? year : std::int64_t{year} - 1;
  const std::int64_t era = floor_divide(y, 400);
  const std::int64_t year_of_era = y - era * 400;
  const std::int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

std::optional<std::int64_t> elapsed_us(const Stamp& from, const Stamp& to) {
  if (from.uptime_us != Stamp::kNone && to.uptime_us != Stamp::kNone) return to.uptime_us - from.uptime_us;
  if (from.wall_us == Stamp::kNone || to.wall_us == Stamp::kNone) return std::nullopt;
  if (from.zone_known != to.zone_known || from.year_known != to.year_known) return std::nullopt;
  const std::int64_t elapsed = to.wall_us - from.wall_us;
  // Without years, half a year backwards is more likely a new year than a step back: we cannot say.
  if (!from.year_known && (elapsed < -183 * kDay || elapsed > 183 * kDay)) return std::nullopt;
  return elapsed;
}

std::string print_stamp(const Stamp& stamp) {
  if (stamp.wall_us == Stamp::kNone) {
    if (stamp.uptime_us == Stamp::kNone) return {};
    const std::int64_t seconds = floor_divide(stamp.uptime_us, kSecond);
    return fmt::format("[{:5}.{:06}]", seconds, stamp.uptime_us - seconds * kSecond);
  }
  const std::int64_t local =
      stamp.zone_known ? stamp.wall_us + stamp.zone_minutes * 60 * kSecond : stamp.wall_us;
  const std::int64_t days = floor_divide(local, kDay);
  const std::int64_t seconds = (local - days * kDay) / kSecond;
  std::string out;
  if (stamp.year_known) {
    const Civil date = civil_from_days(days);
    out = fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
  } else {
    const Civil date = civil_from_days(days + days_from_civil(kUnknownYear, 1, 1));
    out = fmt::format("{} {:2}", kMonths[static_cast<std::size_t>(date.month - 1)], date.day);
  }
  out += fmt::format(" {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (!stamp.seconds_only) out += fmt::format(".{:06}", (local - days * kDay) % kSecond);
  return out;
}

}  // namespace fwtrace::base
