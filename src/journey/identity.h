// Which packet is it? What two sightings of one packet must have in common (see group.h, "identity").
#pragma once

#include <cstdint>

#include "packet/packet.h"
#include "trace/event.h"

namespace fwtrace::journey {

// A hash of what neither NAT nor routing changes; 0 if the packet lacks it (damaged, shortened, no headers).
std::uint64_t identity_key(const trace::Event& event);

// A hash of where a packet comes from, or goes to: address, port and protocol. An answer comes from where the
// packet that it answers went.
std::uint64_t source_key(const packet::Packet& packet);
std::uint64_t destination_key(const packet::Packet& packet);

// Can both be the same packet, seen at two places? `may_rewrite`: a table boundary lies between them, so NAT may
// have changed one end; `may_rewrite_both` if something else (the trace id) ties them.
bool same_packet(const packet::Packet& a, const packet::Packet& b, bool may_rewrite, bool may_rewrite_both);

}  // namespace fwtrace::journey
