#include "trace/wrapper.h"

#include <array>

#include "base/text.h"

namespace fwtrace::trace {
namespace {

using base::is_digit;
using base::is_space;
using base::Stamp;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

// A cursor over the wrapper. Each take_… either takes its piece whole and says true, or takes nothing.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : left_(text) {}
  std::string_view left() const { return left_; }
  bool done() const { return left_.empty(); }
  void skip_blanks() {
    while (!left_.empty() && is_space(left_.front())) left_.remove_prefix(1);
  }
  bool take(std::string_view word) {
    if (!left_.starts_with(word)) return false;
    left_.remove_prefix(word.size());
    return true;
  }
  // min to max digits.
  bool take_number(std::int64_t& to, std::size_t min = 1, std::size_t max = 18) {
    std::size_t n = 0;
    std::int64_t value = 0;
    while (n < left_.size() && n < max && is_digit(left_[n])) value = value * 10 + (left_[n++] - '0');
    if (n < min || (n < left_.size() && is_digit(left_[n]))) return false;
    left_.remove_prefix(n);
    to = value;
    return true;
  }
  // ".123456" or ",123" as microseconds; absent is zero.
  bool take_fraction(std::int64_t& micros) {
    micros = 0;
    if (left_.size() < 2 || (left_[0] != '.' && left_[0] != ',') || !is_digit(left_[1])) return false;
    left_.remove_prefix(1);
    std::int64_t scale = 100'000;
    while (!left_.empty() && is_digit(left_.front())) {
      micros += scale * (left_.front() - '0');
      scale /= 10;
      left_.remove_prefix(1);
    }
    return true;
  }
  template <std::size_t N>
  bool take_one_of(const std::array<std::string_view, N>& words, std::int64_t& index) {
    for (std::size_t i = 0; i < N; ++i) {
      if (take(words[i])) {
        index = static_cast<std::int64_t>(i);
        return true;
      }
    }
    return false;
  }
  std::string_view take_word() {
    std::size_t n = 0;
    while (n < left_.size() && !is_space(left_[n])) ++n;
    const std::string_view word = left_.substr(0, n);
    left_.remove_prefix(n);
    return word;
  }
  // A copy to try something on; assign back if it went well.
  bool operator==(const Cursor&) const = default;

