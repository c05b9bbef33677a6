#include "report/kernel_log.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace fwtrace::report {
namespace {

using packet::Extension;
using packet::Packet;

std::string print(const Packet& packet) {
  std::string out;
  append_kernel_packet(out, packet);
  return out;
}

Packet base_v4() {
  Packet packet;
  packet.source = *packet::parse_ip("10.0.0.1");
  packet.destination = *packet::parse_ip("10.0.0.2");
  return packet;
}

Packet base_v6() {
  Packet packet;
  packet.source = *packet::parse_ip("fd00::1");
  packet.destination = *packet::parse_ip("fd00::2");
  return packet;
}

const std::string kV4 = "IN= OUT= SRC=10.0.0.1 DST=10.0.0.2 ";
const std::string kV6 =
    "IN= OUT= SRC=fd00:0000:0000:0000:0000:0000:0000:0001 DST=fd00:0000:0000:0000:0000:0000:0000:0002 ";

TEST(KernelLog, EveryFieldOfIpv4AndTcp) {
  base::Names names;
  Packet p = base_v4();
  p.in = names.intern("br0");
  p.out = names.intern("wan0");
  p.physin = names.intern("p1");
  p.physout = names.intern("p2");
  p.link.printed = true;
  for (std::uint8_t b = 0x9a; b < 0xa8; ++b) p.link.header.push(b);
  p.length = 60;
  p.tos = 0x1a;
  p.precedence = 0xa0;
  p.ttl = 64;
  p.id = 4711;
  p.ce = p.df = p.mf = true;
  p.ip_options.state = packet::Options::State::Bytes;
  p.ip_options.bytes.push(0x94);
  p.ip_options.bytes.push(0x04);
  p.protocol = packet::proto::kTcp;
  p.ports = {std::uint16_t{1000}, std::uint16_t{80}};
  packet::Tcp tcp;
  tcp.seq = 4294967295U;
  tcp.ack_seq = 7;
  tcp.window = 512;
  tcp.urgent = 513;
  tcp.reserved = std::uint8_t{0x20};
  tcp.flags = std::uint16_t{0x1ff};
  tcp.options.state = packet::Options::State::Bytes;
  tcp.options.bytes.push(0x02);
  tcp.options.bytes.push(0xAB);
  p.transport = tcp;
  p.uid = 1000;
  p.gid = 100;
  p.mark = 0x1f00;
  EXPECT_EQ(
      print(p),
      "IN=br0 OUT=wan0 PHYSIN=p1 PHYSOUT=p2 MAC=9a:9b:9c:9d:9e:9f:a0:a1:a2:a3:a4:a5:a6:a7 SRC=10.0.0.1 DST=10.0.0.2 "
      "LEN=60 TOS=0x1A PREC=0xA0 TTL=64 ID=4711 CE DF MF OPT (9404) PROTO=TCP SPT=1000 DPT=80 SEQ=4294967295 ACK=7 "
      "WINDOW=512 RES=0x20 AE CWR ECE URG ACK PSH RST SYN FIN URGP=513 OPT (02AB) UID=1000 GID=100 MARK=0x1f00 ");
}

TEST(KernelLog, WhatIsMissingIsLeftOut) {
  EXPECT_EQ(print(Packet()), "IN= OUT= ");
  Packet p = base_v4();
  p.ttl = 9;
  p.protocol = packet::proto::kTcp;
  p.ports.destination = 80;
  packet::Tcp tcp;
  tcp.window = 5;
  tcp.flags = packet::kSyn;
  p.transport = tcp;
  p.mark = 0;
  EXPECT_EQ(print(p), kV4 + "TTL=9 PROTO=TCP DPT=80 WINDOW=5 SYN ");
}

// nft says the whole byte; a damaged line may have lost PREC=, which must not be made up.
TEST(KernelLog, PrecedenceComesOutOfNftsTos) {
  Packet p = base_v4();
  p.tos = 0xbb;
  EXPECT_EQ(print(p), kV4 + "TOS=0x1A PREC=0xA0 ");
  p.damaged = true;
  EXPECT_EQ(print(p), kV4 + "TOS=0x1A ");
}

TEST(KernelLog, TunnelStandsBehindTheHeader) {
  Packet p = base_v4();
  p.link.printed = true;
  EXPECT_EQ(print(p), "IN= OUT= MAC= SRC=10.0.0.1 DST=10.0.0.2 ");
  p.link.header.push(0x0f);
  p.link.tunnel_from = *packet::parse_ip("1.2.3.4");
  p.link.tunnel_to = *packet::parse_ip("5.6.7.8");
  EXPECT_EQ(print(p), "IN= OUT= MAC=0f TUNNEL=1.2.3.4->5.6.7.8 SRC=10.0.0.1 DST=10.0.0.2 ");
}

TEST(KernelLog, CutTcpAndUdpEndTheLine) {
  Packet p = base_v4();
  p.protocol = packet::proto::kUdp;
  p.transport = packet::Udp();
  p.transport_cut = {true, 4};
  p.mark = 7;
  p.uid = 8;
  EXPECT_EQ(print(p), kV4 + "PROTO=UDP INCOMPLETE [4 bytes] ");
  p.protocol = packet::proto::kEsp;
  p.transport = packet::Spi();
  EXPECT_EQ(print(p), kV4 + "PROTO=ESP INCOMPLETE [4 bytes] UID=8 MARK=0x7 ");
}

TEST(KernelLog, TruncatedTcpOptionsEndTheLineWithoutASpace) {
  Packet p = base_v4();
  p.protocol = packet::proto::kTcp;
  packet::Tcp tcp;
  tcp.urgent = 3;
  tcp.options.state = packet::Options::State::Truncated;
  p.transport = tcp;
  p.mark = 7;
  EXPECT_EQ(print(p), kV4 + "PROTO=TCP URGP=3 OPT (TRUNCATED)");
}

TEST(KernelLog, LaterFragmentsHaveOnlyTheProtocol) {
  Packet p = base_v4();
  p.fragment_offset = 64;
  p.protocol = packet::proto::kUdp;
  p.ports.source = 53;
  p.transport = packet::Udp();
  EXPECT_EQ(print(p), kV4 + "FRAG:64 PROTO=UDP ");
  p.protocol = packet::proto::kAh;
  EXPECT_EQ(print(p), kV4 + "FRAG:64 ");
}

TEST(KernelLog, AnIcmpErrorShowsOneLevel) {
  Packet innermost = base_v4();
  innermost.protocol = packet::proto::kUdp;
  Packet inner = base_v4();
  inner.ttl = 1;
  inner.mark = 5;
  inner.protocol = packet::proto::kIcmp;
  packet::Icmp inner_error;
  inner_error.type = 3;
  inner_error.code = 2;
  inner_error.inner = std::make_shared<Packet>(innermost);
  inner.transport = inner_error;
  Packet p = base_v4();
  p.protocol = packet::proto::kIcmp;
  packet::Icmp icmp;
  icmp.type = 5;
  icmp.code = 1;
  icmp.gateway = *packet::parse_ip("10.0.0.9");
  icmp.mtu = 1400;
  icmp.inner = std::make_shared<Packet>(inner);
  p.transport = icmp;
  p.mark = 6;
  EXPECT_EQ(print(p), kV4 +
                          "PROTO=ICMP TYPE=5 CODE=1 GATEWAY=10.0.0.9 "
                          "[SRC=10.0.0.1 DST=10.0.0.2 TTL=1 PROTO=ICMP TYPE=3 CODE=2 ] MTU=1400 MARK=0x6 ");
}

TEST(KernelLog, ParameterProblems) {
  packet::Icmp icmp;
  icmp.type = 12;
  icmp.parameter = 20;
  Packet p = base_v4();
  p.protocol = packet::proto::kIcmp;
  p.transport = icmp;
  EXPECT_EQ(print(p), kV4 + "PROTO=ICMP TYPE=12 PARAMETER=20 ");
  p = base_v6();
  p.protocol = packet::proto::kIcmpv6;
  p.transport = icmp;
  EXPECT_EQ(print(p), kV6 + "PROTO=ICMPv6 TYPE=12 POINTER=00000014 ");
}

TEST(KernelLog, Ipv6ExtensionHeaders) {
  Packet p = base_v6();
  p.length = 80;
  p.traffic_class = 187;
  p.ttl = 63;
  p.flow_label = 272319;
  p.extensions.resize(3);
  p.extensions[1].kind = Extension::Kind::Fragment;
  p.extensions[1].fragment_offset = 512;
  p.extensions[1].more_fragments = true;
  p.extensions[1].id = 0x2a;
  p.extensions[2].kind = Extension::Kind::Ah;
  const std::string begin = kV6 + "LEN=80 TC=187 HOPLIMIT=63 FLOWLBL=272319 OPT ( ) ";
  EXPECT_EQ(print(p), begin + "OPT ( FRAG:512 INCOMPLETE ID:0000002a ) OPT ( AH )");
  p.extensions[1] = {};
  p.extensions[2].spi = 0xbeef;
  p.protocol = 135;
  EXPECT_EQ(print(p), begin + "OPT ( ) OPT ( AH SPI=0xbeef ) PROTO=135 ");
  p.extensions[2].kind = Extension::Kind::Esp;
  EXPECT_EQ(print(p), begin + "OPT ( ) OPT ( ESP SPI=0xbeef )");
  p.extensions[2].spi.reset();
  p.network_cut = {true, 3};
  EXPECT_EQ(print(p), begin + "OPT ( ) OPT ( ESP INCOMPLETE [3 bytes] )");
}

TEST(KernelLog, Arp) {
  Packet p;
  packet::Arp arp;
  arp.hardware_type = 1;
  arp.protocol_type = std::uint16_t{0x800};
  arp.operation = 2;
  arp.sender_mac = *packet::parse_mac("52:54:00:00:00:01");
  arp.sender_ip = *packet::parse_ip("10.0.0.1");
  arp.target_mac = *packet::parse_mac("52:54:00:00:00:02");
  arp.target_ip = *packet::parse_ip("10.0.0.2");
  p.transport = arp;
  EXPECT_EQ(print(p),
            "IN= OUT= ARP HTYPE=1 PTYPE=0x0800 OPCODE=2 MACSRC=52:54:00:00:00:01 IPSRC=10.0.0.1 "
            "MACDST=52:54:00:00:00:02 IPDST=10.0.0.2");
  p.network_cut = {true, 12};
  EXPECT_EQ(print(p), "IN= OUT= ARP HTYPE=1 PTYPE=0x0800 OPCODE=2 INCOMPLETE [12 bytes]");
}

TEST(KernelLog, ALineForAStep) {
  base::Names names;
  journey::Journey journey;
  journey.forms = {base_v4(), base_v6()};
  journey::Step step;
  step.kind = trace::EventKind::Return;
  step.table = names.intern("filter");
  step.chain = names.intern("evil\x1b[2J");
  step.handle = 42;
  step.form = 1;
  std::string out;
  append_kernel_line(out, journey, step);
  EXPECT_EQ(out, "TRACE: filter:evil\\x1b[2J:return:42 " + kV6 + "\n");
  out.clear();
  step.number = 7;
  step.form = 2;
  append_kernel_line(out, journey, step);
  EXPECT_EQ(out, "TRACE: filter:evil\\x1b[2J:return:7 IN= OUT= \n");
  out.clear();
  step.kind = trace::EventKind::Headers;
  append_kernel_line(out, journey, step);
  EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace fwtrace::report
