// fwtrace explain FILE… [--rules FILE…] [FILTER]: what happened, from a log.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/run.h"

namespace fwtrace::cli {

extern const CommandRow kExplain;
int explain(const std::vector<std::string>& args, World& world);

}  // namespace fwtrace::cli
