// Bytes of a packet in, Packet out: IPv4, IPv6 and ARP with the transport header behind them.
//
// A Packet made here equals the Packet that trace/kernel_packet.h reads from the kernel's own log line of the same
// packet, as far as the bytes reach (devices, mark and owner are no bytes of the packet). So the rules are those
// of net/netfilter/nf_log_syslog.c, in the same order: TOS masked, options kept as bytes, an ICMP error's packet
// read one level deep, and what is too short is "INCOMPLETE" in the same places with the same count.
//
// Bytes end for two reasons, and only one of them is the packet's fault. What is short on the wire is said (Cut,
// Truncated). Where somebody copied only the beginning of a packet (nfnetlink_log's copy range, nft's 40 and 20
// bytes), fields behind the copy are missing and nothing is called cut. The IP header's own length tells the two
// apart: the kernel refuses an IP packet that is shorter than it says.
//
// Any bytes may come in; nothing is read beyond them, and nothing is thrown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "packet/packet.h"

namespace fwtrace::packet {

using ByteSpan = std::span<const std::uint8_t>;

// EtherTypes (IEEE 802).
namespace ethertype {
inline constexpr std::uint16_t kNone = 0, kIpv4 = 0x0800, kArp = 0x0806, kRarp = 0x8035, kVlan = 0x8100,
                               kIpv6 = 0x86dd, kServiceVlan = 0x88a8;
}

// What the first bytes of a network header look like: IPv4 or IPv6 by the version, ARP for Ethernet and IPv4 by its
// fixed first words; kNone for anything else.
std::uint16_t guess_ethertype(ByteSpan network);

// Reads a packet from its network header on. `ethertype` kNone: guess. `whole_size`: how many bytes the whole packet
// had if the caller knows (a capture file does), else 0. Writes the headers' fields of `packet`, which must be empty
// there, and leaves devices, link and the kernel's own knowledge alone. False, with nothing written, if these are not
// bytes of that ethertype.
bool decode_packet(ByteSpan bytes, std::uint16_t ethertype, Packet& packet, std::size_t whole_size = 0);

// The same of a network header and a transport header that came apart, as nft's trace gives them: at most 40 and 20
// bytes of each. Behind an IPv6 extension header the transport header's protocol is not known, so it is not read.
// Where nft finds no transport header (later IPv6 fragments), it gives no network header, and the first 20 bytes of
// that as the transport header.
bool decode_headers(ByteSpan network, ByteSpan transport, std::uint16_t ethertype, Packet& packet);

// Reads a link-layer header as the log's MAC= is read: all of it as bytes (at most Bytes::kMax), and if it is long
// enough for Ethernet its addresses and type. The VLAN of a tagged frame is taken out of the header.
void decode_link(ByteSpan header, Link& link);

}  // namespace fwtrace::packet
