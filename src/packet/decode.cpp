#include "packet/decode.h"

#include <algorithm>
#include <limits>
#include <memory>

namespace fwtrace::packet {
namespace {

constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40, kArpHeader = 8, kArpAddresses = 20, kTcpHeader = 20,
                      kUdpHeader = 8, kIcmpHeader = 8, kAhHeader = 12, kEspHeader = 8, kFragmentHeader = 8,
                      kEthernetHeader = 14, kVlanTag = 4;

// IPv6 extension headers that nf_log follows (kernel: nf_ip6_ext_hdr); 59 ends the chain.
constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestination = 60;

std::uint16_t read16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
std::uint32_t read32(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}
IpAddress read_address(const std::uint8_t* at, IpVersion version) {
  IpAddress address;
  address.version = version;
  std::copy_n(at, version == IpVersion::V4 ? 4 : 16, address.bytes.begin());
  return address;
}
MacAddress read_mac(const std::uint8_t* at) {
  MacAddress mac{};
  std::copy_n(at, mac.size(), mac.begin());
  return mac;
}

// How many bytes an ICMP message of a type must have (kernel: required_len in dump_ipv4_packet); 0 = any.
constexpr std::array<std::uint8_t, 19> kIcmpNeeds = [] {
  std::array<std::uint8_t, 19> needs{};
  needs[0] = needs[8] = 4;  // echo reply, echo
  needs[3] = needs[4] = needs[5] = needs[11] = needs[12] = kIcmpHeader + kIpv4Header;
  needs[13] = needs[14] = 20;  // timestamp, its reply
  needs[17] = needs[18] = 12;  // address mask, its reply
  return needs;
}();

// The bytes at hand: one run, or a network and a transport header that came apart. Offsets count from the network
// header of the outermost packet, as nf_log's do.
class Source {
 public:
  // `known`: the size of the whole packet if the caller knows it, else 0.
  Source(ByteSpan bytes, std::size_t known)
      : first_(bytes), known_(known), whole_(known != 0 ? known : bytes.size()) {}
  Source(ByteSpan network, ByteSpan transport) : first_(network), second_(transport), is_apart_(true) {}

  // The bytes [at, at + size), or null.
  const std::uint8_t* find(std::size_t at, std::size_t size) const {
    if (ends_before(at, size)) return nullptr;
    if (at <= first_.size() && size <= first_.size() - at) return first_.data() + at;
    if (at < second_at_ || at - second_at_ > second_.size() || size > second_.size() - (at - second_at_))
      return nullptr;
    return second_.data() + (at - second_at_);
  }
  // Does the packet itself end before `at + size`? If not, a null from find() means that it was not copied.
  bool ends_before(std::size_t at, std::size_t size) const {
    return whole_ != kUnknown && (at > whole_ || size > whole_ - at);
  }
  // As nf_log counts and prints it: unsigned, so what points behind the end wraps around.
  std::uint32_t left(std::size_t at) const { return static_cast<std::uint32_t>(whole_ - at); }

  // The IP header says how long the packet is: padding is cut off, and a copy of its beginning recognised.
  void set_length(std::size_t length) { whole_ = known_ != 0 ? std::min(known_, length) : length; }
  void set_length_unknown() { whole_ = known_ != 0 ? known_ : kUnknown; }
  std::size_t known() const { return known_; }
  bool is_longer_than(std::size_t size) const {
    return is_apart_ || (known_ != 0 ? known_ : first_.size()) > size;
  }
  // The outermost transport header begins here.
  void place_transport(std::size_t at) { second_at_ = at; }

 private:
  static constexpr std::size_t kUnknown = std::numeric_limits<std::size_t>::max();
  ByteSpan first_, second_;
  std::size_t second_at_ = kUnknown;
  std::size_t known_ = 0;
  std::size_t whole_ = kUnknown;
  bool is_apart_ = false;
};

class Decoder {
 public:
  Decoder(Source& source, Packet& packet, bool inner) : source_(source), packet_(packet), inner_(inner) {}

