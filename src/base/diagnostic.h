// Diagnostics: odd input, located, named and counted. They never end a run.
//
// A diagnostic has a stable code (such as "damaged-line"); Diagnostics keeps an exact count for each code and
// the first few of each in full, so memory stays bounded however bad the input is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/place.h"

namespace fwtrace::base {

enum class Severity { Note, Warning, Error };
std::string_view to_text(Severity severity);  // "note", "warning", "error"

struct Diagnostic {
  Severity severity = Severity::Warning;
  std::string_view code;  // a string literal; what is counted
  Place place;
  std::string message;             // lower case, no full stop
  std::vector<std::string> hints;  // what to do about it
  std::string line;                // the input line it is about, cut to kMaxLine bytes; may be empty
  static constexpr std::size_t kMaxLine = 400;
};

class Diagnostics {
 public:
  static constexpr std::size_t kKept = 8;  // of each code, kept in full

  struct Kind {
    std::string_view code;
    Severity severity = Severity::Warning;
    std::uint64_t count = 0;
    std::vector<Diagnostic> first;  // at most kKept
  };

  void add(Diagnostic diagnostic);
  const std::vector<Kind>& kinds() const { return kinds_; }  // in order of first appearance
  std::uint64_t count(std::string_view code) const;

 private:
  std::vector<Kind> kinds_;
};

// "kern.log:3:60: warning: the line is damaged …", then the line and a caret under the column.
std::string print_diagnostic(const Diagnostic& diagnostic, const Sources& sources);

}  // namespace fwtrace::base
