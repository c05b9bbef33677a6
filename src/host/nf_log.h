// nf_log: where the kernel sends what iptables-legacy's TRACE (and LOG of conntrack) says, for each family and in
// each network namespace; and who already listens.
//
// For live tracing legacy events must go to NFLOG group 0 (net.netfilter.nf_log.2 = nfnetlink_log), and nobody else
// may hold that group. All functions speak of the calling thread's namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace fwtrace::host {

inline constexpr const char* kNetlinkLogger = "nfnetlink_log";
// Families whose events we want: IPv4, bridge, IPv6 (kernel: NFPROTO_*).
inline constexpr int kLoggedFamilies[] = {2, 7, 10};

struct NfLog {
  int family = 0;
  std::string logger;                  // "NONE" if there is none
  std::vector<std::string> available;  // what may be set
};
// /proc/net/netfilter/nf_log; empty if the kernel has none.
std::vector<NfLog> read_nf_log();
std::vector<NfLog> parse_nf_log(std::string_view text);
std::optional<std::string> find_logger(int family);
// Sets net.netfilter.nf_log.<family>. Returns the errno, 0 for success.
int set_logger(int family, const std::string& logger);

// Asks modprobe for a module; true if it ran and succeeded. Quiet where there is no modprobe or no right.
bool load_module(const std::string& name);
// Makes the netlink logger available, loading modules if need be; false: this kernel has none.
bool prepare_netlink_logger();

// One listener of NFLOG (/proc/net/netfilter/nfnetlink_log).
struct NflogListener {
  std::uint16_t group = 0;
  std::uint32_t port = 0;
};
std::vector<NflogListener> read_nflog_listeners();
std::vector<NflogListener> parse_nflog_listeners(std::string_view text);
// Who holds group 0: "ulogd (process 812)", "process 812", "netlink port 5"; nothing if it is free.
std::optional<std::string> find_group0_holder();

}  // namespace fwtrace::host
