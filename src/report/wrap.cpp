#include "report/wrap.h"

#include "report/words.h"

namespace fwtrace::report {
namespace {

// The length of a colour sequence ("\x1b[…m") at the front of text, or 0.
std::size_t sequence_length(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  const std::size_t end = text.find('m');
  return end == std::string_view::npos ? 0 : end + 1;
}

}  // namespace

std::size_t visible_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    if (const std::size_t n = sequence_length(text); n > 0) {
      text.remove_prefix(n);
      continue;
    }
    width += (static_cast<unsigned char>(text.front()) & 0xC0) != 0x80 ? 1U : 0U;
    text.remove_prefix(1);
  }
  return width;
}

std::size_t append_wrapped(std::string& out, std::string_view text, std::size_t column, std::size_t indent,
                           int width) {
  if (width <= 0) {
    out += text;
    return column + visible_width(text);
  }
  const auto limit = static_cast<std::size_t>(width);
  if (indent + 20 > limit)
    indent = limit > 24 ? 4 : 0;  // a narrow terminal: the text matters more than the column
  while (!text.empty()) {
    const std::size_t blanks = std::min(text.find_first_not_of(' '), text.size());
    const std::size_t end = std::min(text.find(' ', blanks), text.size());
    const std::string_view word = text.substr(blanks, end - blanks);
    const std::size_t word_width = visible_width(word);
    if (column + blanks + word_width > limit && column > indent && word_width > 0) {
      while (out.ends_with(' ')) out.pop_back();
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else {
      out.append(blanks, ' ');
      column += blanks;
    }
    out += word;
    column += word_width;
    text.remove_prefix(end);
  }
  return column;
}

void Paint::outcome(std::string& out, journey::OutcomeKind kind, std::string_view text) const {
  const std::string_view mark = mark_of(kind);
  paint(out,
        mark == "✗"   ? "\x1b[1;31m"
        : mark == "✓" ? "\x1b[1;32m"
        : mark == "?" ? "\x1b[1;33m"
                      : "\x1b[1;36m",
        text);
}

void Paint::paint(std::string& out, std::string_view sequence, std::string_view text) const {
  if (!color || text.empty()) {
    out += text;
    return;
  }
  out += sequence;
  out += text;
  out += "\x1b[0m";
}

}  // namespace fwtrace::report
