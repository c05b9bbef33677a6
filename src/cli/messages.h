// How fwtrace speaks on standard error: "fwtrace: error: …", then hints; and the exit status of each error.
#pragma once

#include <string_view>

#include "base/diagnostic.h"
#include "base/result.h"
#include "cli/run.h"

namespace fwtrace::cli {

inline constexpr int kDone = 0, kNo = 1, kUsage = 2, kInput = 3, kPermission = 4, kStrict = 5;

int report_error(World& world, const base::Error& error);  // returns its exit status
void warn(World& world, std::string_view message);
void hint(World& world, std::string_view message);
// A diagnostic with its place, line and hints.
void report_diagnostic(World& world, const base::Diagnostic& diagnostic, const base::Sources& sources);

}  // namespace fwtrace::cli
