// Bytes and the kernel's own log line of the same packet give the same Packet: tests/fixtures/kernel/forms-*.
#include <gtest/gtest.h>

#include <cstring>

#include "packet/decode.h"
#include "report/kernel_log.h"
#include "trace/kernel_line.h"
#include "trace/kernel_packet.h"
#include "trace/monitor_test_support.h"

namespace fwtrace::trace {
namespace {

using packet::Packet;

struct Frame {
  std::vector<std::uint8_t> bytes;
  std::size_t whole = 0;
};

// Ethernet frames of a pcap file in this machine's byte order.
std::vector<Frame> read_pcap(const std::string& name) {
  const auto file = testing::read_fixture(name);
  std::vector<Frame> frames;
  if (!file) return frames;
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, file->data() + at, 4);
    return value;
  };
  EXPECT_TRUE(number(0) == 0xa1b2c3d4U || number(0) == 0xa1b23c4dU);
  EXPECT_EQ(number(20), 1U);  // Ethernet
  for (std::size_t at = 24; at + 16 <= file->size();) {
    const std::size_t size = number(at + 8);
    const auto* data = reinterpret_cast<const std::uint8_t*>(file->data() + at + 16);
    frames.push_back({{data, data + size}, number(at + 12)});
    at += 16 + size;
  }
  return frames;
}

// The packets of the first line of each packet that came in by lan0.
std::vector<std::pair<std::string, Packet>> read_lines(const std::string& name) {
  const auto text = testing::read_fixture(name).value_or("");
  std::vector<std::pair<std::string, Packet>> lines;
  constexpr std::string_view kHead = "TRACE: raw:PREROUTING:policy:3 ";
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const std::size_t at = line.find(kHead);
    if (at == std::string::npos || line.find("IN=lan0 ") == std::string::npos) continue;
    Packet packet;
    const std::string body = line.substr(at + kHead.size());
    const PacketScan scan = scan_packet(body, testing::shared_names(), packet);
    EXPECT_FALSE(scan.damaged) << line;
    lines.emplace_back(body, packet);
  }
  return lines;
}

// What no byte of the packet tells.
Packet without_outside(Packet packet) {
  packet.in = packet.out = packet.physin = packet.physout = {};
  packet.mark = packet.uid = packet.gid = {};
  packet.damaged = false;
  return packet;
}

std::string in_words(const Packet& packet) {
  std::string out;
  report::append_kernel_packet(out, packet);
  return out;
}

void compare(const std::string& name, std::uint16_t ethertype, std::size_t wanted) {
  const std::vector<Frame> frames = read_pcap("kernel/" + name + ".pcap");
  const auto lines = read_lines("kernel/" + name + ".kmsg");
  ASSERT_EQ(frames.size(), wanted);
  ASSERT_EQ(lines.size(), wanted);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const packet::ByteSpan frame(frames[i].bytes);
    Packet packet;
    packet::decode_link(frame.first(14), packet.link);
    ASSERT_TRUE(packet::decode_packet(frame.subspan(14), ethertype, packet, frames[i].whole - 14));
    const Packet said = without_outside(lines[i].second);
    EXPECT_EQ(in_words(packet), in_words(said)) << lines[i].first;
    EXPECT_EQ(packet, said) << lines[i].first;

    Packet guessed = Packet();
    guessed.link = packet.link;
    ASSERT_TRUE(packet::decode_packet(frame.subspan(14), packet::ethertype::kNone, guessed));
    EXPECT_EQ(guessed, packet) << lines[i].first;

    // Ethernet pads short frames; the padding is not of the packet.
    std::vector<std::uint8_t> padded(frame.begin() + 14, frame.end());
    padded.resize(std::max<std::size_t>(padded.size(), 46), 0xEE);
    Packet again;
    again.link = packet.link;
    ASSERT_TRUE(packet::decode_packet(padded, ethertype, again));
    EXPECT_EQ(again, packet) << lines[i].first;
  }
}

TEST(DecodedForms, EqualTheKernelsLinesIpv4) { compare("forms-v4", packet::ethertype::kIpv4, 69); }
TEST(DecodedForms, EqualTheKernelsLinesIpv6) { compare("forms-v6", packet::ethertype::kIpv6, 51); }