 private:
  std::string_view left_;
};

struct Clock {
  std::int64_t hour = 0, minute = 0, second = 0, micros = 0;
  bool fraction = false;
  std::int64_t in_micros() const { return ((hour * 60 + minute) * 60 + second) * 1'000'000 + micros; }
};

bool take_clock(Cursor& at, Clock& clock) {
  Cursor c = at;
  if (!c.take_number(clock.hour, 1, 2) || !c.take(":") || !c.take_number(clock.minute, 2, 2) ||
      !c.take(":") || !c.take_number(clock.second, 2, 2) || clock.hour > 24 || clock.minute > 59 ||
      clock.second > 60)
    return false;
  clock.fraction = c.take_fraction(clock.micros);
  at = c;
  return true;
}

void set_wall(Stamp& time, std::int64_t year, std::int64_t month, std::int64_t day, const Clock& clock) {
  // Without a year: days since 1 January of a leap year, so that 29 February has a place.
  const bool known = year != 0;
  const std::int64_t days =
      known ? base::days_from_civil(static_cast<int>(year), static_cast<int>(month), static_cast<int>(day))
            : base::days_from_civil(2000, static_cast<int>(month), static_cast<int>(day)) -
                  base::days_from_civil(2000, 1, 1);
  time.wall_us = days * 86'400'000'000 + clock.in_micros();
  time.year_known = known;
  time.seconds_only = !clock.fraction;
}

void set_zone(Stamp& time, std::int64_t minutes) {
  time.zone_known = true;
  time.zone_minutes = static_cast<std::int16_t>(minutes);
  if (time.wall_us != Stamp::kNone) time.wall_us -= minutes * 60'000'000;
}

// "+02:00", "+0200", "Z"; "CST" names no offset for certain and is skipped.
void take_zone(Cursor& at, Stamp& time) {
  if (at.take("Z")) return set_zone(time, 0);
  Cursor c = at;
  if (c.take(" ") && (c.take("UTC ") || c.take("GMT "))) {
    at = c;
    return set_zone(time, 0);
  }
  c = at;
  const bool west = c.take("-");
  std::int64_t hours = 0, minutes = 0;
  if (!west && !c.take("+")) return;
  if (!c.take_number(hours, 2, 2)) {
    if (!c.take_number(hours, 4, 4)) return;
    minutes = hours % 100;
    hours /= 100;
  } else if (!c.take(":") || !c.take_number(minutes, 2, 2)) {
    return;
  }
  if (hours > 14 || minutes > 59) return;
  at = c;
  set_zone(time, (west ? -1 : 1) * (hours * 60 + minutes));
}

// "May 27 19:57:54", with an optional year before or behind the clock ("Mar  1 12:00:00 2024").
bool take_month_day(Cursor& at, Stamp& time) {
  Cursor c = at;
  std::int64_t month = 0, day = 0, year = 0, weekday = 0;
  if (c.take_one_of(kDays, weekday)) {
    c.take(",");
    c.skip_blanks();
  }
  Clock clock;
  if (c.take_one_of(kMonths, month)) {
    c.skip_blanks();
    if (!c.take_number(day, 1, 2)) return false;
  } else {
    return false;
  }
  if (day < 1 || day > 31) return false;
  c.take(",");
  c.skip_blanks();
  Cursor before_year = c;
  if (c.take_number(year, 4, 4)) c.skip_blanks();
  else c = before_year;
  if (!take_clock(c, clock)) return false;
  Cursor after = c;
  after.skip_blanks();
  std::int64_t late_year = 0;
  if (year == 0 && after.take_number(late_year, 4, 4) && late_year > 1970 && late_year < 2200 &&
      (after.done() || is_space(after.left().front()) || after.left().front() == ']')) {
    year = late_year;
    c = after;
  }
  set_wall(time, year, month + 1, day, clock);
  at = c;
  return true;
}

// "2024-05-01T12:00:00.123456+02:00", "2024-05-01 12:00:00", "Thu 2023-03-02 13:56:16 CST".
bool take_iso(Cursor& at, Stamp& time) {
  Cursor c = at;
  std::int64_t year = 0, month = 0, day = 0, weekday = 0;
  if (c.take_one_of(kDays, weekday)) c.skip_blanks();
  Clock clock;
  if (!c.take_number(year, 4, 4) || (!c.take("-") && !c.take("/"))) return false;
  if (!c.take_number(month, 2, 2) || (!c.take("-") && !c.take("/")) || !c.take_number(day, 2, 2))
    return false;
  if (!c.take("T") && !c.take(" ")) return false;
  if (month < 1 || month > 12 || day < 1 || day > 31 || !take_clock(c, clock)) return false;
  set_wall(time, year, month, day, clock);
  take_zone(c, time);
  at = c;
  return true;
}

// "[ 1934.356558]", "[1934.356558][ T12]", and the bracketed date of dmesg -T.
bool take_bracket(Cursor& at, Stamp& time) {
  Cursor c = at;
  if (!c.take("[")) return false;
  c.skip_blanks();
  std::int64_t seconds = 0, micros = 0;
  if (c.take_number(seconds, 1, 12) && c.take_fraction(micros) && c.take("]")) {
    time.uptime_us = seconds * 1'000'000 + micros;
    if (c.left().starts_with("[")) {  // the caller: [ T12] or [ C0]
      const std::size_t end = c.left().find(']');
      if (end != std::string_view::npos && end < 12) c.take(c.left().substr(0, end + 1));
    }
    at = c;
    return true;
  }
  c = at;
  c.take("[");
  Stamp wall = time;
  if (!take_month_day(c, wall) && !take_iso(c, wall)) return false;
  while (!c.done() && c.left().front() != ']' && c.left().front() != '[') c.take(c.left().substr(0, 1));
  if (!c.take("]")) return false;
  wall.uptime_us = time.uptime_us;
  time = wall;
  at = c;
  return true;
}

// "<4>", with RFC 5424's version behind it.
bool take_priority(Cursor& at) {
  Cursor c = at;
  std::int64_t priority = 0, version = 0;
  if (!c.take("<") || !c.take_number(priority, 1, 3) || !c.take(">")) return false;
  Cursor v = c;
  if (v.take_number(version, 1, 1) && v.take(" ")) c = v;
  at = c;
  return true;
}

// "4,1234,5678901,-;" and with ",caller=T12": a raw /dev/kmsg record.
bool take_kmsg(Cursor& at, Wrapper& wrapper) {
  Cursor c = at;
  std::int64_t priority = 0, sequence = 0, micros = 0;
  if (!c.take_number(priority, 1, 4) || !c.take(",") || !c.take_number(sequence) || !c.take(",") ||
      !c.take_number(micros) || !c.take(","))
    return false;
  const std::size_t end = c.left().find(';');
  if (end == std::string_view::npos || end > 64) return false;
  c.take(c.left().substr(0, end + 1));
  wrapper.kmsg_sequence = static_cast<std::uint64_t>(sequence);
  wrapper.time.uptime_us = micros;
  at = c;
  return true;
}

// journalctl -o short-unix: "1583164691.263921 host kernel:".
bool take_unix(Cursor& at, Stamp& time) {
  Cursor c = at;
  std::int64_t seconds = 0, micros = 0;
  if (!c.take_number(seconds, 9, 11) || !c.take_fraction(micros) || !c.take(" ")) return false;
  time.wall_us = seconds * 1'000'000 + micros;
  time.zone_known = time.year_known = true;
  time.seconds_only = false;
  at = c;
  return true;
}

bool is_facility(std::string_view word) {  // "kern.warn" of busybox and logread, "kern" ":warn" of dmesg -x
  return word.starts_with("kern.") || word.starts_with("user.") || word == "kern" || word == "user" ||
         word.starts_with(":");
}

std::string_view without_brackets(std::string_view word) {
  if (word.size() > 2 && word.front() == '[' && word.back() == ']') return word.substr(1, word.size() - 2);
  return word;
}

}  // namespace

