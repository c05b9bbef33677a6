// The program: fills in what the outside gives (descriptors, terminal, environment) and calls cli::run.

#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <new>
#include <string>
#include <vector>

#include "base/output.h"
#include "cli/run.h"
#include "report/terminal.h"

namespace {

[[noreturn]] void out_of_memory() {
  static constexpr char kMessage[] =
      "fwtrace: error: out of memory\n"
      "fwtrace: hint: logs need little; very large rule files need about ten times their size\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  ::_exit(3);
}

}  // namespace

int main(int argc, char** argv) {
  std::set_new_handler(&out_of_memory);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is seen by write(2) and is a quiet end
  fwtrace::base::Output out(STDOUT_FILENO);
  fwtrace::base::Output err(STDERR_FILENO);
  fwtrace::cli::World world{.out = out, .err = err};
  world.in = STDIN_FILENO;
  world.terminal = ::isatty(STDOUT_FILENO) == 1;
  world.width = world.terminal ? fwtrace::report::terminal_width(STDOUT_FILENO) : 0;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  world.color = world.terminal && (no_color == nullptr || *no_color == '\0') &&
                (term == nullptr || std::strcmp(term, "dumb") != 0);
  world.progress = ::isatty(STDERR_FILENO) == 1;
  int status = fwtrace::cli::run(std::vector<std::string>(argv + 1, argv + argc), world);
  out.flush();
  if (out.write_error() != 0) {
    err.append(std::string("fwtrace: error: cannot write the output: ") + std::strerror(out.write_error()) +
               "\n");
    status = 3;
  }
  err.flush();
  return status;
}
