// Small files of /proc and /sys, which have no size and are read whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fwtrace::host {

// The whole file; nothing if it cannot be read. Never follows a path longer than PATH_MAX; at most 64 MiB.
std::optional<std::string> read_proc(const std::string& path);
// Writes a value as one write(2), as sysctls want it. The errno of a failure is returned, 0 for success.
int write_proc(const std::string& path, std::string_view value);

// The numbers of the processes that can be seen under `proc` ("/proc"), ascending.
std::vector<int> list_processes(const std::string& proc = "/proc");
// Process name ("sshd"), parent and when it began; nothing if there is no such process.
struct ProcessInfo {
  std::string name;
  int parent = 0;
  std::uint64_t started = 0;  // clock ticks since boot
};
std::optional<ProcessInfo> find_process(int pid, const std::string& proc = "/proc");
// What /proc/<pid>/fd/* point to that begins with `prefix`: "socket:[1234]" …
std::vector<std::string> list_fd_targets(int pid, std::string_view prefix, const std::string& proc = "/proc");

// "Operation not permitted"
std::string print_errno(int error);

}  // namespace fwtrace::host
