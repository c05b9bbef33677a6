// The packet part of an xtables-monitor line: "IN=vc MACSRC=… SRC=10.9.1.2 DST=10.9.2.2 LEN=60 … SPORT=1 SYN ".
//
// Written by trace_print_packet of iptables' iptables/xtables-monitor.c. It resembles the kernel's log and is not
// the same: no PROTO=, ports are SPORT= and DPORT=, MAC addresses have one-digit groups, IPv6 addresses are
// short, and there are slips of the pen that have to be read as well (see the .cpp).
#pragma once

#include <string_view>

#include "base/names.h"
#include "trace/monitor_text.h"

namespace fwtrace::trace {

// Never fails: what cannot be read is a problem, and reading goes on at the next word.
HeaderText read_xtables_headers(std::string_view text, base::Names& names);

}  // namespace fwtrace::trace