Wrapper read_wrapper(std::string_view text) {
  Wrapper wrapper;
  Cursor at(text);
  bool dated = false;
  std::string_view last_word, first_word_after_date;
  while (true) {
    at.skip_blanks();
    if (at.done()) break;
    if (take_priority(at) || take_kmsg(at, wrapper)) continue;
    if (take_bracket(at, wrapper.time)) {
      dated = true;
      continue;
    }
    if (wrapper.time.wall_us == Stamp::kNone &&
        (take_iso(at, wrapper.time) || take_month_day(at, wrapper.time) || take_unix(at, wrapper.time))) {
      dated = true;
      last_word = {};
      continue;
    }
    const std::string_view word = at.take_word();
    if (word == "kernel:" || word.starts_with("kernel[") || word == "kernel") {
      if (!last_word.empty()) wrapper.host = without_brackets(last_word);
      last_word = {};
      continue;
    }
    // grep -H and -n put "file:" and "17:" before the line; the date may be glued to them.
    if (!dated) {
      if (const std::size_t colon = word.find(':');
          colon != std::string_view::npos && colon + 1 < word.size()) {
        Cursor glued(text.substr(static_cast<std::size_t>(word.data() - text.data()) + colon + 1));
        Stamp trial = wrapper.time;
        std::int64_t number = 0;
        Cursor behind = glued;
        if (behind.take_number(number) && behind.take(":")) glued = behind;
        if (take_iso(glued, trial) || take_month_day(glued, trial) || take_bracket(glued, trial)) {
          wrapper.time = trial;
          dated = true;
          at = glued;
          continue;
        }
      }
    }
    if (is_facility(word)) continue;
    if (word == ">" || word == "|") continue;
    if (dated && first_word_after_date.empty()) first_word_after_date = word;
    last_word = word;
  }
  // "May 27 19:57:54 storm3 TRACE: …": a syslog without the kernel: tag still names its host.
  if (wrapper.host.empty() && wrapper.time.wall_us != Stamp::kNone &&
      wrapper.time.uptime_us == Stamp::kNone && !first_word_after_date.empty() &&
      !first_word_after_date.ends_with(':') && first_word_after_date == last_word)
    wrapper.host = without_brackets(first_word_after_date);
  return wrapper;
}

bool begins_like_log_line(std::string_view text) {
  Cursor at(text);
  at.skip_blanks();
  Wrapper wrapper;
  return take_priority(at) || take_kmsg(at, wrapper) || take_bracket(at, wrapper.time) ||
         take_iso(at, wrapper.time) || take_month_day(at, wrapper.time) || take_unix(at, wrapper.time);
}

}  // namespace fwtrace::trace
