// The version, in one place (the build defines it from CMakeLists.txt's project()).
#pragma once

#include <string_view>

namespace fwtrace::cli {
#ifdef FWTRACE_VERSION
inline constexpr std::string_view kVersion = FWTRACE_VERSION;
#else
inline constexpr std::string_view kVersion = "0.1.0";
#endif
}  // namespace fwtrace::cli
