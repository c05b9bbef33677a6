#include "trace/monitor_text.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"

namespace fwtrace::trace {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

char closing(char opening) {
  switch (opening) {
    case '"': return '"';
    case '(': return ')';
    case '{': return '}';
    default: return '\0';
  }
}

}  // namespace

bool HeaderText::cut() const { return !problems.empty() && problems.back().kind == TextProblem::Kind::Cut; }

std::size_t HeaderText::unreadable() const {
  std::size_t count = 0;
  for (const TextProblem& problem : problems)
    count += problem.kind == TextProblem::Kind::Unknown || problem.kind == TextProblem::Kind::Damaged ? 1 : 0;
  return count;
}

std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from) {
  if (from >= text.size()) return std::string_view::npos;
  const void* at = ::memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (!at) return std::string_view::npos;
  return static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

std::string_view without_escapes(std::string_view text, std::string& buffer) {
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  if (std::memchr(text.data() ? text.data() : "", '\x1b', text.size()) == nullptr) return text;
  buffer.clear();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b') {
      buffer += text[i];
      continue;
    }
    // ECMA-48: ESC [ parameters (0x20 to 0x3f) final byte (0x40 to 0x7e); any other ESC is dropped alone.
    std::size_t end = i + 1;
    if (end >= text.size() || text[end] != '[') continue;
    ++end;
    while (end < text.size() && text[end] >= 0x20 && text[end] <= 0x3f) ++end;
    if (end < text.size() && text[end] >= 0x40 && text[end] <= 0x7e) i = end;
  }
  return buffer;
}

std::string_view without_quoting(std::string_view text) {
  while (!text.empty() && (is_blank(text.front()) || text.front() == '>')) text.remove_prefix(1);
  return text;
}

bool WrapWidths::hard(std::size_t width) const {
  static constexpr std::array<std::size_t, 9> kTerminals{80, 100, 120, 132, 140, 150, 160, 180, 200};
  if (uneven_) return false;
  if (seen_ == 0) return std::ranges::find(kTerminals, width) != kTerminals.end();
  return width == widest_ &&
         (proven_ || seen_ > 1 || std::ranges::find(kTerminals, width) != kTerminals.end());
}

void WrapWidths::see(std::size_t width, bool proven) {
  // A blank at the cut may have been trimmed away: one less is still even. A new widest after others is not.
  if (seen_ > 0 && (width + 1 < widest_ || width > widest_ + 1)) uneven_ = true;
  widest_ = std::max(widest_, width);
  ++seen_;
  if (proven) {  // knowledge beats counting
    proven_ = true;
    uneven_ = false;
    widest_ = width;
  }
}

bool begins_log_line(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kMonths{"Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ",
                                                            "Jul ", "Aug ", "Sep ", "Oct ", "Nov ", "Dec "};
  if (std::ranges::any_of(kMonths, [&](std::string_view month) { return text.starts_with(month); }))
    return true;
  if (text.starts_with("IN=") || text.starts_with("TRACE:") || text.starts_with("PACKET:")) return true;
  if (text.starts_with("20") && text.size() > 4 && text[4] == '-') return true;
  if (text.size() < 2 || (text[0] != '[' && text[0] != '<')) return false;
  std::size_t at = 1;
  while (at < text.size() && is_blank(text[at])) ++at;
  return at < text.size() && base::is_digit(text[at]);
}

std::string_view take_word(std::string_view text, std::size_t& at) {
  while (at < text.size() && base::is_space(text[at])) ++at;
  const std::size_t begin = at;
  if (begin == text.size()) return {};
  if (const char close = closing(text[begin]); close != '\0') {
    ++at;
    while (at < text.size() && text[at] != close) at += close == '"' && text[at] == '\\' ? 2 : 1;
    at = std::min(at + 1, text.size());
    return text.substr(begin, at - begin);
  }
  while (at < text.size() && !base::is_space(text[at])) ++at;
  return text.substr(begin, at - begin);
}

base::Place HeldLine::place_at(std::size_t at) const {
  base::Place result = place;
  result.column = static_cast<std::uint32_t>(offset + (exact ? at : 0) + 1);
  return result;
}

std::pair<std::string, std::string> HeldLine::joints(std::string_view continuation) const {
  const std::string_view tail = without_quoting(continuation);  // a blank at its end tells of the next joint
  const bool blank = is_blank(text.back()) || (!continuation.empty() && is_blank(continuation.front()));
  const std::string_view head = base::trim(text);
  std::string spaced(head);
  spaced.append(" ").append(tail);
  if (blank) return {std::move(spaced), {}};
  std::string tight(head);
  tight.append(tail);
  return {std::move(spaced), std::move(tight)};
}

void HeldLine::join(std::string joined, std::size_t new_width) {
  text = std::move(joined);
  width = new_width;
  ++parts;
  exact = false;
}

void report(Sink& sink, const HeldLine& line, base::Severity severity, std::string_view code, std::size_t at,
            std::string message) {
  base::Diagnostic diagnostic;
  diagnostic.severity = severity;
  diagnostic.code = code;
  diagnostic.place = line.place_at(at);
  diagnostic.message = std::move(message);
  diagnostic.line = line.first.substr(0, base::Diagnostic::kMaxLine);
  sink.diagnostic(std::move(diagnostic));
}

bool UnknownWords::is_new(std::string_view word) {
  static constexpr std::size_t kMax = 64;
  if (std::ranges::find(seen_, word) != seen_.end()) return false;
  if (seen_.size() < kMax) seen_.emplace_back(word);
  return true;
}

void report_problems(Sink& sink, const HeldLine& line, const std::vector<TextProblem>& problems,
                     std::size_t offset, UnknownWords& words) {
  for (const TextProblem& problem : problems) {
    const std::string word = "\"" + base::to_printable(std::string_view(problem.word).substr(0, 60)) + "\"";
    switch (problem.kind) {
      case TextProblem::Kind::Unknown:
        if (words.is_new(problem.word)) {
          report(sink, line, base::Severity::Note, "unknown-field", offset + problem.at,
                 word + " is not a header field that we know");
        }
        break;
      case TextProblem::Kind::Damaged:
        report(sink, line, base::Severity::Warning, "damaged-line", offset + problem.at,
               "the value of " + word + " cannot be read");
        break;
      case TextProblem::Kind::Cut:
        report(sink, line, base::Severity::Warning, "cut-line", offset + problem.at,
               problem.word.empty() ? "the line ends before any header field" : "the line ends in " + word);
        break;
      case TextProblem::Kind::Abbreviated:
        report(sink, line, base::Severity::Note, "cut-line", offset + problem.at,
               "somebody shortened the headers here; what is left out is missing");
        break;
    }
  }
}

}  // namespace fwtrace::trace
