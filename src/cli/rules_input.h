// --rules FILE…, --rules live: reading the user's rule files, or the running rules, into one Rulebook, and what must
// be said about them.
#pragma once

#include <string>
#include <vector>

#include "base/place.h"
#include "base/result.h"
#include "cli/run.h"
#include "ruleset/model.h"

namespace fwtrace::cli {

// Reads every file, or the running rules for the one word "live"; what is odd is said on standard error. Fails if a
// file cannot be read or holds no rules.
base::Result<ruleset::Rulebook> read_rule_files(const std::vector<std::string>& paths, World& world,
                                                base::Sources& sources);

// The rules that this machine has now, in the network namespace we are in; what could not be read is said on standard
// error. Fails without CAP_NET_ADMIN. No rules at all are a result too.
base::Result<ruleset::Rulebook> read_live_rules(World& world, base::Sources& sources);

}  // namespace fwtrace::cli
