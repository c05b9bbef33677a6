// fwtrace [trace] FILTER: what happens to these packets on this machine, live.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options.h"
#include "cli/run.h"

namespace fwtrace::cli {

extern const CommandRow kTrace;
// Facts in a recording's head: how much higher raw's numbers are than the user's.
inline constexpr std::string_view kRawShiftV4 = "raw_shift_v4", kRawShiftV6 = "raw_shift_v6";
// And: iptables-legacy was heard by the kernel log; nothing but TRACE rules was armed.
inline constexpr std::string_view kWithKernelLog = "kernel_log", kWithoutMarkers = "no_markers",
                                  kWithoutLegacy = "no_legacy";
int trace_live(const std::vector<std::string>& args, World& world);

}  // namespace fwtrace::cli
