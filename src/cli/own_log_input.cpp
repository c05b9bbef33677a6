#include "cli/own_log_input.h"

#include <sys/stat.h>

#include "cli/messages.h"

namespace fwtrace::cli {

base::Result<OwnInput> open_own_log(World& world) {
  TRY(const host::OwnLog log, host::find_own_log(std::string(world.root)));
  OwnInput input;
  input.name = log.name;
  if (log.kind == host::OwnLog::Kind::Files) {
    input.paths = log.files;
  } else {
    TRY(input.stream, host::OwnLogStream::open(log));
    input.paths = {"-"};
  }
  for (const std::string& better : log.passed_over) {
    warn(world, better);
    hint(world, "that log is the better one; it belongs to root and to the group adm: try with sudo");
  }
  world.err.append("fwtrace: reading " + log.words + "\n");
  struct stat status{};
  if (::fstat(world.in, &status) == 0 && S_ISFIFO(status.st_mode))
    hint(world, "what comes through the pipe is not read; for that say: fwtrace explain -");
  world.err.flush();
  return input;
}

}  // namespace fwtrace::cli
