// --rules FILE…: reading the user's rule files into one Rulebook, and what must be said about them.
#pragma once

#include <string>
#include <vector>

#include "base/place.h"
#include "base/result.h"
#include "cli/run.h"
#include "ruleset/model.h"

namespace fwtrace::cli {

// Reads every file; what is odd is said on standard error. Fails if a file cannot be read or holds no rules.
base::Result<ruleset::Rulebook> read_rule_files(const std::vector<std::string>& paths, World& world,
                                                base::Sources& sources);

}  // namespace fwtrace::cli
