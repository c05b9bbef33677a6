// The self-test: does tracing work on this kernel? Not asked of its version: a child process makes a network namespace
// of its own, arms there as live tracing does, sends itself one packet over lo, and looks at what arrives. The
// namespace, the table and the nf_log setting in it end with the child; the machine's own network is not touched.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fwtrace::host {

struct SelfTest {
  bool ran = false;                // the packet was sent; else `problem` says what was in the way
  bool in_user_namespace = false;  // made without the right to make a network namespace: what root could do
  bool owner_flag = false;         // the kernel took a table with the owner flag
  bool start = false, delivered = false, nft_rule = false;  // the events that must come
  bool legacy_wanted = false;                               // there is a legacy table to trace in
  std::uint64_t nft_events = 0, legacy_events = 0, lost = 0;
  std::uint64_t microseconds = 0;  // from sending the packet to its last event
  std::string problem = {};        // one line; "" = none

  bool passed() const {
    return problem.empty() && start && delivered && nft_rule && (!legacy_wanted || legacy_events > 0);
  }
  bool operator==(const SelfTest&) const = default;
};

// Takes at most about three seconds. The caller must have no other threads: it forks.
SelfTest run_self_test();

// How the child reports: lines of "name value".
std::string print_self_test(const SelfTest& test);
SelfTest parse_self_test(std::string_view text);

}  // namespace fwtrace::host