  void arp() {
    const std::uint8_t* h = source_.find(0, kArpHeader);
    if (h == nullptr) return network_truncated(0, kArpHeader);
    Arp& arp = packet_.transport.emplace<Arp>();
    arp.hardware_type = read16(h);
    arp.protocol_type = read16(h + 2);
    arp.operation = read16(h + 6);
    if (read16(h) != 1 || h[4] != 6 || h[5] != 4) return;
    const std::uint8_t* a = source_.find(kArpHeader, kArpAddresses);
    if (a == nullptr) return set_cut(packet_.network_cut, kArpHeader, kArpAddresses);
    arp.sender_mac = read_mac(a);
    arp.sender_ip = read_address(a + 6, IpVersion::V4);
    arp.target_mac = read_mac(a + 10);
    arp.target_ip = read_address(a + 16, IpVersion::V4);
  }

  // kernel: dump_ipv4_packet
  void ipv4(std::size_t at) {
    const std::uint8_t* h = source_.find(at, kIpv4Header);
    if (h == nullptr) return network_truncated(at, kIpv4Header);
    const std::uint16_t length = read16(h + 2), fragment = read16(h + 6);
    const std::size_t header = std::size_t{h[0] & 0x0FU} * 4;
    packet_.source = read_address(h + 12, IpVersion::V4);
    packet_.destination = read_address(h + 16, IpVersion::V4);
    packet_.length = length;
    if (!inner_) settle_length(length);
    packet_.tos = static_cast<std::uint8_t>(h[1] & 0x1EU);
    packet_.precedence = static_cast<std::uint8_t>(h[1] & 0xE0U);
    packet_.ttl = h[8];
    packet_.id = read16(h + 4);
    packet_.ce = (fragment & 0x8000U) != 0;
    packet_.df = (fragment & 0x4000U) != 0;
    packet_.mf = (fragment & 0x2000U) != 0;
    if ((fragment & 0x1FFFU) != 0) packet_.fragment_offset = static_cast<std::uint16_t>(fragment & 0x1FFFU);
    const std::uint8_t protocol = h[9];
    if (header > kIpv4Header && !options(at + kIpv4Header, header - kIpv4Header, packet_.ip_options) &&
        source_.ends_before(at + kIpv4Header, header - kIpv4Header)) {
      return network_truncated(at + kIpv4Header, header - kIpv4Header);
    }
    if (!inner_) source_.place_transport(header);
    const bool later = packet_.fragment_offset.has_value();
    const std::size_t behind = at + header;
    switch (protocol) {
      case proto::kTcp: return tcp(behind, later);
      case proto::kUdp:
      case proto::kUdplite: return udp(behind, later, protocol);
      case proto::kIcmp: return icmp4(behind, later);
      case proto::kAh:
        if (later) return;  // nf_log prints no PROTO= there
        return spi(behind, later, protocol, 4, kAhHeader);
      case proto::kEsp: return spi(behind, later, protocol, 0, kEspHeader);
      default: packet_.protocol = protocol;
    }
  }

  // kernel: dump_ipv6_packet
  void ipv6(std::size_t at) {
    // The part before the addresses may be all that was copied.
    const std::uint8_t* h = source_.ends_before(at, kIpv6Header) ? nullptr : source_.find(at, 8);
    if (h == nullptr) return network_truncated(at, kIpv6Header);
    const std::uint32_t first = read32(h);
    const std::uint16_t payload = read16(h + 4);
    const bool is_whole = source_.find(at, kIpv6Header) != nullptr;
    if (is_whole) {
      packet_.source = read_address(h + 8, IpVersion::V6);
      packet_.destination = read_address(h + 24, IpVersion::V6);
    }
    packet_.traffic_class = static_cast<std::uint8_t>(first >> 20 & 0xFFU);
    packet_.ttl = h[7];
    packet_.flow_label = first & 0xFFFFFU;
    packet_.length = std::uint32_t{payload} + kIpv6Header;
    std::uint8_t next = h[6];
    if (!inner_) settle_length6(payload, next);
    std::size_t ptr = at + kIpv6Header;
    bool later = false;
    while (is_extension(next)) {
      if (!extension(ptr, next, later)) return;
    }
    if (!inner_ && is_whole) source_.place_transport(ptr);
    switch (next) {
      case proto::kTcp: return tcp(ptr, later);
      case proto::kUdp:
      case proto::kUdplite: return udp(ptr, later, next);
      case proto::kIcmpv6: return icmp6(ptr, later);
      default: packet_.protocol = next;
    }
  }

