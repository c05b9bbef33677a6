// The terminal form: one block a journey, the verdict first, the reason second, then the path folded to what
// matters. Plain and stable when piped; nothing hostile in a log or a rule reaches the terminal.
#pragma once

#include <memory>

#include "base/output.h"
#include "base/place.h"
#include "journey/journey.h"
#include "journey/summary.h"

namespace fwtrace::report {

struct TextStyle {
  enum class Detail { Quiet, Normal, Verbose };  // -q: one line a journey; -v: every step
  Detail detail = Detail::Normal;
  int width = 0;  // columns; 0 = do not wrap (a pipe)
  bool color = false;
  bool rules_given = false;  // did the user give a ruleset? decides the hints
  bool live = false;         // nothing is held back: a retransmission is one line, at once
};

class TextReport {
 public:
  TextReport(base::Output& out, const base::Sources& sources, TextStyle style);
  ~TextReport();
  void journey(
      const journey::Journey& journey);  // may be held back a while, to fold retransmits (×4, 1 s 2 s 4 s)
  void finish(const journey::Summary& summary);  // what was held back, then the summary

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fwtrace::report
