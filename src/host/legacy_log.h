// How the events of iptables-legacy come to us: by NFLOG group 0 on our own socket, or, where somebody else holds that
// group or the kernel has no NFLOG, from the kernel log.
//
// Each thing that is in the way is one line, and none is said where no legacy table is loaded in this namespace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/guardian.h"
#include "host/kmsg.h"
#include "host/netlink_socket.h"

namespace fwtrace::host {

struct LegacyLog {
  bool heard = false;  // events of iptables-legacy arrive
  std::optional<KernelLog> kernel_log;
  std::vector<std::string> notes;
};
// Sets nf_log for IPv4 and IPv6 in the calling thread's namespace; the guardian will put it back.
// `needed`: legacy events will be asked for even if no legacy table is loaded yet.
base::Result<LegacyLog> open_legacy_log(NetlinkSocket& socket, Guardian& guardian, bool needed);

// Which tables of iptables-legacy (or ip6tables-legacy) are loaded in this namespace: "filter", "raw".
struct LegacyTables {
  std::vector<std::string> ipv4, ipv6;
  bool known = true;  // false: the kernel does not tell us (the file is root's)
  bool none() const { return known && ipv4.empty() && ipv6.empty(); }
};
LegacyTables find_legacy_tables();

}  // namespace fwtrace::host
