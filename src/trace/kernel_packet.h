// The packet part of a kernel log line: "IN=em1 OUT= MAC=… SRC=… PROTO=TCP SPT=… URGP=0 OPT (…)".
//
// Written by nf_log_syslog (net/netfilter/nf_log_syslog.c) for LOG, nft log and TRACE alike; ulogd's LOGEMU is
// near enough to be read too. The order of fields is the kernel's, but reading does not depend on it except
// where a word has two meanings (LEN, ID, SEQ, ACK): then what came before decides, as it does in the kernel.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/names.h"
#include "packet/packet.h"

namespace fwtrace::trace {

struct PacketScan {
  std::size_t end = 0;        // offset where reading stopped: the end, or a word that is not ours
  bool complete = false;      // all that the kernel prints for this protocol was there
  bool abbreviated = false;   // somebody wrote "..." instead of the rest
  bool masked = false;        // somebody hid a value ("x.x.x.x", "<client>")
  bool damaged = false;       // a field's value could not be read; it is missing in the packet
  std::size_t damage_at = 0;  // offset of the first damage
};

// Reads fields into `packet` until the text ends or a word comes that is no field ("TRACE:", the date of a joined
// line, damage). Never fails; the caller looks at `end` and decides.
PacketScan scan_packet(std::string_view text, base::Names& names, packet::Packet& packet);

// Goes on after a word that was not understood, for damaged lines: as scan_packet, into the same packet.
PacketScan resume_packet(std::string_view text, std::size_t from, base::Names& names, packet::Packet& packet);

// Does this word look like one that nf_log prints ("SRC=10.0.0.1", "SYN", "OPT")? For joining wrapped lines.
bool is_packet_word(std::string_view word);

}  // namespace fwtrace::trace
