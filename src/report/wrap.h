// Wrap: lines that fit the terminal, with a hanging indent, and the few colours we use.
#pragma once

#include <string>
#include <string_view>

#include "journey/journey.h"

namespace fwtrace::report {

// Appends text at blanks broken so that no line passes `width` columns (0: never broken). The text begins at
// `column`; what wraps is indented by `indent`. Runs of blanks inside a line are kept; a word longer than the line
// is left whole, so that it can be copied. Our own colour sequences take no columns. Returns the column reached.
std::size_t append_wrapped(std::string& out, std::string_view text, std::size_t column, std::size_t indent,
                           int width);

// Columns that text takes on a terminal, colour sequences not counted.
std::size_t visible_width(std::string_view text);

// Colours repeat what words and marks already say.
struct Paint {
  bool color = false;
  void dim(std::string& out, std::string_view text) const { paint(out, "\x1b[2m", text); }
  void outcome(std::string& out, journey::OutcomeKind kind, std::string_view text) const;

 private:
  void paint(std::string& out, std::string_view sequence, std::string_view text) const;
};

}  // namespace fwtrace::report