 private:
  void settle_length(std::uint32_t length) {
    if (length != 0) return source_.set_length(length);
    // BIG TCP: the field cannot hold the length. nf_log prints the buffer's, which only the caller may know.
    packet_.length.reset();
    if (source_.known() != 0) packet_.length = static_cast<std::uint32_t>(source_.known());
    source_.set_length_unknown();
  }
  void settle_length6(std::uint16_t payload, std::uint8_t next) {
    if (payload != 0) return source_.set_length(payload + kIpv6Header);
    if (next == kHopByHop) {  // RFC 2675: the jumbo payload option, first in the hop-by-hop header
      const std::uint8_t* hop = source_.find(kIpv6Header, 8);
      if (hop != nullptr && hop[2] == 0xC2 && hop[3] == 4 && read32(hop + 4) <= 0xFFFFFFFFU - kIpv6Header) {
        packet_.length = static_cast<std::uint32_t>(read32(hop + 4) + kIpv6Header);
        return source_.set_length(*packet_.length);
      }
    }
    if (next == proto::kNoNext || !source_.is_longer_than(kIpv6Header))
      return source_.set_length(kIpv6Header);
    settle_length(0);
  }

  static bool is_extension(std::uint8_t next) {
    return next == kHopByHop || next == kRouting || next == kFragment || next == kDestination ||
           next == proto::kAh || next == proto::kEsp;
  }

  // One extension header: moves `ptr` and `next` behind it. False if reading ends here.
  bool extension(std::size_t& ptr, std::uint8_t& next, bool& later) {
    const std::uint8_t* h = source_.find(ptr, 2);
    if (h == nullptr && source_.ends_before(ptr, 2)) return packet_.network_cut.cut = true, false;
    Extension& e = packet_.extensions.emplace_back();
    switch (next) {
      case kFragment: {
        e.kind = Extension::Kind::Fragment;
        const std::uint8_t* f = source_.find(ptr, kFragmentHeader);
        if (f == nullptr) return e.truncated = source_.ends_before(ptr, kFragmentHeader), false;
        const std::uint16_t bits = read16(f + 2);
        e.fragment_offset = static_cast<std::uint16_t>(bits & 0xFFF8U);
        e.more_fragments = (bits & 1U) != 0;
        e.id = read32(f + 4);
        later |= *e.fragment_offset != 0;
        ptr += kFragmentHeader;
        break;
      }
      case proto::kAh:
      case proto::kEsp: {
        const bool is_ah = next == proto::kAh;
        e.kind = is_ah ? Extension::Kind::Ah : Extension::Kind::Esp;
        if (later) return e.truncated = true, false;
        const std::size_t size = is_ah ? kAhHeader : kEspHeader;
        const std::uint8_t* s = source_.find(ptr, size);
        if (s == nullptr) return set_cut(packet_.network_cut, ptr, size), false;
        e.spi = read32(is_ah ? s + 4 : s);
        if (!is_ah) return false;
        ptr += (std::size_t{h[1]} + 2) * 4;
        break;
      }
      default:
        if (later || h == nullptr) return false;
        ptr += (std::size_t{h[1]} + 1) * 8;
    }
    next = h[0];
    return true;
  }

