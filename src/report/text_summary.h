// The end of a text report: what the whole run held, what was lost, and what was not understood.
#pragma once

#include <string>

#include "base/place.h"
#include "journey/summary.h"
#include "report/text.h"

namespace fwtrace::report {

// With Detail::Quiet the counts and losses only: one line, so that one line a journey stays easy to read by machine.
void append_summary(std::string& out, const journey::Summary& summary, const base::Sources& sources,
                    const TextStyle& style);

}  // namespace fwtrace::report
