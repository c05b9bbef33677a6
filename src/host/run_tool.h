// One run of one of the machine's own programs (nft, iptables-save, modprobe …) as a child: no shell, standard input
// only if given, English messages, none of our descriptors, a limit of time and of output, and killed with what it
// started when we are told to stop or die ourselves.
//
// "We" is the thread that runs it (PR_SET_PDEATHSIG): a thread that ends takes its child with it, and so does the
// guardian, which is a process of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::host {

struct ToolOutput {
  std::string out, err;    // of standard error the first 64 KiB
  int status = 0;          // exit status; 128 + signal
  bool timed_out = false;  // and killed
  bool cut = false;        // printed more than max_bytes, and was killed
  std::string problem;     // why it is not whole: "ended with status 1: …"; "" if it is
  bool ok() const { return problem.empty(); }
};

struct ToolLimits {
  std::chrono::milliseconds time{10'000};
  std::size_t max_bytes = std::size_t{256} << 20;
  std::string_view input = {};  // what it reads; empty: /dev/null
  int inherited = -1;           // a descriptor of ours that stays open in it
  int stop_fd = -1;             // readable: kill it and return
};

// Folders with programs: PATH, and those of administrators, which it often lacks; of PATH only what begins with '/'.
// Where the program file gives us capabilities that the user does not have (setcap), PATH is the user's word and is
// not believed.
std::vector<std::string> tool_folders();
// The program's full path; nothing if no folder has it. A name with a '/' is a path already.
std::optional<std::string> find_tool(std::string_view name,
                                     const std::vector<std::string>& folders = tool_folders());

// arguments[0] is the program's name or path. Runs in the calling thread's namespaces. Nothing if there is no such
// program or it cannot be started.
std::optional<ToolOutput> run_tool(const std::vector<std::string>& arguments, const ToolLimits& limits = {});

}  // namespace fwtrace::host