  void tcp(std::size_t at, bool later) {
    packet_.protocol = proto::kTcp;
    Tcp& tcp = packet_.transport.emplace<Tcp>();
    if (later) return;
    const std::uint8_t* h = source_.find(at, kTcpHeader);
    if (h == nullptr) return set_cut(packet_.transport_cut, at, kTcpHeader);
    ports(h);
    tcp.seq = read32(h + 4);
    tcp.ack_seq = read32(h + 8);
    tcp.window = read16(h + 14);
    tcp.reserved = static_cast<std::uint8_t>((h[12] & 0x0EU) << 2);  // as RES= prints it
    tcp.flags = static_cast<std::uint16_t>(h[13] | (h[12] & 1U) << 8);
    tcp.urgent = read16(h + 18);
    const std::size_t header = std::size_t{h[12]} / 16 * 4;
    if (header <= kTcpHeader || options(at + kTcpHeader, header - kTcpHeader, tcp.options)) return;
    if (source_.ends_before(at + kTcpHeader, header - kTcpHeader))
      tcp.options.state = Options::State::Truncated;
  }

  void udp(std::size_t at, bool later, std::uint8_t protocol) {
    packet_.protocol = protocol;
    Udp& udp = packet_.transport.emplace<Udp>();
    if (later) return;
    const std::uint8_t* h = source_.find(at, kUdpHeader);
    if (h == nullptr) return set_cut(packet_.transport_cut, at, kUdpHeader);
    ports(h);
    udp.length = read16(h + 4);
  }

  void spi(std::size_t at, bool later, std::uint8_t protocol, std::size_t spi_at, std::size_t size) {
    packet_.protocol = protocol;
    Spi& spi = packet_.transport.emplace<Spi>();
    if (later) return;
    const std::uint8_t* h = source_.find(at, size);
    if (h == nullptr) return set_cut(packet_.transport_cut, at, size);
    spi.spi = read32(h + spi_at);
  }

  void icmp4(std::size_t at, bool later) {
    packet_.protocol = proto::kIcmp;
    Icmp& icmp = packet_.transport.emplace<Icmp>();
    if (later) return;
    const std::uint8_t* h = source_.find(at, kIcmpHeader);
    if (h == nullptr) return set_cut(packet_.transport_cut, at, kIcmpHeader);
    icmp.type = h[0];
    icmp.code = h[1];
    const std::size_t needs = h[0] < kIcmpNeeds.size() ? kIcmpNeeds[h[0]] : 0;
    if (needs != 0 && source_.ends_before(at, needs)) return set_cut(packet_.transport_cut, at, needs);
    switch (h[0]) {
      case 0:
      case 8:
        icmp.id = read16(h + 4);
        icmp.sequence = read16(h + 6);
        break;
      case 12: icmp.parameter = h[4]; break;
      case 5: icmp.gateway = read_address(h + 4, IpVersion::V4); [[fallthrough]];
      case 3:
      case 4:
      case 11:
        read_inner(icmp, at + kIcmpHeader, IpVersion::V4);
        if (h[0] == 3 && h[1] == 4) icmp.mtu = read16(h + 6);
        break;
      default: break;
    }
  }

  void icmp6(std::size_t at, bool later) {
    packet_.protocol = proto::kIcmpv6;
    Icmp& icmp = packet_.transport.emplace<Icmp>();
    if (later) return;
    const std::uint8_t* h = source_.find(at, kIcmpHeader);
    if (h == nullptr) return set_cut(packet_.transport_cut, at, kIcmpHeader);
    icmp.type = h[0];
    icmp.code = h[1];
    switch (h[0]) {
      case 128:
      case 129:
        icmp.id = read16(h + 4);
        icmp.sequence = read16(h + 6);
        break;
      case 4: icmp.parameter = read32(h + 4); [[fallthrough]];
      case 1:
      case 2:
      case 3:
        read_inner(icmp, at + kIcmpHeader, IpVersion::V6);
        if (h[0] == 2) icmp.mtu = read32(h + 4);
        break;
      default: break;
    }
  }

