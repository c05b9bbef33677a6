// How the events of iptables-legacy come to us: by NFLOG group 0 on our own socket, if nobody else holds it.
//
// Each thing that is in the way is one line, and none is said where no legacy table is loaded in this namespace.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/guardian.h"
#include "host/netlink_socket.h"

namespace fwtrace::host {

struct LegacyLog {
  bool heard = false;  // events of iptables-legacy arrive
  std::vector<std::string> notes;
};
// Sets nf_log for IPv4 and IPv6 in the calling thread's namespace; the guardian will put it back.
base::Result<LegacyLog> open_legacy_log(NetlinkSocket& socket, Guardian& guardian);

// Which tables of iptables-legacy (or ip6tables-legacy) are loaded in this namespace: "filter", "raw".
struct LegacyTables {
  std::vector<std::string> ipv4, ipv6;
  bool known = true;  // false: the kernel does not tell us (the file is root's)
  bool none() const { return known && ipv4.empty() && ipv6.empty(); }
};
LegacyTables find_legacy_tables();

}  // namespace fwtrace::host
