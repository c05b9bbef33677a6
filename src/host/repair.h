// Repair: undoes what dead runs of fwtrace left behind when their guardian was killed too.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/arm.h"
#include "host/leftovers.h"

namespace fwtrace::host {

struct Repaired {
  std::vector<std::string> done;    // one line each: what was put back
  std::vector<std::string> failed;  // what could not be, and why
};
// The state files of `folder`, each in its own namespace; then our tables in the calling thread's namespace that no
// living process has.
base::Result<Repaired> repair_all(const std::string& folder = kStateFolder);

// A table "fwtrace-<pid>" that is not owned (the kernel removes owned ones itself) and whose process has ended.
bool is_stray(const FoundTable& table);

}  // namespace fwtrace::host
