// The packet part of an nft trace line: `iif "eth0" ether saddr … ip saddr … tcp dport 22 tcp flags == syn`.
//
// Written by nft's trace_print_packet (src/netlink.c, src/trace.c since 1.0.8) with the printer for rules, so it
// is "protocol field value" throughout; the names of values differ between versions and with -n and -S.
#pragma once

#include <string_view>

#include "base/names.h"
#include "trace/monitor_text.h"

namespace fwtrace::trace {

// Never fails: what cannot be read is a problem, and reading goes on at the next field.
// A packet with a problem other than Unknown is marked damaged.
HeaderText read_nft_headers(std::string_view text, base::Names& names);

// Could this word begin a field ("ip", "tcp", "@th,64,96", "iif")?
bool is_nft_field_word(std::string_view word);

}  // namespace fwtrace::trace
