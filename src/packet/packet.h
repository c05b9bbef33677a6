// Packet: the headers of one packet as somebody saw them at one place.
//
// A packet is never whole here: a log line lacks the payload, nft's text lacks TCP's sequence number, a damaged
// line lacks whatever was eaten. So every field is optional and a missing field is visibly missing; nobody may
// read a default as a value. Plain values throughout: two Packets are equal if all that was seen is equal.
//
// Units and ranges follow the headers on the wire. Names follow the kernel's log (net/netfilter/nf_log_syslog.c)
// where that prints the field.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/names.h"
#include "packet/address.h"
#include "packet/netfilter.h"

namespace fwtrace::packet {

template <class T>
using Maybe = std::optional<T>;

// Protocol numbers we name (IANA).
namespace proto {
inline constexpr std::uint8_t kIcmp = 1, kIgmp = 2, kTcp = 6, kUdp = 17, kGre = 47, kEsp = 50, kAh = 51,
                              kIcmpv6 = 58, kNoNext = 59, kSctp = 132, kMobility = 135, kUdplite = 136;
}
// "tcp" for 6 …, "" if we have no name for it; and back (also "icmpv6", "ipv6-icmp", "6").
std::string_view protocol_name(std::uint8_t number);
std::optional<std::uint8_t> parse_protocol(std::string_view text);

// A short run of bytes held in place: MAC headers, IP and TCP options (at most 40 on the wire, MAC= up to 64).
struct Bytes {
  static constexpr std::size_t kMax = 64;
  std::array<std::uint8_t, kMax> data{};
  std::uint8_t size = 0;
  bool push(std::uint8_t byte) {  // false when full
    if (size == kMax) return false;
    data[size++] = byte;
    return true;
  }
  bool operator==(const Bytes& other) const;
};

// The link-layer header. The kernel log prints it as raw bytes after MAC=; nft and xtables-monitor as fields.
struct Link {
  bool printed = false;                   // a MAC= stood there, possibly with nothing after it (tun devices)
  Bytes header;                           // as printed: destination, source, ethertype, and whatever else
  IpAddress tunnel_from, tunnel_to;       // SIT: TUNNEL=a->b
  Maybe<MacAddress> source, destination;  // from the header's first 12 bytes if it is Ethernet, or as fields
  Maybe<std::uint16_t> ethertype;
  Maybe<std::uint16_t> vlan;  // VLAN id, 0 to 4095
  bool operator==(const Link&) const = default;
};

enum TcpFlag : std::uint16_t {
  kFin = 1,
  kSyn = 2,
  kRst = 4,
  kPsh = 8,
  kAck = 16,
  kUrg = 32,
  kEce = 64,
  kCwr = 128,
  kAe = 256,
};

// Options after a header. The log prints them as hex, or says that they were cut.
struct Options {
  enum class State : std::uint8_t { None, Bytes, Truncated };
  State state = State::None;
  Bytes bytes;
  bool operator==(const Options&) const = default;
};

struct Ports {
  Maybe<std::uint16_t> source, destination;
  bool operator==(const Ports&) const = default;
};

struct Tcp {
  Maybe<std::uint32_t> seq, ack_seq;
  Maybe<std::uint16_t> window, urgent;
  Maybe<std::uint8_t> reserved;  // the four reserved bits as the log prints them (RES=0x..)
  Maybe<std::uint16_t> flags;    // TcpFlag bits
  Options options;
  bool operator==(const Tcp&) const = default;
};

struct Udp {
  Maybe<std::uint16_t> length;  // bytes, header included
  Maybe<std::uint16_t> checksum;
  bool operator==(const Udp&) const = default;
};

struct Packet;

// ICMP and ICMPv6. Which of the fields are there depends on the type.
struct Icmp {
  Maybe<std::uint8_t> type, code;
  Maybe<std::uint16_t> id, sequence;         // echo
  IpAddress gateway;                         // redirect
  Maybe<std::uint32_t> parameter;            // v4: the pointer (PARAMETER=); v6: POINTER=%08x
  Maybe<std::uint32_t> mtu;                  // v4: 16 bits used
  std::shared_ptr<const Packet> inner;       // the packet that the error is about; immutable
  bool operator==(const Icmp& other) const;  // compares what inner points to
};

struct Spi {  // AH, ESP
  Maybe<std::uint32_t> spi;
  bool operator==(const Spi&) const = default;
};

struct Arp {
  Maybe<std::uint16_t> hardware_type, protocol_type, operation;
  Maybe<MacAddress> sender_mac, target_mac;
  IpAddress sender_ip, target_ip;
  bool operator==(const Arp&) const = default;
};

// One IPv6 extension header as the log prints it: "OPT ( FRAG:8 INCOMPLETE ID:0000002a ) ".
struct Extension {
  enum class Kind : std::uint8_t { Plain, Fragment, Ah, Esp, Unknown };
  Kind kind = Kind::Plain;               // Plain: hop-by-hop, routing, destination: "OPT ( ) "
  Maybe<std::uint16_t> fragment_offset;  // bytes
  bool more_fragments = false;           // printed as INCOMPLETE inside a fragment header
  Maybe<std::uint32_t> id, spi;
  bool truncated = false;
  Maybe<std::uint8_t> next_header;  // Unknown: "Unknown Ext Hdr N"
  bool operator==(const Extension&) const = default;
};

// The header was cut: "INCOMPLETE [n bytes]" or "TRUNCATED" stood where it should be.
struct Cut {
  bool cut = false;
  Maybe<std::uint32_t> bytes_left;  // absent for the bare "TRUNCATED"/"INCOMPLETE"
  bool operator==(const Cut&) const = default;
};

using Transport = std::variant<std::monostate, Tcp, Udp, Icmp, Spi, Arp>;

struct Packet {
  // Devices, as printed; "" (empty Name) = printed empty or not printed.
  base::Name in, out, physin, physout;
  Link link;

