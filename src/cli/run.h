// The whole of fwtrace as one function, so that a test can call what a user types.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/output.h"

namespace fwtrace::cli {

// Everything the outside gives a run; main() fills it from the process, tests fill it themselves.
struct World {
  base::Output& out;        // standard output
  base::Output& err;        // standard error
  int in = 0;               // file descriptor of standard input
  bool terminal = false;    // is standard output a terminal
  int width = 0;            // its columns; 0 = unknown: do not wrap
  bool color = false;       // may colour be used with --color=auto (a terminal, and no NO_COLOR)
  std::string_view root{};  // before the paths of this machine's own files: "" but in tests
  bool progress = false;    // is standard error a terminal: long work may show its progress there
};

// args: the words after the program's name. Returns the exit status (design: 0 done, 1 the answer is no, 2 bad
// usage, 3 input not understood, 4 permission or kernel support missing, 5 --strict and something is open).
int run(const std::vector<std::string>& args, World& world);

}  // namespace fwtrace::cli
