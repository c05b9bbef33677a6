// One line of one dialect: what every text reader in this room implements, and how the log reader asks it.
//
// The log reader (log_reader.h) cuts input into lines, strips the wrapper (syslog, dmesg, journald …) and offers
// each line to the dialects in turn. A dialect keeps whatever it must remember from line to line.
#pragma once

#include <string_view>

#include "trace/event.h"

namespace fwtrace::trace {

// A line without its line end, and what its wrapper said.
struct Line {
  std::string_view text;  // the whole line, for diagnostics
  std::size_t body = 0;   // where the text behind the wrapper begins in it
  base::Place place;      // line number; column is for the dialect to fill (1-based, bytes)
  base::Stamp time;
  base::Name host;
};

}  // namespace fwtrace::trace
