// fwtrace [trace] FILTER: what happens to these packets on this machine, live.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/run.h"

namespace fwtrace::cli {

extern const CommandRow kTrace;
int trace_live(const std::vector<std::string>& args, World& world);

}  // namespace fwtrace::cli
