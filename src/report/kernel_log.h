// The kernel-log form: the line the kernel itself would have logged for a step, byte for byte for every field
// that the journey holds (kernel: net/netfilter/nf_log_syslog.c dump_ipv4_packet, dump_ipv6_packet,
// net/ipv4/netfilter/ip_tables.c trace_packet). Reading the lines back gives the same journey.
#pragma once

#include <string>

#include "journey/journey.h"

namespace fwtrace::report {

// Appends "IN=em1 OUT= MAC=… SRC=… … URGP=0 " without a newline; ends in a space exactly where the kernel's does.
void append_kernel_packet(std::string& out, const packet::Packet& packet);

// Appends "TRACE: filter:FORWARD:rule:7 IN=… " and a newline for a step. Steps without headers of their own use
// those of the form they belong to. For a step that a legacy line cannot name (an nft rule has no number) the
// handle stands in the number's place only if number is 0; Headers steps append nothing.
void append_kernel_line(std::string& out, const journey::Journey& journey, const journey::Step& step);

}  // namespace fwtrace::report
