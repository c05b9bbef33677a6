// fwtrace doctor: can tracing work here, and if nothing appears, why not.
#pragma once

#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/run.h"

namespace fwtrace::cli {

extern const CommandRow kDoctor;
int doctor(const std::vector<std::string>& args, World& world);

}  // namespace fwtrace::cli
