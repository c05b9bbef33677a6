// One run of one of the machine's own programs (nft, iptables-save …) as a child: no shell, nothing on standard
// input, English messages, a time limit, an output limit, and killed when we are told to stop or die ourselves.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::host {

struct ListingLimits {
  std::chrono::milliseconds time = std::chrono::seconds(20);
  std::size_t output = std::size_t{256} << 20;
  int stop_fd = -1;  // readable: kill the child and return. -1: none
};

struct ToolRun {
  std::string output;   // standard output
  std::string problem;  // why it is not whole: "ended with status 1: …"; "" if it is
};

// Folders with programs: PATH, and those of administrators, which it often lacks. Where the program file gives us
// capabilities that the user does not have (setcap), PATH is the user's word and is not believed.
std::vector<std::string> tool_folders();
// The program's path; nothing if no folder has it.
std::optional<std::string> find_tool(std::string_view name, const std::vector<std::string>& folders);

// Runs in the calling thread's namespaces. `arguments` are those behind the program's name.
ToolRun run_listing(const std::string& path, const std::vector<std::string>& arguments,
                    const ListingLimits& limits);

}  // namespace fwtrace::host
