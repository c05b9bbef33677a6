// fwtrace explain RECORDING: the journeys of a recorded live run (trace -w FILE), with the rules as they were then.
#pragma once

#include <string_view>

#include "base/input.h"
#include "base/place.h"
#include "cli/run.h"
#include "cli/showing.h"

namespace fwtrace::cli {

// `first`: what was read of the input already. Without a filter of the user's own, the one that was recorded holds.
// Returns the exit status.
int explain_recording(base::Input& input, std::string_view first, Showing showing, base::Sources& sources,
                      World& world);

}  // namespace fwtrace::cli