  // Network header.
  IpAddress source, destination;
  base::Name source_text,
      destination_text;            // what stood there if it was no address: masked by a person ("x.x.x.x")
  Maybe<std::uint32_t> length;     // bytes, IP header included (v6: payload + 40); may pass 65535 (BIG TCP)
  Maybe<std::uint8_t> tos;         // v4 TOS= (masked 0x1E by the log); nft: dscp << 2 | ecn
  Maybe<std::uint8_t> precedence;  // v4 PREC= (masked 0xE0)
  Maybe<std::uint8_t> traffic_class;        // v6 TC=
  Maybe<std::uint32_t> flow_label;          // v6, 20 bits
  Maybe<std::uint8_t> ttl;                  // or hop limit
  Maybe<std::uint16_t> id;                  // v4 identification
  bool ce = false, df = false, mf = false;  // v4 flags
  Maybe<std::uint16_t> fragment_offset;     // v4, in 8-byte units as the log prints it; absent when 0
  Options ip_options;
  std::vector<Extension> extensions;  // v6
  Cut network_cut;

  Maybe<std::uint8_t> protocol;  // of the transport header; absent if not said
  Ports ports;
  Transport transport;
  Cut transport_cut;

  // What the kernel knows of the packet beside its bytes.
  Maybe<std::uint32_t> mark, uid, gid;
  Maybe<std::uint32_t> ct_state, ct_status, ct_id;  // nft trace of Linux 6.16 and later: kernel's bits
  Maybe<std::uint8_t> ct_direction;                 // 0 original, 1 reply

  bool damaged = false;    // the text was damaged: some fields may be missing though sent
  bool shortened = false;  // a person left something out ("..."), likewise
  bool whole() const { return !damaged && !shortened; }

  bool operator==(const Packet&) const = default;

  IpVersion version() const { return source.empty() ? destination.version : source.version; }
};

const Tcp* find_tcp(const Packet& packet);
const Icmp* find_icmp(const Packet& packet);

// "SYN", "SYN,ACK", "" if not known; in the order people say them.
std::string print_tcp_flags(std::uint16_t flags);
// "10.36.7.11:54451 → 10.32.105.30:80"; parts that are not known are left out. For ICMP no ports.
std::string print_endpoints(const Packet& packet);
// "TCP SYN", "UDP", "ICMP echo-request", "ICMPv6 neighbour-solicitation", "ESP", "protocol 99".
std::string print_kind(const Packet& packet);
// nft's names of ICMP types ("echo-request"), "type 77" otherwise.
std::string icmp_type_name(IpVersion version, std::uint8_t type);

}  // namespace fwtrace::packet
