// Tracing: everything between "these packets, please" and events that arrive: which rung of the ladder this kernel
// allows, what was armed, what is listened to, and how all of it is undone.
//
//   rung 1  our own nft table with the owner flag                         the kernel removes it, however we die
//   rung 2  the same table without the flag (before 5.12)                 dead man's switch, guardian
//   rung 3  TRACE rules with a time limit in the user's raw table         only with allow_insert; shifts numbers by one
// Legacy events come by NFLOG group 0, or, where somebody else holds it or the kernel has none, from /dev/kmsg.
//
// Rungs are found by trying, never by version. Each step down is one line in notes().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/arm.h"
#include "host/arming_rules.h"
#include "host/leftovers.h"

namespace fwtrace::host {

struct TracingWish {
  ArmingWish arming;
  ArmingLimits limits;
  bool allow_insert = false;
};

// For tests: forbids what this kernel could do, so that the lower rungs can be shown on it.
struct TracingKnobs {
  bool try_nft = true, try_owner = true;
  std::string state_folder = kStateFolder;
};

struct TracingReceiver {
  std::function<void(std::span<const std::uint8_t>)> datagram;  // netlink messages (NFLOG, nft trace)
  std::function<void(std::string_view)> kernel_log;  // text of /dev/kmsg, any chunk; rung with kmsg only
  std::function<void(bool)> hole = {};      // around the datagrams among which they are missing (Listener)
  std::function<void(std::uint64_t)> lost;  // messages that the socket lost, exact
  std::function<bool()> tick;               // at least every 100 ms; false ends run()
  std::function<bool()> waits = {};         // while true: at least every 10 ms
};

class Tracing {
 public:
  // Arms in the calling thread's network namespace. All threads of the process must be this one.
  static base::Result<std::unique_ptr<Tracing>> start(const TracingWish& wish,
                                                      const TracingKnobs& knobs = {});
  ~Tracing();  // stop()
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;

  const ArmingPlan& plan() const;
  // One line for each thing that is less than wished for: "this kernel has no owner flag for tables: …".
  const std::vector<std::string>& notes() const;
  bool legacy_events() const;     // do events of iptables-legacy arrive
  bool reads_kernel_log() const;  // from /dev/kmsg, and so in a queue of their own
  bool has_markers() const;       // a table of ours stands (rungs 1 and 2)
  // 1 if a rule of ours stands first in raw PREROUTING and OUTPUT of that IP version (rung 3): the kernel's numbers
  // there are one higher. Events in raw chains named "fwtrace-…" are our own.
  std::uint32_t raw_shift(packet::IpVersion version) const;

  // Until tick() says false or SIGINT, SIGTERM or SIGHUP comes.
  void run(const TracingReceiver& receiver);
  // Lowers (or raises) the packets armed per second while armed; false if that could not be done.
  bool set_rate(std::uint32_t packets_per_second);
  // Takes everything back; what could not be, one line each. Events of armed packets may still be in the socket:
  // run() once more with a tick that ends it gives them.
  std::vector<std::string> stop();
  std::optional<ArmingCounters> counters() const;  // also behind stop(): as they were then

 private:
  Tracing();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fwtrace::host
