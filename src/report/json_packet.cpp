#include "report/json_packet.h"

#include <array>

#include "report/words.h"

namespace fwtrace::report {
namespace {

using packet::Packet;

constexpr int kMostInner = 4;  // packets inside ICMP errors inside …; the kernel prints one

void write_ip(JsonWriter& json, std::string_view name, const packet::IpAddress& address) {
  if (!address.empty()) json.field(name, packet::print_ip(address));
}

void write_mac(JsonWriter& json, std::string_view name, const packet::Maybe<packet::MacAddress>& mac) {
  if (mac) json.field(name, packet::print_mac(*mac));
}

std::string print_bytes(const packet::Bytes& bytes, std::string_view separator) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size; ++i) {
    if (i != 0) out += separator;
    append_hex(out, bytes.data[i], 2);
  }
  return out;
}

void write_options(JsonWriter& json, std::string_view name, std::string_view truncated,
                   const packet::Options& options) {
  using State = packet::Options::State;
  if (options.state == State::Bytes) json.field(name, print_bytes(options.bytes, ""));
  if (options.state == State::Truncated) json.field(truncated, true);
}

void write_cut(JsonWriter& json, std::string_view name, const packet::Cut& cut) {
  if (!cut.cut) return;
  json.key(name);
  json.begin_object();
  json.maybe("bytes_left", cut.bytes_left);
  json.end_object();
}

void write_link(JsonWriter& json, const packet::Link& link) {
  if (link.printed) json.field("mac", print_bytes(link.header, ":"));
  write_mac(json, "src_mac", link.source);
  write_mac(json, "dst_mac", link.destination);
  json.maybe("ethertype", link.ethertype);
  json.maybe("vlan", link.vlan);
  write_ip(json, "tunnel_from", link.tunnel_from);
  write_ip(json, "tunnel_to", link.tunnel_to);
}

std::string_view extension_word(packet::Extension::Kind kind) {
  using Kind = packet::Extension::Kind;
  switch (kind) {
    case Kind::Plain: return "plain";
    case Kind::Fragment: return "fragment";
    case Kind::Ah: return "ah";
    case Kind::Esp: return "esp";
    case Kind::Unknown: return "unknown";
  }
  return "";
}

void write_extensions(JsonWriter& json, const std::vector<packet::Extension>& extensions) {
  if (extensions.empty()) return;
  json.key("ext_headers");
  json.begin_array();
  for (const packet::Extension& extension : extensions) {
    json.begin_object();
    json.field("kind", extension_word(extension.kind));
    json.maybe("frag_offset", extension.fragment_offset);
    json.if_true("more_fragments", extension.more_fragments);
    json.maybe("id", extension.id);
    json.maybe("spi", extension.spi);
    json.maybe("next_header", extension.next_header);
    json.if_true("truncated", extension.truncated);
    json.end_object();
  }
  json.end_array();
}

void write_network(JsonWriter& json, const Packet& packet) {
  write_ip(json, "src", packet.source);
  if (!packet.source_text.empty()) json.field("src_masked", packet.source_text.text());
  write_ip(json, "dst", packet.destination);
  if (!packet.destination_text.empty()) json.field("dst_masked", packet.destination_text.text());
  json.maybe("len", packet.length);
  json.maybe("tos", packet.tos);
  json.maybe("prec", packet.precedence);
  json.maybe("tc", packet.traffic_class);
  json.maybe("flow_label", packet.flow_label);
  json.maybe("ttl", packet.ttl);
  json.maybe("id", packet.id);
  json.if_true("ce", packet.ce);
  json.if_true("df", packet.df);
  json.if_true("mf", packet.mf);
  json.maybe("frag", packet.fragment_offset);
  write_options(json, "ip_options", "ip_options_truncated", packet.ip_options);
  write_extensions(json, packet.extensions);
  write_cut(json, "network_cut", packet.network_cut);
  json.maybe("proto", packet.protocol);
  if (packet.protocol) json.maybe("proto_name", packet::protocol_name(*packet.protocol));
  json.maybe("sport", packet.ports.source);
  json.maybe("dport", packet.ports.destination);
}

