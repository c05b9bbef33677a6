// Forms of one packet: when two reports of its headers are the same headers.
//
// A legacy event shows the packet as far as 128 bytes reach; nft's shows 40 and 20 bytes, yet knows conntrack. So in a
// live journey a form is new only if something that both reports know differs; else they complete each other.
#pragma once

#include "packet/packet.h"

namespace fwtrace::journey {

// Does nothing differ that both know? Devices and the mark are always known: absent means none, and zero.
bool same_headers(const packet::Packet& a, const packet::Packet& b);

// Takes from `other` what `form` lacks, but devices and mark.
void complete(packet::Packet& form, const packet::Packet& other);

}  // namespace fwtrace::journey
