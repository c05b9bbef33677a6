#include "report/kernel_log.h"

#include <array>
#include <charconv>

#include "base/text.h"

// The order of everything below is that of the kernel's own functions, whose names stand at ours. Each field is
// printed if the packet has it: a packet that was read from a whole kernel line has all that the kernel printed,
// one from another dialect has less.

namespace fwtrace::report {
namespace {

using packet::Extension;
using packet::IpVersion;
using packet::Packet;
namespace proto = packet::proto;

constexpr std::uint8_t kTosMask = 0x1e;         // kernel: IPTOS_TOS_MASK
constexpr std::uint8_t kPrecedenceMask = 0xe0;  // kernel: IPTOS_PREC_MASK
constexpr std::string_view kLowerDigits = "0123456789abcdef";
constexpr std::string_view kUpperDigits = "0123456789ABCDEF";

struct FlagRow {
  packet::TcpFlag flag;
  std::string_view text;
};
constexpr auto kFlags = std::to_array<FlagRow>({
    {packet::kAe, "AE "},
    {packet::kCwr, "CWR "},
    {packet::kEce, "ECE "},
    {packet::kUrg, "URG "},
    {packet::kAck, "ACK "},
    {packet::kPsh, "PSH "},
    {packet::kRst, "RST "},
    {packet::kSyn, "SYN "},
    {packet::kFin, "FIN "},
});

struct ProtocolRow {
  std::uint8_t number;
  std::string_view text;
};
constexpr auto kProtocols = std::to_array<ProtocolRow>({
    {proto::kTcp, "TCP"},
    {proto::kUdp, "UDP"},
    {proto::kUdplite, "UDPLITE"},
    {proto::kIcmp, "ICMP"},
    {proto::kAh, "AH"},
    {proto::kEsp, "ESP"},
});

// printk formats: %u, %x, %08x (width 8), %02X.
void append_unsigned(std::string& out, std::uint64_t value, int base = 10, std::size_t width = 1) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  const auto length = static_cast<std::size_t>(end - digits.data());
  if (length < width) out.append(width - length, '0');
  out.append(digits.data(), length);
}

void append_byte(std::string& out, std::uint8_t byte, std::string_view digits) {
  out += digits[byte >> 4];
  out += digits[byte & 0xf];
}

// "LEN=60 "
template <class T>
void append_field(std::string& out, std::string_view name, const packet::Maybe<T>& value) {
  if (!value) return;
  out += name;
  append_unsigned(out, *value);
  out += ' ';
}

// "MARK=0x2a "
template <class T>
void append_hex_field(std::string& out, std::string_view name, const packet::Maybe<T>& value,
                      std::size_t width = 1) {
  if (!value) return;
  out += name;
  append_unsigned(out, *value, 16, width);
  out += ' ';
}

void append_ip_field(std::string& out, std::string_view name, const packet::IpAddress& address) {
  if (address.empty()) return;
  out += name;
  packet::append_ip_kernel(out, address);
  out += ' ';
}

// The kernel's own output escapes what could drive a terminal, so we do.
void append_name(std::string& out, base::Name name) {
  const std::string_view text = name.text();
  if (base::is_printable(text)) {
    out += text;
  } else {
    out += base::to_printable(text);
  }
}

void append_device(std::string& out, std::string_view name, base::Name device) {
  if (device.empty()) return;
  out += name;
  append_name(out, device);
  out += ' ';
}

// "INCOMPLETE [8 bytes] "
void append_incomplete(std::string& out, const packet::Cut& cut) {
  out += "INCOMPLETE ";
  if (!cut.bytes_left) return;
  out += '[';
  append_unsigned(out, *cut.bytes_left);
  out += " bytes] ";
}

// Only the truncated form lacks the space behind it.
void append_options(std::string& out, const packet::Options& options) {
  if (options.state == packet::Options::State::None) return;
  if (options.state == packet::Options::State::Truncated) {
    out += "OPT (TRUNCATED)";
    return;
  }
  out += "OPT (";
  for (std::size_t i = 0; i < options.bytes.size; ++i) append_byte(out, options.bytes.data[i], kUpperDigits);
  out += ") ";
}

// kernel: nf_log_dump_packet_common, dump_mac_header
void append_devices(std::string& out, const Packet& packet) {
  out += "IN=";
  append_name(out, packet.in);
  out += " OUT=";
  append_name(out, packet.out);
  out += ' ';
  append_device(out, "PHYSIN=", packet.physin);
  append_device(out, "PHYSOUT=", packet.physout);
  if (!packet.link.printed) return;
  out += "MAC=";
  for (std::size_t i = 0; i < packet.link.header.size; ++i) {
    if (i > 0) out += ':';
    append_byte(out, packet.link.header.data[i], kLowerDigits);
  }
  if (!packet.link.tunnel_from.empty() && !packet.link.tunnel_to.empty()) {
    out += " TUNNEL=";
    packet::append_ip_kernel(out, packet.link.tunnel_from);
    out += "->";
    packet::append_ip_kernel(out, packet.link.tunnel_to);
  }
  out += ' ';
}

// kernel: dump_arp_packet. Its last field has no space behind it.
void append_arp(std::string& out, const Packet& packet, const packet::Arp& arp) {
  out += "ARP ";
  append_field(out, "HTYPE=", arp.hardware_type);
  append_hex_field(out, "PTYPE=0x", arp.protocol_type, 4);
  append_field(out, "OPCODE=", arp.operation);
  if (packet.network_cut.cut) {
    append_incomplete(out, packet.network_cut);
  } else {
    if (arp.sender_mac) out.append("MACSRC=").append(packet::print_mac(*arp.sender_mac)).append(" ");
    append_ip_field(out, "IPSRC=", arp.sender_ip);
    if (arp.target_mac) out.append("MACDST=").append(packet::print_mac(*arp.target_mac)).append(" ");
    append_ip_field(out, "IPDST=", arp.target_ip);
  }
  out.pop_back();
}

// kernel: nf_log_dump_tcp_header. False: nothing follows.
bool append_tcp(std::string& out, const packet::Tcp& tcp) {
  append_field(out, "SEQ=", tcp.seq);
  append_field(out, "ACK=", tcp.ack_seq);
  append_field(out, "WINDOW=", tcp.window);
  append_hex_field(out, "RES=0x", tcp.reserved, 2);
  for (const FlagRow& row : kFlags) {
    if ((tcp.flags.value_or(0) & row.flag) != 0) out += row.text;
  }
  append_field(out, "URGP=", tcp.urgent);
  append_options(out, tcp.options);
  return tcp.options.state != packet::Options::State::Truncated;
}

void append_network(std::string& out, const Packet& packet, bool outer);

// kernel: the ICMP cases of dump_ipv4_packet and dump_ipv6_packet. Only an outer error shows what it is about.
void append_icmp(std::string& out, const Packet& packet, const packet::Icmp& icmp, IpVersion version,
                 bool outer) {
  append_field(out, "TYPE=", icmp.type);
  append_field(out, "CODE=", icmp.code);
  if (packet.transport_cut.cut) return append_incomplete(out, packet.transport_cut);
  append_field(out, "ID=", icmp.id);
  append_field(out, "SEQ=", icmp.sequence);
  if (version == IpVersion::V6) {
    append_hex_field(out, "POINTER=", icmp.parameter, 8);
  } else {
    append_field(out, "PARAMETER=", icmp.parameter);
  }
  append_ip_field(out, "GATEWAY=", icmp.gateway);
  if (icmp.inner && outer) {
    out += '[';
    append_network(out, *icmp.inner, false);
    out += "] ";
  }
  append_field(out, "MTU=", icmp.mtu);
}

bool is_later_fragment(const Extension& extension) {
  return extension.kind == Extension::Kind::Fragment && extension.fragment_offset.value_or(0) != 0;
}

// kernel: the loop of dump_ipv6_packet. False: nothing follows, and no space stands at the end.
bool append_extensions(std::string& out, const Packet& packet) {
  bool fragment = false;
  for (std::size_t i = 0; i < packet.extensions.size(); ++i) {
    const Extension& extension = packet.extensions[i];
    if (extension.kind == Extension::Kind::Unknown) {
      out += "Unknown Ext Hdr ";
      if (extension.next_header) append_unsigned(out, *extension.next_header);
      return false;
    }
    out += "OPT ( ";
    switch (extension.kind) {
      case Extension::Kind::Plain:
        if (fragment) {
          out += ')';
          return false;
        }
        break;
      case Extension::Kind::Fragment:
        if (extension.truncated) {
          out += "FRAG:TRUNCATED ";
          return false;
        }
        append_field(out, "FRAG:", extension.fragment_offset);
        if (extension.more_fragments) out += "INCOMPLETE ";
        append_hex_field(out, "ID:", extension.id, 8);
        fragment = fragment || is_later_fragment(extension);
        break;
      case Extension::Kind::Ah:
      case Extension::Kind::Esp: {
        const bool ah = extension.kind == Extension::Kind::Ah;
        out += ah ? "AH " : "ESP ";
        const bool cut = packet.network_cut.cut && !extension.spi;
        if (cut) append_incomplete(out, packet.network_cut);
        append_hex_field(out, "SPI=0x", extension.spi);
        if (!ah || cut || fragment || extension.truncated) {
          out += ')';
          return false;
        }
        break;
      }
      case Extension::Kind::Unknown: break;
    }
    // The kernel opens the bracket before it finds that it does not know the header.
    const bool unknown_next =
        i + 1 < packet.extensions.size() && packet.extensions[i + 1].kind == Extension::Kind::Unknown;
    if (extension.kind == Extension::Kind::Plain && unknown_next) continue;
    out += ") ";
  }
  return true;
}

void append_protocol(std::string& out, std::uint8_t protocol, IpVersion version) {
  out += "PROTO=";
  if (version == IpVersion::V6 && protocol == proto::kIcmpv6) {
    out += "ICMPv6 ";
    return;
  }
  for (const ProtocolRow& row : kProtocols) {
    // ICMP of the other version is a number: "PROTO=1" behind an IPv6 header.
    if (row.number != protocol || (protocol == proto::kIcmp && version == IpVersion::V6)) continue;
    out += row.text;
    out += ' ';
    return;
  }
  append_unsigned(out, protocol);
  out += ' ';
}

// The transport header with its "PROTO=". False: nothing follows.
bool append_transport(std::string& out, const Packet& packet, IpVersion version, bool later_fragment,
                      bool outer) {
  if (packet.protocol) {
    if (packet.protocol == proto::kAh && later_fragment && version == IpVersion::V4) return true;
    append_protocol(out, *packet.protocol, version);
  }
  if (later_fragment) return true;
  if (const auto* icmp = std::get_if<packet::Icmp>(&packet.transport)) {
    append_icmp(out, packet, *icmp, version, outer);
    return !(version == IpVersion::V6 && packet.transport_cut.cut);
  }
  if (packet.transport_cut.cut) {
    append_incomplete(out, packet.transport_cut);
    // A cut TCP or UDP header ends the line, a cut AH or ESP header does not.
    return packet.protocol == proto::kAh || packet.protocol == proto::kEsp;
  }
  if (const auto* spi = std::get_if<packet::Spi>(&packet.transport)) {
    append_hex_field(out, "SPI=0x", spi->spi);
    return true;
  }
  const auto* tcp = std::get_if<packet::Tcp>(&packet.transport);
  const auto* udp = std::get_if<packet::Udp>(&packet.transport);
  if (!tcp && !udp) return true;  // others have no ports in the log, even if we know them
  append_field(out, "SPT=", packet.ports.source);
  append_field(out, "DPT=", packet.ports.destination);
  if (udp) append_field(out, "LEN=", udp->length);
  return !tcp || append_tcp(out, *tcp);
}

// Without addresses (a damaged line) the fields that only one version has tell.
IpVersion version_of(const Packet& packet) {
  if (packet.version() != IpVersion::None) return packet.version();
  const bool v6 = packet.traffic_class || packet.flow_label || !packet.extensions.empty() ||
                  packet.protocol == proto::kIcmpv6;
  return v6 ? IpVersion::V6 : IpVersion::V4;
}

// A masked address is written as it was masked.
void append_address(std::string& out, std::string_view name, const packet::IpAddress& address,
                    base::Name text) {
  if (text.empty()) return append_ip_field(out, name, address);
  out.append(name).append(base::to_printable(text.text())).append(" ");
}

// nft says TOS and precedence in one number, the log in two.
void append_tos(std::string& out, const Packet& packet) {
  const auto append = [&](std::string_view name, unsigned value) {
    out += name;
    append_byte(out, static_cast<std::uint8_t>(value), kUpperDigits);
    out += ' ';
  };
  if (packet.tos) append("TOS=0x", *packet.tos & kTosMask);
  if (packet.precedence) {
    append("PREC=0x", *packet.precedence & kPrecedenceMask);
  } else if (packet.tos && packet.whole()) {
    append("PREC=0x", *packet.tos & kPrecedenceMask);
  }
}

// kernel: dump_ipv4_packet, dump_ipv6_packet. Inside an ICMP error (not outer) there is no UID and no MARK.
void append_network(std::string& out, const Packet& packet, bool outer) {
  const IpVersion version = version_of(packet);
  append_address(out, "SRC=", packet.source, packet.source_text);
  append_address(out, "DST=", packet.destination, packet.destination_text);
  append_field(out, "LEN=", packet.length);

  bool later_fragment = packet.fragment_offset.value_or(0) != 0;
  if (version == IpVersion::V6) {
    append_field(out, "TC=", packet.traffic_class);
    append_field(out, "HOPLIMIT=", packet.ttl);
    append_field(out, "FLOWLBL=", packet.flow_label);
    if (!append_extensions(out, packet)) return;
    for (const Extension& extension : packet.extensions)
      later_fragment = later_fragment || is_later_fragment(extension);
  } else {
    append_tos(out, packet);
    append_field(out, "TTL=", packet.ttl);
    append_field(out, "ID=", packet.id);
    if (packet.ce) out += "CE ";
    if (packet.df) out += "DF ";
    if (packet.mf) out += "MF ";
    if (later_fragment) append_field(out, "FRAG:", packet.fragment_offset);
    append_options(out, packet.ip_options);
  }
  if (packet.network_cut.cut) {
    out += "TRUNCATED";
    return;
  }
  if (!append_transport(out, packet, version, later_fragment, outer) || !outer) return;
  append_field(out, "UID=", packet.uid);
  append_field(out, "GID=", packet.gid);
  if (packet.mark.value_or(0) != 0) append_hex_field(out, "MARK=0x", packet.mark);
}

std::string_view word_of(trace::EventKind kind) {
  switch (kind) {
    case trace::EventKind::Rule: return ":rule:";
    case trace::EventKind::Return: return ":return:";
    case trace::EventKind::Policy: return ":policy:";
    case trace::EventKind::Headers: return {};
  }
  return {};
}

}  // namespace

void append_kernel_packet(std::string& out, const Packet& packet) {
  append_devices(out, packet);
  if (const auto* arp = std::get_if<packet::Arp>(&packet.transport)) return append_arp(out, packet, *arp);
  append_network(out, packet, true);
}

void append_kernel_line(std::string& out, const journey::Journey& journey, const journey::Step& step) {
  if (step.kind == trace::EventKind::Headers) return;
  out += "TRACE: ";
  append_name(out, step.table);
  out += ':';
  append_name(out, step.chain);
  out += word_of(step.kind);
  append_unsigned(out, step.number != 0 ? step.number : step.handle);
  out += ' ';
  if (step.form < journey.forms.size()) {
    append_kernel_packet(out, journey.forms[step.form]);
    if (journey.forms[step.form].shortened) out += "... ";  // as the person did who shortened it
  } else {
    out += "IN= OUT= ";
  }
  out += '\n';
}

}  // namespace fwtrace::report