// A copy of the beginning gives less and nothing else: no field changes, and nothing is called cut that is not.
TEST(DecodedForms, ACopyOfTheBeginningSaysLess) {
  for (const char* name : {"kernel/forms-v4.pcap", "kernel/forms-v6.pcap"}) {
    for (const Frame& frame : read_pcap(name)) {
      const packet::ByteSpan bytes = packet::ByteSpan(frame.bytes).subspan(14);
      Packet whole;
      ASSERT_TRUE(packet::decode_packet(bytes, 0, whole));
      const std::size_t least = bytes[0] >> 4 == 4 ? 20 : 40;
      for (std::size_t size = least; size <= bytes.size(); ++size) {
        const std::vector<std::uint8_t> copy(bytes.begin(),
                                             bytes.begin() + static_cast<std::ptrdiff_t>(size));
        Packet part;
        ASSERT_TRUE(packet::decode_packet(copy, 0, part));
        EXPECT_EQ(part.source, whole.source);
        EXPECT_EQ(part.destination, whole.destination);
        EXPECT_EQ(part.length, whole.length);
        EXPECT_EQ(part.id, whole.id);
        EXPECT_EQ(part.flow_label, whole.flow_label);
        EXPECT_LE(part.extensions.size(), whole.extensions.size());
        if (part.network_cut.cut) {
          EXPECT_EQ(part.network_cut, whole.network_cut) << in_words(whole) << size;
        }
        if (part.transport_cut.cut) {
          EXPECT_EQ(part.transport_cut, whole.transport_cut) << in_words(whole) << size;
        }
        if (part.protocol) {
          EXPECT_EQ(part.protocol, whole.protocol);
        }
        if (part.ports.source) {
          EXPECT_EQ(part.ports, whole.ports);
        }
        if (const packet::Tcp* tcp = packet::find_tcp(part); tcp != nullptr && tcp->seq) {
          EXPECT_EQ(tcp->seq, packet::find_tcp(whole)->seq);
          EXPECT_EQ(tcp->flags, packet::find_tcp(whole)->flags);
          if (tcp->options.state != packet::Options::State::None) {
            EXPECT_EQ(tcp->options, packet::find_tcp(whole)->options);
          }
        }
        if (size == bytes.size()) {
          EXPECT_EQ(part, whole);
        }
      }
    }
  }
}

// nft's trace gives at most 40 bytes of the network header and 20 of the transport header.
TEST(DecodedForms, HeadersApartSayTheSame) {
  std::vector<Frame> frames = read_pcap("kernel/forms-v4.pcap");
  for (const Frame& frame : read_pcap("kernel/forms-v6.pcap")) frames.push_back(frame);
  for (const Frame& frame : frames) {
    const packet::ByteSpan bytes = packet::ByteSpan(frame.bytes).subspan(14);
    const bool is_v4 = bytes[0] >> 4 == 4;
    const std::size_t header = is_v4 ? std::size_t{bytes[0] & 0x0FU} * 4 : 40;
    const packet::ByteSpan network = bytes.first(std::min<std::size_t>(header, 40));
    const packet::ByteSpan transport =
        bytes.subspan(header, std::min<std::size_t>(bytes.size() - header, 20));
    Packet whole, apart;
    ASSERT_TRUE(packet::decode_packet(bytes, 0, whole));
    ASSERT_TRUE(packet::decode_headers(network, transport, 0, apart));
    if (!whole.extensions.empty()) {  // which nft's 40 bytes do not hold: only the first one's kind is known
      ASSERT_EQ(apart.extensions.size(), 1U);
      EXPECT_EQ(apart.extensions[0].kind, whole.extensions[0].kind);
      EXPECT_EQ(apart.extensions[0].id, std::nullopt);
      EXPECT_EQ(apart.protocol, std::nullopt);
      EXPECT_EQ(apart.length, whole.length);
      continue;
    }
    if (auto* tcp = std::get_if<packet::Tcp>(&whole.transport)) {
      if (tcp->options.state == packet::Options::State::Bytes) tcp->options = {};
    }
    if (auto* icmp = std::get_if<packet::Icmp>(&whole.transport);
        icmp != nullptr && icmp->inner != nullptr && !icmp->inner->network_cut.cut) {
      icmp->inner.reset();  // its header does not fit into nft's 20 bytes
    }
    if (header > 40) whole.ip_options = {};
    EXPECT_EQ(in_words(apart), in_words(whole));
    EXPECT_EQ(apart, whole) << in_words(whole);
  }
}

}  // namespace
}  // namespace fwtrace::trace
