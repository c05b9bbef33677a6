// What the words of `fwtrace trace` ask for: read and checked before anything of the kernel is asked or changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/options.h"
#include "cli/run.h"
#include "cli/showing.h"
#include "packet/filter.h"

namespace fwtrace::cli {

struct TraceSettings {
  Showing showing;
  bool replies = true, all = false, allow_insert = false;
  std::uint32_t rate = 100;
  std::optional<std::chrono::milliseconds> time;
  std::string where, recording;
};

base::Result<TraceSettings> read_trace_settings(const Options& options, const packet::Filter& filter,
                                                const World& world);
std::string print_time(std::chrono::milliseconds time);  // "500 ms", "30 s", "2 h"

}  // namespace fwtrace::cli
