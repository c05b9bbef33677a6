// What the two monitor dialects (nft monitor trace, xtables-monitor) share: text that went through terminals and
// mail before it came to us, and a memo of the packets it shows.
//
// Both tools print long lines, so people paste them wrapped. Two ways of wrapping are told apart: mail wraps at
// blanks, a terminal of N columns cuts every N characters, in mid-word. A reader that wants to join two parts
// tries both joints and keeps the one that it can read; where both can be read, WrapWidths decides.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "packet/packet.h"
#include "trace/dialect.h"

namespace fwtrace::trace {

// Something in a header text that could not be taken as it stands.
struct TextProblem {
  enum class Kind : std::uint8_t {
    Unknown,      // a word that is no field of ours
    Damaged,      // a field whose value cannot be read
    Cut,          // the text ends in the middle of a field
    Abbreviated,  // somebody wrote "..." or "[...]"
  };
  Kind kind = Kind::Unknown;
  std::size_t at = 0;  // offset in the text
  std::string word;
};

struct HeaderText {
  packet::Packet packet;
  std::vector<TextProblem> problems;
  std::size_t fields = 0;          // read, whether kept or not
  std::uint64_t form = 0;          // equal for equal text; filled by HeaderMemo
  bool cut() const;                // ends in the middle of a field
  std::size_t unreadable() const;  // unknown words and damaged fields
};

// Header texts already read: every base chain prints the same headers again. Bounded; form numbers only grow.
class HeaderMemo {
 public:
  template <class Read>
  const HeaderText& find_or_read(const std::string& text, Read read) {
    if (const auto at = texts_.find(text); at != texts_.end()) return at->second;
    if (texts_.size() == kMax) texts_.clear();
    HeaderText& fresh = text.size() > kMaxText ? too_long_ : texts_[text];
    fresh = read(text);
    fresh.form = ++last_;
    return fresh;
  }

 private:
  static constexpr std::size_t kMax = 1024, kMaxText = 4096;
  HeaderText too_long_;
  std::unordered_map<std::string, HeaderText> texts_;
  std::uint64_t last_ = 0;
};

// Offset of the needle at or after `from`, or npos (memmem: asked for every line of every log).
std::size_t find_text(std::string_view text, std::string_view needle, std::size_t from = 0);

// Colour codes ("\x1b[31m") and carriage returns taken out. Returns the text itself if there are none.
std::string_view without_escapes(std::string_view text, std::string& buffer);

// Behind blanks and mail's quoting ("> > ").
std::string_view without_quoting(std::string_view text);

inline constexpr std::size_t kNarrowestWrap = 40;  // shorter lines are not wrapped ones

// What the wrapped lines of one input had in common. A terminal cuts all of them at one width; mail does not.
class WrapWidths {
 public:
  // Was a line of this many characters cut by a terminal, in mid-word, rather than wrapped at a blank?
  bool hard(std::size_t width) const;
  // A line of this width turned out to be wrapped; `proven`: and only the joint without a blank could be read.
  void see(std::size_t width, bool proven);
  bool seen() const { return seen_ > 0; }

 private:
  std::size_t widest_ = 0, seen_ = 0;
  bool uneven_ = false, proven_ = false;
};

// Does the text begin as a log line of its own does (a date, "[ 12.34]", "<4>", "IN=")?
bool begins_log_line(std::string_view text);

// The next word at or behind `at`, which is moved past it. Quoted text, (…) and {…} are one word; what is not
// closed goes to the end. Empty at the end.
std::string_view take_word(std::string_view text, std::size_t& at);

// A logical line that may go on in the next physical one.
struct HeldLine {
  std::string text;        // empty: nothing is held
  std::string first;       // the first physical line, for diagnostics
  std::size_t offset = 0;  // where `text` begins in it
  bool exact = true;       // offsets in `text` are offsets in `first`, shifted by `offset`
  base::Place place;
  base::Stamp time;
  base::Name host;
  std::size_t width = 0;  // of the last physical line
  std::size_t parts = 1;
  bool closed = false;  // another line came between: nothing can continue this one

  static constexpr std::size_t kMaxParts = 64, kMaxText = 1U << 15;
  bool empty() const { return text.empty(); }
  bool full() const { return parts >= kMaxParts || text.size() >= kMaxText; }
  base::Place place_at(std::size_t at) const;  // of an offset in text
  // The two texts that a continuation could make: {joined with a blank, joined without}. The second is empty
  // where a blank stood at the joint.
  std::pair<std::string, std::string> joints(std::string_view continuation) const;
  void join(std::string joined, std::size_t new_width);
};

// As the two readers report: located, with the line.
void report(Sink& sink, const HeldLine& line, base::Severity severity, std::string_view code, std::size_t at,
            std::string message);

// Words already reported as "unknown-field", so that each is reported once.
class UnknownWords {
 public:
  bool is_new(std::string_view word);

 private:
  std::vector<std::string> seen_;
};

// Reports what is wrong with headers that begin at `offset` in the line's text.
void report_problems(Sink& sink, const HeldLine& line, const std::vector<TextProblem>& problems,
                     std::size_t offset, UnknownWords& words);

}  // namespace fwtrace::trace
