// CHECK: for bugs of ours, never for input. It stays on in release builds: a wrong answer at 3 a.m. is worse
// than a stop that names the line.
#pragma once

namespace fwtrace::base {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace fwtrace::base

#define CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::fwtrace::base::check_failed(#condition, __FILE__, __LINE__))
