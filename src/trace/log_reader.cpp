#include "trace/log_reader.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "trace/kernel_line.h"
#include "trace/nft_monitor.h"
#include "trace/wrapper.h"
#include "trace/xtables_monitor.h"

namespace fwtrace::trace {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

bool has(std::string_view text, std::string_view part) { return text.find(part) != kNone; }

// The first number in the text.
std::uint64_t number_in(std::string_view text) {
  const std::size_t at = text.find_first_of("0123456789");
  if (at == kNone) return 0;
  std::size_t end = at;
  while (end < text.size() && base::is_digit(text[end])) ++end;
  return base::parse_number<std::uint64_t>(text.substr(at, end - at)).value_or(0);
}

// What loggers print when they lose lines; the count stands before or behind the words.
struct LossWords {
  std::string_view words, reason;
  bool count_before;
};
constexpr LossWords kLossWords[] = {
    {"printk messages dropped", "the kernel dropped log messages", true},
    {" messages dropped", "the kernel dropped log messages", true},
    {"Missed ", "journald missed kernel messages", false},
    {"messages lost due to rate-limiting", "the syslog daemon limited the rate", true},
    {"begin to drop messages due to rate-limiting", "the syslog daemon limited the rate", false},
    {"messages suppressed", "the logger suppressed messages", true},
    {"Suppressed ", "journald suppressed messages", false},
    {"some messages lost", "dmesg was too slow: the log buffer overran", false},
    {"callbacks suppressed", "the kernel limited the rate", true},
};

const LossWords* find_loss(std::string_view text) {
  for (const LossWords& row : kLossWords) {
    if (!has(text, row.words)) continue;
    if (row.words == "Missed " && !has(text, "kernel messages")) continue;
    if (row.words == "Suppressed " && !has(text, "messages from")) continue;
    return &row;
  }
  return nullptr;
}

// Without the colours that dmesg and grep put in: "\x1b[1;31m", "\x1b[K". Any other escape stays, and is shown as text.
std::string without_colours(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b' && i + 1 < text.size() && text[i + 1] == '[') {
      std::size_t end = i + 2;
      while (end < text.size() && (base::is_digit(text[end]) || text[end] == ';')) ++end;
      if (end < text.size() && (text[end] == 'm' || text[end] == 'K')) {
        i = end;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

// A web page's &quot; and “ as the tools wrote them; "" if the line has none of these, or is no line of a monitor's.
std::string without_markup(std::string_view text) {
  struct Row {
    std::string_view written, meant;
  };
  static constexpr Row kRows[] = {{"&quot;", "\""}, {"&gt;", ">"},   {"&lt;", "<"},    {"&#39;", "'"},
                                  {"&amp;", "&"},   {"&nbsp;", " "}, {"\u201c", "\""}, {"\u201d", "\""}};
  if (!has(text, "trace id ") && !has(text, "TRACE:") && !has(text, "PACKET:")) return {};
  std::string out(text);
  for (const Row& row : kRows) {
    for (std::size_t at = 0; (at = out.find(row.written, at)) != std::string::npos; at += row.meant.size())
      out.replace(at, row.written.size(), row.meant);
  }
  return out.size() == text.size() ? std::string() : out;
}

// "[ 1934.356558] ", what differs between most lines; kNone if it is anything else.
std::int64_t read_uptime(std::string_view text) {
  std::size_t i = 1;
  while (i < text.size() && text[i] == ' ') ++i;
  std::int64_t value = 0;
  std::size_t digits = 0;
  for (; i < text.size() && digits < 12 && base::is_digit(text[i]); ++i, ++digits)
    value = value * 10 + (text[i] - '0');
  if (digits == 0 || i + 8 > text.size() || text[i] != '.' || text[i + 7] != ']')
    return read_wrapper(text).time.uptime_us;
  for (std::size_t k = i + 1; k < i + 7; ++k) {
    if (!base::is_digit(text[k])) return read_wrapper(text).time.uptime_us;
    value = value * 10 + (text[k] - '0');
  }
  return value;
}

bool is_log_header(std::string_view text) {
  return text.starts_with("-- ") &&
         (has(text, "Logs begin") || has(text, "Journal begins") || has(text, "Boot ") ||
          has(text, "Reboot") || has(text, "No entries") || has(text, "-- cursor:"));
}

// A field line of `journalctl -o export` or -o verbose, or a kmsg dictionary line (" SUBSYSTEM=net").
bool is_journal_field(std::string_view text) {
  const std::string_view body = base::trim(text);
  const std::size_t equals = body.find('=');
  if (equals == kNone || equals < 3 ||
      (body.front() != '_' && text.front() != ' ' && !has(body.substr(0, equals), "_")))
    return body.starts_with("PRIORITY=");
  return std::all_of(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(equals),
                     [](char c) { return c == '_' || (c >= 'A' && c <= 'Z') || base::is_digit(c); });
}

}  // namespace

struct LogReader::Impl {
  base::Names& names;
  Sink& sink;
  std::optional<Dialect> only;
  KernelLine kernel;
  NftMonitor nft;
  XtablesMonitor xtables;

  std::uint32_t source = 0;
  std::uint32_t line_number = 0;
  std::uint64_t lines = 0, bytes = 0;
  std::array<std::uint64_t, kLineKinds> kinds{};
  std::string carry;
  bool long_line = false;  // in the middle of a line that is read in pieces

  bool odd_bytes = false;    // escapes or unbreakable blanks are in what is being read
  std::size_t usual_at = 0;  // where "TRACE: " stood in the last line
  std::string last_wrapper;  // and what stood before it
  base::Stamp last_time;
  base::Name last_host;
  std::optional<std::uint64_t> kmsg_sequence;
  std::uint64_t inputs = 0, numbered = 0;  // of them, with kmsg sequence numbers
  bool monitors_hold = false;              // nft or xtables may hold a line back
  base::Name export_host;
  base::Stamp export_time;  // of the journal export entry that is being read

  Impl(base::Names& n, Sink& s, std::optional<Dialect> o)
      : names(n), sink(s), only(o), kernel(n, s), nft(n, s), xtables(n, s) {}

  bool wants(Dialect dialect) const { return !only || *only == dialect; }
  void count(LineKind kind) { ++kinds[static_cast<std::size_t>(kind)]; }

  base::Place place() const { return {source, line_number, 0}; }

  void report_loss(std::uint64_t number, std::string reason, const base::Stamp& time, base::Name host) {
    Loss loss;
    loss.place = place();
    loss.time = time;
    loss.host = host;
    loss.lines = number;
    loss.reason = std::move(reason);
    sink.loss(loss);
  }

  void see_sequence(std::uint64_t sequence, const base::Stamp& time) {
    if (kmsg_sequence && sequence > *kmsg_sequence + 1)
      report_loss(sequence - *kmsg_sequence - 1, "kmsg sequence gap: lost, or filtered out of this file",
                  time, {});
    if (!kmsg_sequence) ++numbered;
    kmsg_sequence = sequence;
  }

  // Most lines repeat the wrapper of the line before, or differ in the uptime only.
  void use_wrapper(std::string_view text, Line& line) {
    if (text == last_wrapper) {
      line.time = last_time;
      line.host = last_host;
      return;
    }
    const std::size_t bracket = text.rfind('[');
    if (bracket != kNone && bracket > 0 && text.size() == last_wrapper.size() &&
        last_time.uptime_us != base::Stamp::kNone &&
        std::memcmp(text.data(), last_wrapper.data(), bracket) == 0) {
      last_time.uptime_us = read_uptime(text.substr(bracket));
    } else {
      const Wrapper wrapper = read_wrapper(text);
      last_time = wrapper.time;
      last_host = names.intern(wrapper.host);
      if (wrapper.kmsg_sequence) see_sequence(*wrapper.kmsg_sequence, wrapper.time);
    }
    last_wrapper = text;
    line.time = last_time;
    line.host = last_host;
  }

  void one_line(std::string_view text) {
    ++line_number;
    ++lines;
    while (!text.empty() && (text.back() == '\r' || text.back() == '\0')) text.remove_suffix(1);
    while (!text.empty() && text.front() == '\0') text.remove_prefix(1);
    if (!start_.empty()) {
      const std::string held = std::move(start_);
      start_.clear();
      const std::string joined = join_start(held, text);
      const std::uint32_t here = line_number;
      line_number = start_number_;
      count(joined.empty() ? read_line(held) : LineKind::Continuation);
      if (!joined.empty()) {
        count(read_line(joined));
        line_number = here;
        return;
      }
      line_number = here;
    }
    if (!is_usual(text) && is_start_only(text)) {
      start_ = text;
      start_number_ = line_number;
      return;
    }
    count(read_line(text));
  }

  // The line is only the beginning of one: wrapped before its record's head was whole, or right behind the wrapper.
  std::string start_;
  std::uint32_t start_number_ = 0;
  bool is_start_only(std::string_view text) const {
    if (text.size() > 400 || !wants(Dialect::KernelLog)) return false;
    if (KernelLine::is_cut_in_head(text)) return true;
    const std::string_view body = base::trim(text);
    return body.size() > 8 && (body.ends_with("kernel:") || body.back() == ']') && begins_like_log_line(body);
  }
  static std::string join_start(const std::string& held, std::string_view text) {
    if (begins_like_log_line(text)) return {};
    while (!text.empty() && (base::is_space(text.front()) || text.front() == '>')) text.remove_prefix(1);
    // Behind "TRACE:" or the wrapper a blank was there; inside a name it was not.
    for (const char* blank : {" ", ""}) {
      std::string joined = held + blank + std::string(text);
      const KernelLine::Found found = KernelLine::find(joined);
      if (found && found.begin <= held.size() + 1 && !KernelLine::is_cut_in_head(joined) &&
          joined.find(' ', found.head) != std::string::npos)
        return joined;
    }
    return {};
  }
  void flush_start() {
    if (start_.empty()) return;
    const std::string held = std::move(start_);
    start_.clear();
    const std::uint32_t here = line_number;
    line_number = start_number_;
    count(read_line(held));
    line_number = here;
  }

  // Does TRACE: stand where it did in the line before? Most often it does.
  bool is_usual(std::string_view text) const {
    return text.size() > usual_at + 7 && std::memcmp(text.data() + usual_at, "TRACE: ", 7) == 0;
  }

  LineKind read_line(std::string_view text) {
    if (kernel.pending()) {
      if (kernel.continues(text)) {
        kernel.add_continuation(text);
        return LineKind::Continuation;
      }
      kernel.finish();
    }
    if (odd_bytes && has(text, "\xC2\xA0")) {
      // Blanks that a web page made unbreakable.
      std::string plain(text);
      for (std::size_t i = 0; (i = plain.find("\xC2\xA0", i)) != std::string::npos;) plain.replace(i, 2, " ");
      return read_line(plain);
    }
    if (odd_bytes && has(text, "\x1b")) {
      const std::string plain = without_colours(text);
      if (plain.size() != text.size()) return read_line(plain);
    }
    KernelLine::Found found;
    if (wants(Dialect::KernelLog)) {
      if (is_usual(text) && kernel.is_head(text.substr(usual_at + 7))) found = {usual_at, usual_at + 7};
      else found = KernelLine::find(text);
    }
    if (found && text.front() != '{') {
      const std::size_t at = found.begin;
      usual_at = at;
      Line line;
      line.text = text;
      line.body = found.head;
      line.place = place();
      use_wrapper(text.substr(0, at), line);
      if (line.time.wall_us == base::Stamp::kNone && export_time.known()) line.time = export_time;
      if (line.host.empty()) line.host = export_host;
      if (monitors_hold) {  // another dialect's line ends what they hold
        nft.finish();
        xtables.finish();
        monitors_hold = false;
      }
      if (has(text.substr(0, at), "message repeated ")) return repeated(line);
      return kernel.line(line);
    }
    if (!text.empty() && text.front() == '{') return json_line(text);
    if (const std::string plain = without_markup(text); !plain.empty()) return read_line(plain);
    return other_line(text);
  }

  // "message repeated 3 times: [ TRACE: … ]": rsyslog folded identical lines; each of them was an event.
  LineKind repeated(const Line& line) {
    const std::string_view before = line.text.substr(0, line.body);
    std::uint64_t times = number_in(before.substr(before.find("message repeated ")));
    static constexpr std::uint64_t kMost = 1000;
    if (times > kMost) {
      report_loss(times - kMost, "the syslog daemon folded equal lines; the first 1,000 of them are used",
                  line.time, line.host);
      times = kMost;
    }
    times = std::max<std::uint64_t>(times, 1);
    Line inner = line;
    if (inner.text.ends_with("]")) inner.text.remove_suffix(1);
    LineKind kind = LineKind::Trace;
    for (std::uint64_t i = 0; i < times; ++i) {
      kind = kernel.line(inner);
      kernel.finish();  // a cut one is not continued by its copy
    }
    return kind;
  }

  LineKind json_line(std::string_view text) {
    const auto json = read_json_line(text);
    if (!json) return other_line(text);
    Line line;
    line.text = json->message;
    line.place = place();
    line.time = json->time;
    line.host = names.intern(json->host);
    KernelLine::Found found;
    if (wants(Dialect::KernelLog)) found = KernelLine::find(json->message);
    if (!found) return dialect_line(line);
    line.body = found.head;
    if (line.time.uptime_us == base::Stamp::kNone)
      line.time.uptime_us = read_wrapper(line.text.substr(0, found.begin)).time.uptime_us;
    const LineKind kind = kernel.line(line);
    kernel.finish();  // what follows cannot be its rest
    return kind;
  }

  LineKind other_line(std::string_view text) {
    Line line;
    line.text = text;
    line.place = place();
    return dialect_line(line);
  }

  LineKind dialect_line(Line line) {
    const std::string_view text = line.text;
    if (wants(Dialect::NftMonitor) && nft.claims(text)) {
      take_time(line, text.find("trace id "));
      monitors_hold = true;
      return nft.line(line);
    }
    if (wants(Dialect::XtablesMonitor) && xtables.claims(text)) {
      monitors_hold = true;
      return xtables.line(line);
    }
    return classify(text);
  }

  void take_time(Line& line, std::size_t at) {
    if (at == kNone || at == 0 || line.time.known()) return;
    const Wrapper wrapper = read_wrapper(line.text.substr(0, at));
    line.time = wrapper.time;
    line.host = names.intern(wrapper.host);
  }

  // A line with no trace in it: what kind of other line is it?
  LineKind classify(std::string_view text) {
    const std::string_view body = base::trim(text);
    if (body.empty()) return LineKind::Blank;
    if (body.size() > 4 && base::is_digit(body.front()) && has(body.substr(0, 64), ";")) {
      const Wrapper wrapper = read_wrapper(body.substr(0, body.find(';') + 1));
      if (wrapper.kmsg_sequence) see_sequence(*wrapper.kmsg_sequence, wrapper.time);
    }
    if (has(text, "IN=") && has(text, "OUT=")) return LineKind::Log;
    if (is_log_header(body)) return LineKind::Header;
    if (const LossWords* loss = find_loss(text)) {
      const std::size_t at = text.find(loss->words);
      std::uint64_t number = 0;
      if (loss->count_before) {
        std::size_t begin = text.substr(0, at).find_last_not_of(' ');
        if (begin != kNone) {
          const std::size_t end = begin + 1;
          while (begin > 0 && base::is_digit(text[begin - 1]) && base::is_digit(text[begin])) --begin;
          number = number_in(text.substr(begin, end - begin));
        }
      } else {
        number = number_in(text.substr(at));
      }
      const Wrapper wrapper = read_wrapper(text.substr(0, at));
      report_loss(number, std::string(loss->reason), wrapper.time, names.intern(wrapper.host));
      return LineKind::LossNote;
    }
    if (has(text, "last message repeated ") || has(text, "message repeated ")) return LineKind::RepeatNote;
    if (text.starts_with("__REALTIME_TIMESTAMP=")) {
      if (const auto micros = base::parse_number<std::int64_t>(text.substr(21))) {
        export_time = {};
        export_time.wall_us = *micros;
        export_time.zone_known = export_time.year_known = true;
        export_time.seconds_only = false;
      }
    }
    if (body.starts_with("_HOSTNAME=")) export_host = names.intern(body.substr(10));
    if (is_journal_field(text)) return LineKind::Header;
    return LineKind::Foreign;
  }

  // A line without an end in sight: read what is whole of it, keep the rest.
  void shorten_carry() {
    if (!long_line) {
      base::Diagnostic d;
      d.code = "long-line";
      d.place = {source, line_number + 1, 0};
      d.message = "a line is longer than " + std::to_string(kMaxLine >> 20) + " MiB; it is read in pieces";
      d.line = carry.substr(0, 80);
      sink.diagnostic(std::move(d));
      long_line = true;
    }
    std::size_t cut = carry.rfind("TRACE:");
    if (cut == kNone || cut == 0) cut = carry.size();
    if (read_line(std::string_view(carry).substr(0, cut)) == LineKind::Trace) saw_trace_in_long_line = true;
    carry.erase(0, cut);
  }
  bool saw_trace_in_long_line = false;

  void end_line(std::string_view text) {
    if (!long_line) return one_line(text);
    flush_start();
    ++line_number;
    ++lines;
    const LineKind kind = read_line(text);
    count(saw_trace_in_long_line ? LineKind::Trace : kind);
    long_line = saw_trace_in_long_line = false;
  }
};

LogReader::LogReader(base::Names& names, Sink& sink, std::optional<Dialect> only)
    : impl_(std::make_unique<Impl>(names, sink, only)) {}
LogReader::~LogReader() = default;

void LogReader::begin(std::uint32_t source) {
  impl_->source = source;
  ++impl_->inputs;
  impl_->line_number = 0;
  impl_->kmsg_sequence.reset();
  impl_->export_time = {};
  impl_->export_host = {};
}

void LogReader::push(std::string_view chunk) {
  if (chunk.empty()) return;
  Impl& in = *impl_;
  in.bytes += chunk.size();
  in.odd_bytes = std::memchr(chunk.data(), '\x1b', chunk.size()) != nullptr ||
                 std::memchr(chunk.data(), '\xC2', chunk.size()) != nullptr ||
                 in.carry.find_first_of("\x1b\xC2") != std::string::npos;
  while (!chunk.empty()) {
    const void* hit = std::memchr(chunk.data(), '\n', chunk.size());
    if (hit == nullptr) {
      while (!chunk.empty()) {
        const std::size_t room = kMaxLine - std::min(kMaxLine, in.carry.size());
        in.carry.append(chunk.substr(0, room));
        chunk.remove_prefix(std::min(room, chunk.size()));
        if (in.carry.size() >= kMaxLine) in.shorten_carry();
      }
      return;
    }
    const auto length = static_cast<std::size_t>(static_cast<const char*>(hit) - chunk.data());
    if (in.carry.empty()) {
      in.end_line(chunk.substr(0, length));
    } else {
      in.carry.append(chunk.substr(0, length));
      in.end_line(in.carry);
      in.carry.clear();
    }
    chunk.remove_prefix(length + 1);
  }
}

void LogReader::finish() {
  Impl& in = *impl_;
  if (!in.carry.empty() || in.long_line) {
    in.end_line(in.carry);
    in.carry.clear();
  }
  in.flush_start();
  in.kernel.finish();
  in.nft.finish();
  in.xtables.finish();
}

std::uint64_t LogReader::lines() const { return impl_->lines; }
std::uint64_t LogReader::bytes() const { return impl_->bytes; }
bool LogReader::shows_losses() const { return impl_->numbered > 0 && impl_->numbered == impl_->inputs; }
const std::array<std::uint64_t, kLineKinds>& LogReader::line_kinds() const { return impl_->kinds; }

}  // namespace fwtrace::trace
