// The running machine's rules, as its own tools print them (ruleset/capture.h says what a capture is).
//
// Only tools that change nothing are run, and only where there is something for them to print: `nft -t -a list
// ruleset` (never loads the elements of sets), iptables-nft-save and its like if nft lists tables of theirs,
// iptables-legacy-save if the kernel names legacy tables. `iptables-legacy -t X` would create table X.
//
// Tools need CAP_NET_ADMIN; iptables-legacy-save needs CAP_NET_RAW and, without root's number, CAP_DAC_READ_SEARCH
// (/proc/net/ip_tables_names is root's). Give up capabilities with these kept.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "host/fd.h"
#include "host/run_tool.h"
#include "ruleset/capture.h"

namespace fwtrace::host {

// nft's generation in the namespace of the thread that opened it, on a socket of its own: about 2 µs.
class GenerationReader {
 public:
  static std::optional<GenerationReader> open();
  // Nothing without nf_tables or without CAP_NET_ADMIN.
  std::optional<std::uint32_t> read();

 private:
  Fd fd_;
  std::uint32_t sequence_ = 0;
};

struct CaptureOptions {
  ToolLimits tool{.time = std::chrono::seconds(20)};
  // Rules that change all the time: after so many tries or so long, the last try is taken, and is not exact.
  int tries = 10;
  std::chrono::milliseconds time = std::chrono::seconds(30);
  std::vector<std::string> folders = tool_folders();
};

// In the calling thread's namespace. What could not be listed is said in `problems`.
ruleset::Capture capture_rules(const CaptureOptions& options = {});

// Captures in the background, in the network namespace of the thread that starts it (a new thread inherits it).
// Start it before capabilities are given up, or with those above kept.
class RulesCapturer {
 public:
  static base::Result<std::unique_ptr<RulesCapturer>> start(CaptureOptions options = {});
  RulesCapturer(const RulesCapturer&) = delete;
  RulesCapturer& operator=(const RulesCapturer&) = delete;
  ~RulesCapturer();  // kills what is running

  // One capture that begins after this call. Several requests before it begins are one.
  void request();
  // The oldest finished capture that was not taken yet. If nobody takes them, only the newest 8 are kept.
  std::optional<ruleset::Capture> take();
  // Readable while there is something to take.
  int ready_fd() const { return ready_.get(); }
  bool busy() const;  // a capture is requested or running

  // For the thread that started it.
  std::optional<std::uint32_t> generation();

 private:
  RulesCapturer() = default;
  void work();

  static constexpr std::size_t kKept = 8;
  CaptureOptions options_;
  std::optional<GenerationReader> generation_;
  Fd ready_, stop_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ruleset::Capture> finished_;
  bool requested_ = false, running_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace fwtrace::host
