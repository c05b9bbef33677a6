// When something happened, as far as the source says: a wall clock, a clock without a year (syslog), or
// microseconds since boot (dmesg). Never made up: what is not known stays unknown.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

namespace fwtrace::base {

struct Stamp {
  static constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();

  std::int64_t wall_us = kNone;    // microseconds since 1970-01-01, in UTC if zone_known, else in local time;
                                   // since 1 January of an unknown year if !year_known,
                                   // counted as a leap year (29 February is day 59)
  std::int64_t uptime_us = kNone;  // microseconds since boot
  std::int16_t zone_minutes = 0;   // east of UTC, as written; only for showing
  bool zone_known = false;
  bool year_known = false;
  bool seconds_only = true;  // the wall clock was written without a fraction

  bool known() const { return wall_us != kNone || uptime_us != kNone; }
  bool operator==(const Stamp&) const = default;
};

// Microseconds from a to b, by uptime if both have one, else by wall clock if both have the same kind of it.
std::optional<std::int64_t> elapsed_us(const Stamp& from, const Stamp& to);

// "2026-11-23 12:00:01.123456", "Nov 23 12:00:01", "[  123.456789]", or "" if nothing is known.
std::string print_stamp(const Stamp& stamp);

// Days from 1970-01-01 to the given civil date (proleptic Gregorian).
std::int64_t days_from_civil(int year, int month, int day);

}  // namespace fwtrace::base
