#include "packet/packet.h"

#include <gtest/gtest.h>

#include <memory>

#include "packet/icmp_type.h"

namespace fwtrace::packet {
namespace {

Packet between(const char* from, const char* to) {
  Packet packet;
  packet.source = parse_ip(from).value_or(IpAddress());
  packet.destination = parse_ip(to).value_or(IpAddress());
  return packet;
}

Packet icmp(std::uint8_t protocol, std::uint8_t type, std::uint8_t code) {
  Packet packet;
  packet.protocol = protocol;
  Icmp header;
  header.type = type;
  header.code = code;
  packet.transport = header;
  return packet;
}

TEST(Packet, ProtocolNamesComeBack) {
  int named = 0;
  for (int n = 0; n < 256; ++n) {
    const auto number = static_cast<std::uint8_t>(n);
    EXPECT_EQ(parse_protocol(std::to_string(n)), number);
    if (protocol_name(number).empty()) continue;
    EXPECT_EQ(parse_protocol(protocol_name(number)), number);
    ++named;
  }
  EXPECT_GE(named, 12);
  EXPECT_EQ(parse_protocol("TCP"), 6);
  EXPECT_EQ(parse_protocol("ipv6-icmp"), 58);
  for (const char* bad : {"", "256", "-1", "tcp ", "tc"}) EXPECT_EQ(parse_protocol(bad), std::nullopt) << bad;
}

TEST(Packet, FlagsInTheOrderPeopleSayThem) {
  EXPECT_EQ(print_tcp_flags(kSyn | kAck), "SYN,ACK");
  EXPECT_EQ(print_tcp_flags(kFin | kPsh | kAck), "FIN,PSH,ACK");
  EXPECT_EQ(print_tcp_flags(0x1ff), "SYN,FIN,RST,PSH,ACK,URG,ECE,CWR,AE");
  EXPECT_EQ(print_tcp_flags(0), "");
}

TEST(Packet, Endpoints) {
  Packet p = between("10.36.7.11", "10.32.105.30");
  EXPECT_EQ(print_endpoints(p), "10.36.7.11 → 10.32.105.30");
  p.ports = {std::uint16_t{54451}, std::uint16_t{80}};
  EXPECT_EQ(print_endpoints(p), "10.36.7.11:54451 → 10.32.105.30:80");
  p = between("fd00::1", "fd00::2");
  p.ports.destination = 443;
  EXPECT_EQ(print_endpoints(p), "fd00::1 → [fd00::2]:443");
  EXPECT_EQ(print_endpoints(between("10.0.0.1", "")), "10.0.0.1 → ?");
  EXPECT_EQ(print_endpoints(between("", "10.0.0.2")), "? → 10.0.0.2");
  EXPECT_EQ(print_endpoints(Packet()), "");
  Arp arp;
  arp.sender_ip = *parse_ip("10.0.0.1");
  arp.target_ip = *parse_ip("10.0.0.2");
  p = Packet();
  p.transport = arp;
  EXPECT_EQ(print_endpoints(p), "10.0.0.1 → 10.0.0.2");
}

TEST(Packet, Kinds) {
  Packet p;
  EXPECT_EQ(print_kind(p), "");
  p.protocol = 99;
  EXPECT_EQ(print_kind(p), "protocol 99");
  p.protocol = proto::kUdplite;
  EXPECT_EQ(print_kind(p), "UDPLITE");
  p.protocol = proto::kTcp;
  Tcp tcp;
  p.transport = tcp;
  EXPECT_EQ(print_kind(p), "TCP");
  tcp.flags = std::uint16_t{kSyn | kAck};
  p.transport = tcp;
  EXPECT_EQ(print_kind(p), "TCP SYN,ACK");
  tcp.flags = std::uint16_t{0};
  p.transport = tcp;
  EXPECT_EQ(print_kind(p), "TCP without flags");
  p.protocol.reset();
  EXPECT_EQ(print_kind(p), "TCP without flags");
  Arp arp;
  arp.operation = 1;
  p.transport = arp;
  EXPECT_EQ(print_kind(p), "ARP request");
}

TEST(Packet, IcmpKinds) {
  EXPECT_EQ(print_kind(icmp(proto::kIcmp, 8, 0)), "ICMP echo-request");
  EXPECT_EQ(print_kind(icmp(proto::kIcmp, 3, 3)), "ICMP destination-unreachable (port-unreachable)");
  EXPECT_EQ(print_kind(icmp(proto::kIcmp, 3, 99)), "ICMP destination-unreachable (code 99)");
  EXPECT_EQ(print_kind(icmp(proto::kIcmp, 77, 0)), "ICMP type 77");
  EXPECT_EQ(print_kind(icmp(proto::kIcmpv6, 135, 0)), "ICMPv6 nd-neighbor-solicit");
  EXPECT_EQ(print_kind(icmp(proto::kIcmpv6, 1, 4)), "ICMPv6 destination-unreachable (port-unreachable)");
  EXPECT_EQ(print_kind(icmp(proto::kIcmpv6, 3, 3)), "ICMPv6 time-exceeded");
}

TEST(Packet, FragmentsSaySo) {
  Packet p;
  p.protocol = proto::kUdp;
  p.fragment_offset = 64;
  EXPECT_EQ(print_kind(p), "UDP fragment");
  p.protocol.reset();
  EXPECT_EQ(print_kind(p), "fragment");
  p.fragment_offset = 0;
  p.protocol = proto::kUdp;
  EXPECT_EQ(print_kind(p), "UDP");
  p.extensions.resize(1);
  p.extensions[0].kind = Extension::Kind::Fragment;
  p.extensions[0].fragment_offset = 512;
  EXPECT_EQ(print_kind(p), "UDP fragment");
}

TEST(Packet, EspBehindIpv6IsAnExtensionHeader) {
  Packet p = between("fd00::1", "fd00::2");
  p.extensions.resize(2);
  p.extensions[1].kind = Extension::Kind::Esp;
  EXPECT_EQ(print_kind(p), "ESP");
}

TEST(Packet, BytesCompareWhatTheyHold) {
  Bytes a, b;
  a.push(1);
  b.push(1);
  b.push(2);
  EXPECT_FALSE(a == b);
  b.size = 1;
  EXPECT_TRUE(a == b);
  while (a.size < Bytes::kMax) EXPECT_TRUE(a.push(0));
  EXPECT_FALSE(a.push(0));
}

TEST(Packet, IcmpComparesThePacketInside) {
  Icmp a, b;
  a.inner = std::make_shared<Packet>(between("10.0.0.1", "10.0.0.2"));
  EXPECT_FALSE(a == b);
  b.inner = std::make_shared<Packet>(between("10.0.0.1", "10.0.0.2"));
  EXPECT_TRUE(a == b);
  b.inner = std::make_shared<Packet>(between("10.0.0.1", "10.0.0.3"));
  EXPECT_FALSE(a == b);
}

TEST(IcmpType, NftsNamesComeBack) {
  for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
    for (int n = 0; n < 256; ++n) {
      const auto type = static_cast<std::uint8_t>(n);
      const std::string name = icmp_type_name(version, type);
      if (name.starts_with("type ")) {
        EXPECT_EQ(parse_icmp_type(version, name), std::nullopt);
      } else {
        EXPECT_EQ(parse_icmp_type(version, name), (IcmpType{type, std::nullopt})) << name;
      }
    }
  }
}

TEST(IcmpType, NumbersAndIptablesNames) {
  EXPECT_EQ(parse_icmp_type(IpVersion::V4, "3"), (IcmpType{3, std::nullopt}));
  EXPECT_EQ(parse_icmp_type(IpVersion::V4, "3/4"), (IcmpType{3, 4}));
  EXPECT_EQ(parse_icmp_type(IpVersion::V4, "port-unreachable"), (IcmpType{3, 3}));
  EXPECT_EQ(parse_icmp_type(IpVersion::V6, "port-unreachable"), (IcmpType{1, 4}));
  EXPECT_EQ(parse_icmp_type(IpVersion::V6, "neighbour-solicitation"), (IcmpType{135, std::nullopt}));
  for (const char* bad : {"", "256", "3/", "3/256", "/4", "echo", "3/4/5"}) {
    EXPECT_EQ(parse_icmp_type(IpVersion::V4, bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace fwtrace::packet
