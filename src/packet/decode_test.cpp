#include "packet/decode.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace fwtrace::packet {
namespace {

// "4500 003c …": hex digits, blanks ignored.
std::vector<std::uint8_t> bytes(std::string_view hex) {
  std::vector<std::uint8_t> out;
  int high = -1;
  for (const char c : hex) {
    const int digit = base::hex_value(c);
    if (digit < 0) continue;
    if (high < 0) high = digit;
    else out.push_back(static_cast<std::uint8_t>(high << 4 | digit)), high = -1;
  }
  return out;
}

constexpr std::string_view kTcp4 =
    "4500 0034 1111 4000 4006 0000 0a000001 0a000002  1234 0016 00000007 00000009 8012 2000 0000 0003";

TEST(Decode, GuessesWhatItIs) {
  EXPECT_EQ(guess_ethertype(bytes("45")), ethertype::kIpv4);
  EXPECT_EQ(guess_ethertype(bytes("60")), ethertype::kIpv6);
  EXPECT_EQ(guess_ethertype(bytes("0001 0800 0604 0001")), ethertype::kArp);
  EXPECT_EQ(guess_ethertype(bytes("0001 0800 0604")), ethertype::kNone);
  EXPECT_EQ(guess_ethertype(bytes("00")), ethertype::kNone);
  EXPECT_EQ(guess_ethertype({}), ethertype::kNone);
}

TEST(Decode, RefusesAnotherVersionAndWritesNothing) {
  Packet packet;
  EXPECT_FALSE(decode_packet(bytes(kTcp4), ethertype::kIpv6, packet));
  EXPECT_FALSE(decode_packet(bytes("ff"), ethertype::kNone, packet));
  EXPECT_FALSE(decode_packet(bytes(kTcp4), 0x8847, packet));
  EXPECT_EQ(packet, Packet());
}

TEST(Decode, AHeaderThatIsNotAllThereIsTruncated) {
  Packet packet;
  EXPECT_TRUE(decode_packet(bytes("4500 0034"), ethertype::kNone, packet));
  EXPECT_TRUE(packet.network_cut.cut);
  EXPECT_EQ(packet.length, std::nullopt);
}

TEST(Decode, ACopyThatEndsInTheOptionsIsNotCalledTruncated) {
  Packet packet;
  ASSERT_TRUE(decode_packet(bytes(kTcp4), ethertype::kIpv4, packet));  // 40 of 52 bytes
  EXPECT_EQ(find_tcp(packet)->options.state, Options::State::None);
  EXPECT_EQ(packet.transport_cut, Cut());
  Packet whole;
  ASSERT_TRUE(decode_packet(bytes(kTcp4), ethertype::kIpv4, whole, 40));
  EXPECT_EQ(find_tcp(whole)->options.state, Options::State::Truncated);
}

TEST(Decode, BigTcp) {
  std::vector<std::uint8_t> big = bytes(kTcp4);
  big[2] = big[3] = 0;
  Packet packet;
  ASSERT_TRUE(decode_packet(big, ethertype::kNone, packet));
  EXPECT_EQ(packet.length, std::nullopt);
  EXPECT_EQ(packet.ports.destination, 22);
  Packet known;
  ASSERT_TRUE(decode_packet(big, ethertype::kNone, known, 70'000));
  EXPECT_EQ(known.length, 70'000U);

  const std::string six =
      "6000 0000 0000 0640 fd000000000000000000000000000001 fd000000000000000000000000000002";
  Packet v6;
  ASSERT_TRUE(
      decode_packet(bytes(six + std::string(kTcp4.substr(kTcp4.find("1234")))), ethertype::kNone, v6));
  EXPECT_EQ(v6.length, std::nullopt);
  EXPECT_EQ(v6.ports.source, 0x1234);
  std::string jumbo = six;
  jumbo.replace(15, 2, "00");  // hop-by-hop
  Packet hop;
  ASSERT_TRUE(decode_packet(
      bytes(jumbo + "0600 c204 00011170" + std::string(kTcp4.substr(kTcp4.find("1234")))), 0, hop));
  EXPECT_EQ(hop.length, 70'000U + 40U);
  EXPECT_EQ(hop.ports.destination, 22);
  ASSERT_EQ(hop.extensions.size(), 1U);
  Packet empty;  // nothing at all behind the header
  ASSERT_TRUE(decode_packet(bytes(six), ethertype::kNone, empty));
  EXPECT_EQ(empty.length, 40U);
  EXPECT_EQ(empty.transport_cut, (Cut{true, 0}));
}

TEST(Decode, Arp) {
  Packet packet;
  ASSERT_TRUE(
      decode_packet(bytes("0001 0800 06 04 0002 525400000001 0a000001 525400000002 0a000002"), 0, packet));
  const auto& arp = std::get<Arp>(packet.transport);
  EXPECT_EQ(arp.hardware_type, 1);
  EXPECT_EQ(arp.protocol_type, 0x0800);
  EXPECT_EQ(arp.operation, 2);
  EXPECT_EQ(arp.sender_mac, parse_mac("52:54:00:00:00:01"));
  EXPECT_EQ(arp.target_mac, parse_mac("52:54:00:00:00:02"));
  EXPECT_EQ(arp.sender_ip, parse_ip("10.0.0.1"));
  EXPECT_EQ(arp.target_ip, parse_ip("10.0.0.2"));
  Packet cut;
  ASSERT_TRUE(decode_packet(bytes("0001 0800 06 04 0002 5254"), ethertype::kArp, cut));
  EXPECT_EQ(cut.network_cut, (Cut{true, 2}));
  Packet other;  // not for Ethernet: nothing behind the fixed part
  ASSERT_TRUE(decode_packet(bytes("0006 0800 08 04 0001 5254000000010000"), ethertype::kArp, other));
  EXPECT_EQ(other.network_cut, Cut());
  EXPECT_EQ(std::get<Arp>(other.transport).hardware_type, 6);
  EXPECT_EQ(std::get<Arp>(other.transport).sender_mac, std::nullopt);
}

TEST(Decode, Link) {
  Link link;
  decode_link(bytes("525400000001 525400000002 0800"), link);
  EXPECT_TRUE(link.printed);
  EXPECT_EQ(link.header.size, 14);
  EXPECT_EQ(link.destination, parse_mac("52:54:00:00:00:01"));
  EXPECT_EQ(link.source, parse_mac("52:54:00:00:00:02"));
  EXPECT_EQ(link.ethertype, 0x0800);
  Link tagged;
  decode_link(bytes("525400000001 525400000002 8100 602a 86dd"), tagged);
  EXPECT_EQ(tagged.vlan, 42);
  EXPECT_EQ(tagged.ethertype, 0x86dd);
  EXPECT_EQ(tagged.header.size, 18);
  Link none;
  decode_link({}, none);
  EXPECT_TRUE(none.printed);
  EXPECT_EQ(none.source, std::nullopt);
  Link huge;
  decode_link(std::vector<std::uint8_t>(100, 7), huge);
  EXPECT_EQ(huge.header.size, Bytes::kMax);
}

}  // namespace
}  // namespace fwtrace::packet
