// Runs another program of the machine (nft, iptables-save) and takes what it prints: no shell, no standard input unless
// given, the C locale, a bound on time and size. It inherits the calling thread's namespaces and none of our descriptors
// but the one that is named.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::host {

struct ToolOutput {
  std::string out, err;
  int status = 0;          // exit status; 128 + signal
  bool timed_out = false;  // and killed
  bool cut = false;        // printed more than max_bytes
  bool ok() const { return status == 0 && !timed_out && !cut; }
};

struct ToolLimits {
  std::chrono::milliseconds time{10'000};
  std::size_t max_bytes = std::size_t{256} << 20;
  std::string_view input = {};  // what it reads; empty: /dev/null
  int inherited = -1;           // a descriptor of ours that stays open in it
};

// The full path of a program: in PATH, then where administrators' programs are though a user's PATH lacks it.
std::optional<std::string> find_tool(std::string_view name);

// arguments[0] is the program's name or path. Nothing if there is no such program or it cannot be started.
std::optional<ToolOutput> run_tool(const std::vector<std::string>& arguments, const ToolLimits& limits = {});

}  // namespace fwtrace::host