void write_headers(JsonWriter& json, const Packet& packet, int depth);

// The transport header, as an object named for its kind.
struct TransportWriter {
  JsonWriter& json;
  int depth;

  void operator()(std::monostate) const {}
  void operator()(const packet::Tcp& tcp) const {
    json.key("tcp");
    json.begin_object();
    json.maybe("seq", tcp.seq);
    json.maybe("ack", tcp.ack_seq);
    json.maybe("window", tcp.window);
    json.maybe("urgent", tcp.urgent);
    json.maybe("reserved", tcp.reserved);
    if (tcp.flags) {
      static constexpr std::array<std::string_view, 9> kNames = {"FIN", "SYN", "RST", "PSH", "ACK",
                                                                 "URG", "ECE", "CWR", "AE"};
      json.key("flags");
      json.begin_array();
      for (std::size_t bit = 0; bit < kNames.size(); ++bit) {
        if ((*tcp.flags >> bit & 1) != 0) json.value(kNames[bit]);
      }
      json.end_array();
    }
    write_options(json, "options", "options_truncated", tcp.options);
    json.end_object();
  }
  void operator()(const packet::Udp& udp) const {
    json.key("udp");
    json.begin_object();
    json.maybe("len", udp.length);
    json.maybe("checksum", udp.checksum);
    json.end_object();
  }
  void operator()(const packet::Icmp& icmp) const {
    json.key("icmp");
    json.begin_object();
    json.maybe("type", icmp.type);
    json.maybe("code", icmp.code);
    json.maybe("id", icmp.id);
    json.maybe("seq", icmp.sequence);
    write_ip(json, "gateway", icmp.gateway);
    json.maybe("parameter", icmp.parameter);
    json.maybe("mtu", icmp.mtu);
    if (icmp.inner && depth < kMostInner) {
      json.key("inner");
      write_headers(json, *icmp.inner, depth + 1);
    }
    json.end_object();
  }
  void operator()(const packet::Spi& spi) const { json.maybe("spi", spi.spi); }
  void operator()(const packet::Arp& arp) const {
    json.key("arp");
    json.begin_object();
    json.maybe("hardware_type", arp.hardware_type);
    json.maybe("protocol_type", arp.protocol_type);
    json.maybe("operation", arp.operation);
    write_mac(json, "sender_mac", arp.sender_mac);
    write_mac(json, "target_mac", arp.target_mac);
    write_ip(json, "sender_ip", arp.sender_ip);
    write_ip(json, "target_ip", arp.target_ip);
    json.end_object();
  }
};

void write_headers(JsonWriter& json, const Packet& packet, int depth) {
  json.begin_object();
  json.maybe("in", packet.in.text());
  json.maybe("out", packet.out.text());
  json.maybe("physin", packet.physin.text());
  json.maybe("physout", packet.physout.text());
  write_link(json, packet.link);
  write_network(json, packet);
  std::visit(TransportWriter{json, depth}, packet.transport);
  write_cut(json, "transport_cut", packet.transport_cut);
  json.maybe("mark", packet.mark);
  json.maybe("uid", packet.uid);
  json.maybe("gid", packet.gid);
  if (packet.ct_state || packet.ct_status || packet.ct_id || packet.ct_direction) {
    json.key("ct");
    json.begin_object();
    json.maybe("state", packet.ct_state);
    json.maybe("status", packet.ct_status);
    json.maybe("id", packet.ct_id);
    if (packet.ct_direction) json.field("direction", *packet.ct_direction == 0 ? "original" : "reply");
    json.end_object();
  }
  json.if_true("damaged", packet.damaged);
  json.if_true("shortened", packet.shortened);
  json.end_object();
}

}  // namespace

void write_packet(JsonWriter& json, const Packet& packet) { write_headers(json, packet, 0); }

}  // namespace fwtrace::report
