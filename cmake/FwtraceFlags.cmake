# Compiler settings for everything of ours: the interface target `fwtrace_flags`, which every target links.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

# libstdc++ 12 is the oldest with <expected>; clang reads it from version 19 on.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_FLAGS "${CMAKE_CXX23_STANDARD_COMPILE_OPTION}")
check_cxx_source_compiles("#include <expected>
  int main() { return std::expected<int, int>(0).value(); }" FWTRACE_HAS_EXPECTED)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT FWTRACE_HAS_EXPECTED)
  message(FATAL_ERROR "This compiler has no std::expected: g++ 12 or later, or clang++ 19 or later, is needed.")
endif()

find_program(CCACHE_PROGRAM ccache)
mark_as_advanced(CCACHE_PROGRAM)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(fwtrace_flags INTERFACE)
target_include_directories(fwtrace_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(fwtrace_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast
  -Wcast-qual -Wunused -Wformat=2 -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(fwtrace_flags INTERFACE -Wduplicated-cond -Wlogical-op
    # g++ 12 reports values inside std::optional and std::variant as maybe uninitialised when they are not.
    -Wno-maybe-uninitialized)
  # A switch over an enumeration must name every enumerator: -Wswitch (in -Wall) already says so.
endif()
if(FWTRACE_WERROR)
  target_compile_options(fwtrace_flags INTERFACE -Werror)
endif()

if(FWTRACE_SANITIZE)
  add_compile_options(-fsanitize=${FWTRACE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FWTRACE_SANITIZE})
endif()

if(FWTRACE_HARDENING)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_compile_options(-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_link_options(-pie -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)
endif()

if(FWTRACE_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT FWTRACE_LTO_WORKS OUTPUT why LANGUAGES CXX)
  if(FWTRACE_LTO_WORKS)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  else()
    message(STATUS "Link-time optimisation is left out: ${why}")
  endif()
endif()
