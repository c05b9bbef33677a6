// Capabilities: which of those that tracing needs the calling thread has, and giving up the rest.
//
// Arming, listening and reading rules need CAP_NET_ADMIN in the user namespace that owns the network namespace;
// iptables-legacy-save also needs CAP_NET_RAW (its socket is a raw one); entering another namespace needs
// CAP_SYS_ADMIN, /dev/kmsg CAP_SYSLOG, modprobe CAP_SYS_MODULE.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fwtrace::host {

// Numbers are the kernel's (linux/capability.h).
enum class Capability : std::uint8_t {
  NetAdmin = 12,
  NetRaw = 13,
  SysModule = 16,
  SysPtrace = 19,
  SysAdmin = 21,
  Syslog = 34
};
std::string_view to_text(Capability capability);  // "CAP_NET_ADMIN"

bool has_capability(Capability capability);
// Fails, naming the capability and what it is for, unless the thread has it: "arming needs CAP_NET_ADMIN".
base::Result<void> require_capability(Capability capability, std::string_view purpose);

// Gives up, for good, all capabilities but these: of this thread, and of what it executes. Call it before other
// threads are started: the kernel keeps capabilities per thread.
base::Result<void> keep_only(const std::vector<Capability>& kept);

}  // namespace fwtrace::host
