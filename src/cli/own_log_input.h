// `fwtrace explain` without a file: this machine's own kernel log, and what must be said about the choice.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/run.h"
#include "host/own_log.h"

namespace fwtrace::cli {

struct OwnInput {
  std::vector<std::string> paths;            // files, oldest first; "-" stands for the stream
  std::optional<host::OwnLogStream> stream;  // the journal, or kmsg
  std::string name;                          // of the stream
};

// Finds and opens it; one line on standard error says which it is.
base::Result<OwnInput> open_own_log(World& world);

}  // namespace fwtrace::cli