  // The packet that an ICMP error is about; one level, as nf_log does.
  void read_inner(Icmp& icmp, std::size_t at, IpVersion version) {
    const std::size_t header = version == IpVersion::V4 ? kIpv4Header : kIpv6Header;
    if (inner_ || (source_.find(at, header) == nullptr && !source_.ends_before(at, header))) return;
    auto inner = std::make_shared<Packet>();
    Decoder decoder(source_, *inner, true);
    if (version == IpVersion::V4) decoder.ipv4(at);
    else decoder.ipv6(at);
    icmp.inner = std::move(inner);
  }

  void ports(const std::uint8_t* h) {
    packet_.ports.source = read16(h);
    packet_.ports.destination = read16(h + 2);
  }

  bool options(std::size_t at, std::size_t size, Options& to) const {
    const std::uint8_t* bytes = source_.find(at, size);
    if (bytes == nullptr) return false;
    to.state = Options::State::Bytes;
    for (std::size_t i = 0; i < size; ++i) to.bytes.push(bytes[i]);  // at most 40
    return true;
  }

  // A header of `size` bytes at `at` is not there: says so if that is the packet's own fault.
  void set_cut(Cut& cut, std::size_t at, std::size_t size) const {
    if (!source_.ends_before(at, size)) return;
    cut.cut = true;
    cut.bytes_left = source_.left(at);
  }
  void network_truncated(std::size_t at, std::size_t size) {
    packet_.network_cut.cut |= source_.ends_before(at, size);
  }

  Source& source_;
  Packet& packet_;
  bool inner_;
};

bool decode(Source& source, ByteSpan network, std::uint16_t type, Packet& packet) {
  if (type == ethertype::kNone) type = guess_ethertype(network);
  const unsigned version = network.empty() ? 0 : network[0] >> 4;
  Decoder decoder(source, packet, false);
  switch (type) {
    case ethertype::kIpv4:
      if (version != 4) return false;
      return decoder.ipv4(0), true;
    case ethertype::kIpv6:
      if (version != 6) return false;
      return decoder.ipv6(0), true;
    case ethertype::kArp:
    case ethertype::kRarp: return decoder.arp(), true;
    default: return false;
  }
}

}  // namespace

std::uint16_t guess_ethertype(ByteSpan network) {
  if (network.empty()) return ethertype::kNone;
  if (network[0] >> 4 == 4) return ethertype::kIpv4;
  if (network[0] >> 4 == 6) return ethertype::kIpv6;
  constexpr std::array<std::uint8_t, 6> kArpStart{0, 1, 8, 0, 6, 4};
  if (network.size() >= kArpHeader && std::equal(kArpStart.begin(), kArpStart.end(), network.begin()))
    return ethertype::kArp;
  return ethertype::kNone;
}

bool decode_packet(ByteSpan bytes, std::uint16_t ethertype, Packet& packet, std::size_t whole_size) {
  Source source(bytes, whole_size);
  return decode(source, bytes, ethertype, packet);
}

bool decode_headers(ByteSpan network, ByteSpan transport, std::uint16_t ethertype, Packet& packet) {
  if (network.empty()) std::swap(network, transport);
  Source source(network, transport);
  return decode(source, network, ethertype, packet);
}

void decode_link(ByteSpan header, Link& link) {
  link.printed = true;
  link.header = {};
  for (const std::uint8_t byte : header) {
    if (!link.header.push(byte)) break;
  }
  if (header.size() < kEthernetHeader) return;
  link.destination = read_mac(header.data());
  link.source = read_mac(header.data() + 6);
  std::uint16_t type = read16(header.data() + 12);
  if ((type == ethertype::kVlan || type == ethertype::kServiceVlan) &&
      header.size() >= kEthernetHeader + kVlanTag) {
    link.vlan = static_cast<std::uint16_t>(read16(header.data() + kEthernetHeader) & 0x0FFFU);
    type = read16(header.data() + kEthernetHeader + 2);
  }
  link.ethertype = type;
}

}  // namespace fwtrace::packet
