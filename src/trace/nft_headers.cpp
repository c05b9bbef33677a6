#include "trace/nft_headers.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/text.h"
#include "trace/nft_words.h"

namespace fwtrace::trace {
namespace {

using packet::IpVersion;
using packet::Packet;
using Word = std::string_view;
using Number = std::optional<std::uint64_t>;

// What is collected until the whole text is known.
struct Reading {
  Packet& packet;
  base::Names& names;
  std::optional<std::uint8_t> dscp, ecn;  // of either IP version
  std::optional<std::uint8_t> traffic;    // the whole byte ("ip tos")
  bool is_v6 = false;
  // Bytes 4 to 7 of the ICMP header. nft names them id and sequence, gateway, mtu or parameter-problem without
  // regard to the type, which alone says what they are.
  std::optional<std::uint16_t> rest_high, rest_low;

  template <class T>
  T& transport(std::uint8_t protocol) {
    if (!packet.protocol) packet.protocol = protocol;
    if (T* there = std::get_if<T>(&packet.transport)) return *there;
    return packet.transport.emplace<T>();
  }
};

template <class T, class Target>
bool put(Target& target, Number number) {
  if (!number || *number > std::numeric_limits<T>::max()) return false;
  target = static_cast<T>(*number);
  return true;
}

bool put_ip(packet::IpAddress& target, Word word) {
  const auto address = packet::parse_ip(word);
  if (address) target = *address;
  return address.has_value();
}

bool put_mac(packet::Maybe<packet::MacAddress>& target, Word word) {
  const auto mac = packet::parse_mac(word);
  if (mac) target = *mac;
  return mac.has_value();
}

bool put_name(Reading& r, base::Name& target, Word word) {
  if (word.size() >= 2 && word.front() == '"' && word.back() == '"') word = word.substr(1, word.size() - 2);
  else if (word.front() == '"') return false;
  target = r.names.intern(word);
  return true;
}

bool put_length6(Reading& r, Word word) {  // nft prints the payload's
  const Number length = base::parse_unsigned(word);
  return put<std::uint32_t>(r.packet.length, length ? Number(*length + 40) : length);
}

bool put_fragment(Reading& r, Word word) {  // the 16 bits of flags and offset
  std::uint16_t bits = 0;
  if (!put<std::uint16_t>(bits, base::parse_unsigned(word))) return false;
  r.packet.ce = (bits & 0x8000U) != 0;
  r.packet.df = (bits & 0x4000U) != 0;
  r.packet.mf = (bits & 0x2000U) != 0;
  if ((bits & 0x1fffU) != 0) r.packet.fragment_offset = static_cast<std::uint16_t>(bits & 0x1fffU);
  return true;
}

bool put_next_header(Reading& r, Word word) {
  std::uint8_t number = 0;
  if (!put<std::uint8_t>(number, nft_protocol(word))) return false;
  packet::Extension extension;
  switch (number) {
    case 44: extension.kind = packet::Extension::Kind::Fragment; [[fallthrough]];
    case 0:
    case 43:
    case 60: r.packet.extensions.push_back(extension); break;  // what follows it is not said
    default: r.packet.protocol = number;
  }
  return true;
}

bool put_rest(Reading& r, Word word) {
  std::uint32_t rest = 0;
  if (const auto address = packet::parse_ip(word); address && address->version == IpVersion::V4) {
    for (std::size_t i = 0; i < 4; ++i) rest = rest << 8 | address->bytes[i];
  } else if (!put<std::uint32_t>(rest, base::parse_unsigned(word))) {
    return false;
  }
  r.rest_high = static_cast<std::uint16_t>(rest >> 16);
  r.rest_low = static_cast<std::uint16_t>(rest & 0xffffU);
  return true;
}

// One row for a field whose value is kept; a null reader for one that is known and left out.
struct Field {
  Word protocol;  // "" for fields of one word
  Word name;
  bool (*read)(Reading&, Word) = nullptr;
};

template <std::uint8_t kNumber>
bool source_port(Reading& r, Word w) {
  if (!r.packet.protocol) r.packet.protocol = kNumber;
  return put<std::uint16_t>(r.packet.ports.source, nft_service(w));
}
template <std::uint8_t kNumber>
bool destination_port(Reading& r, Word w) {
  if (!r.packet.protocol) r.packet.protocol = kNumber;
  return put<std::uint16_t>(r.packet.ports.destination, nft_service(w));
}
bool spi(Reading& r, std::uint8_t protocol, Word w) {
  return put<std::uint32_t>(r.transport<packet::Spi>(protocol).spi, base::parse_unsigned(w));
}
packet::Tcp& tcp(Reading& r) { return r.transport<packet::Tcp>(packet::proto::kTcp); }
packet::Icmp& icmp(Reading& r) { return r.transport<packet::Icmp>(packet::proto::kIcmp); }
packet::Icmp& icmp6(Reading& r) { return r.transport<packet::Icmp>(packet::proto::kIcmpv6); }
packet::Arp& arp(Reading& r) {
  if (auto* there = std::get_if<packet::Arp>(&r.packet.transport)) return *there;
  return r.packet.transport.emplace<packet::Arp>();  // ARP has no protocol number
}
Number number(Word w) { return base::parse_unsigned(w); }

namespace proto = packet::proto;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;

constexpr auto kFields = std::to_array<Field>({
    {"", "iif", [](Reading& r, Word w) { return put_name(r, r.packet.in, w); }},
    {"", "oif", [](Reading& r, Word w) { return put_name(r, r.packet.out, w); }},
    {"", "iifname", [](Reading& r, Word w) { return put_name(r, r.packet.in, w); }},
    {"", "oifname", [](Reading& r, Word w) { return put_name(r, r.packet.out, w); }},
    {"", "iiftype"},
    {"", "oiftype"},
    {"", "ibrname"},
    {"", "obrname"},
    {"", "pkttype"},
    {"", "nfproto"},
    {"", "mark", [](Reading& r, Word w) { return put<u32>(r.packet.mark, number(w)); }},
    {"", "l4proto", [](Reading& r, Word w) { return put<u8>(r.packet.protocol, nft_protocol(w)); }},
    {"", "skuid", [](Reading& r, Word w) { return put<u32>(r.packet.uid, number(w)); }},
    {"", "skgid", [](Reading& r, Word w) { return put<u32>(r.packet.gid, number(w)); }},
    {"meta", "protocol"},
    {"meta", "length"},
    {"meta", "priority"},

    {"ether", "saddr", [](Reading& r, Word w) { return put_mac(r.packet.link.source, w); }},
    {"ether", "daddr", [](Reading& r, Word w) { return put_mac(r.packet.link.destination, w); }},
    {"ether", "type",
     [](Reading& r, Word w) { return put<u16>(r.packet.link.ethertype, nft_ether_type(w)); }},
    {"vlan", "id", [](Reading& r, Word w) { return put<u16>(r.packet.link.vlan, number(w)); }},
    {"vlan", "type", [](Reading& r, Word w) { return put<u16>(r.packet.link.ethertype, nft_ether_type(w)); }},
    {"vlan", "pcp"},
    {"vlan", "dei"},
    {"vlan", "cfi"},

    {"arp", "htype", [](Reading& r, Word w) { return put<u16>(arp(r).hardware_type, number(w)); }},
    {"arp", "ptype", [](Reading& r, Word w) { return put<u16>(arp(r).protocol_type, nft_ether_type(w)); }},
    {"arp", "operation", [](Reading& r, Word w) { return put<u16>(arp(r).operation, nft_arp_operation(w)); }},
    {"arp", "saddr ether", [](Reading& r, Word w) { return put_mac(arp(r).sender_mac, w); }},
    {"arp", "daddr ether", [](Reading& r, Word w) { return put_mac(arp(r).target_mac, w); }},
    {"arp", "saddr ip", [](Reading& r, Word w) { return put_ip(arp(r).sender_ip, w); }},
    {"arp", "daddr ip", [](Reading& r, Word w) { return put_ip(arp(r).target_ip, w); }},
    {"arp", "hlen"},
    {"arp", "plen"},

    {"ip", "saddr", [](Reading& r, Word w) { return put_ip(r.packet.source, w); }},
    {"ip", "daddr", [](Reading& r, Word w) { return put_ip(r.packet.destination, w); }},
    {"ip", "dscp", [](Reading& r, Word w) { return put<u8>(r.dscp, nft_dscp(w)); }},
    {"ip", "ecn", [](Reading& r, Word w) { return put<u8>(r.ecn, nft_ecn(w)); }},
    {"ip", "tos", [](Reading& r, Word w) { return put<u8>(r.traffic, number(w)); }},
    {"ip", "ttl", [](Reading& r, Word w) { return put<u8>(r.packet.ttl, number(w)); }},
    {"ip", "id", [](Reading& r, Word w) { return put<u16>(r.packet.id, number(w)); }},
    {"ip", "frag-off", put_fragment},
    {"ip", "protocol", [](Reading& r, Word w) { return put<u8>(r.packet.protocol, nft_protocol(w)); }},
    {"ip", "length", [](Reading& r, Word w) { return put<u32>(r.packet.length, number(w)); }},
    {"ip", "version"},
    {"ip", "hdrlength"},
    {"ip", "checksum"},

    {"ip6", "saddr", [](Reading& r, Word w) { return put_ip(r.packet.source, w); }},
    {"ip6", "daddr", [](Reading& r, Word w) { return put_ip(r.packet.destination, w); }},
    {"ip6", "dscp", [](Reading& r, Word w) { return r.is_v6 = true, put<u8>(r.dscp, nft_dscp(w)); }},
    {"ip6", "ecn", [](Reading& r, Word w) { return r.is_v6 = true, put<u8>(r.ecn, nft_ecn(w)); }},
    {"ip6", "hoplimit", [](Reading& r, Word w) { return put<u8>(r.packet.ttl, number(w)); }},
    {"ip6", "flowlabel", [](Reading& r, Word w) { return put<u32>(r.packet.flow_label, number(w)); }},
    {"ip6", "nexthdr", put_next_header},
    {"ip6", "length", put_length6},
    {"ip6", "version"},
    {"ip6", "priority"},

    {"tcp", "sport", source_port<proto::kTcp>},
    {"tcp", "dport", destination_port<proto::kTcp>},
    {"tcp", "sequence", [](Reading& r, Word w) { return put<u32>(tcp(r).seq, number(w)); }},
    {"tcp", "ackseq", [](Reading& r, Word w) { return put<u32>(tcp(r).ack_seq, number(w)); }},
    {"tcp", "flags", [](Reading& r, Word w) { return put<u16>(tcp(r).flags, nft_tcp_flags(w)); }},
    {"tcp", "window", [](Reading& r, Word w) { return put<u16>(tcp(r).window, number(w)); }},
    {"tcp", "urgptr", [](Reading& r, Word w) { return put<u16>(tcp(r).urgent, number(w)); }},
    {"tcp", "doff"},
    {"tcp", "reserved"},
    {"tcp", "checksum"},

    {"udp", "sport", source_port<proto::kUdp>},
    {"udp", "dport", destination_port<proto::kUdp>},
    {"udp", "length",
     [](Reading& r, Word w) { return put<u16>(r.transport<packet::Udp>(proto::kUdp).length, number(w)); }},
    {"udp", "checksum",
     [](Reading& r, Word w) { return put<u16>(r.transport<packet::Udp>(proto::kUdp).checksum, number(w)); }},
    {"udplite", "sport", source_port<proto::kUdplite>},
    {"udplite", "dport", destination_port<proto::kUdplite>},
    {"udplite", "csumcov"},
    {"udplite", "checksum",
     [](Reading& r,
        Word w) { return put<u16>(r.transport<packet::Udp>(proto::kUdplite).checksum, number(w)); }},
    {"sctp", "sport", source_port<proto::kSctp>},
    {"sctp", "dport", destination_port<proto::kSctp>},
    {"sctp", "vtag"},
    {"sctp", "checksum"},
    {"dccp", "sport", source_port<33>},
    {"dccp", "dport", destination_port<33>},
    {"dccp", "type"},
    {"th", "sport", [](Reading& r, Word w) { return put<u16>(r.packet.ports.source, nft_service(w)); }},
    {"th", "dport", [](Reading& r, Word w) { return put<u16>(r.packet.ports.destination, nft_service(w)); }},

    {"icmp", "type",
     [](Reading& r, Word w) { return put<u8>(icmp(r).type, nft_icmp_type(IpVersion::V4, w)); }},
    {"icmp", "code",
     [](Reading& r, Word w) { return put<u8>(icmp(r).code, nft_icmp_code(IpVersion::V4, w)); }},
    {"icmp", "id", [](Reading& r, Word w) { return put<u16>(r.rest_high, number(w)); }},
    {"icmp", "sequence", [](Reading& r, Word w) { return put<u16>(r.rest_low, number(w)); }},
    {"icmp", "mtu", [](Reading& r, Word w) { return put<u16>(r.rest_low, number(w)); }},
    {"icmp", "gateway", put_rest},
    {"icmp", "checksum"},
    {"icmpv6", "type",
     [](Reading& r, Word w) { return put<u8>(icmp6(r).type, nft_icmp_type(IpVersion::V6, w)); }},
    {"icmpv6", "code",
     [](Reading& r, Word w) { return put<u8>(icmp6(r).code, nft_icmp_code(IpVersion::V6, w)); }},
    {"icmpv6", "parameter-problem", put_rest},
    {"icmpv6", "packet-too-big", put_rest},
    {"icmpv6", "mtu", put_rest},
    {"icmpv6", "id", [](Reading& r, Word w) { return put<u16>(r.rest_high, number(w)); }},
    {"icmpv6", "sequence", [](Reading& r, Word w) { return put<u16>(r.rest_low, number(w)); }},
    {"icmpv6", "max-delay"},
    {"icmpv6", "taddr"},
    {"icmpv6", "daddr"},
    {"icmpv6", "checksum"},
    {"igmp", "type", [](Reading& r, Word) { return put<u8>(r.packet.protocol, Number(proto::kIgmp)); }},
    {"igmp", "mrt"},
    {"igmp", "checksum"},
    {"igmp", "group"},

    {"ah", "spi", [](Reading& r, Word w) { return spi(r, proto::kAh, w); }},
    {"ah", "nexthdr"},
    {"ah", "hdrlength"},
    {"ah", "reserved"},
    {"ah", "sequence"},
    {"esp", "spi", [](Reading& r, Word w) { return spi(r, proto::kEsp, w); }},
    {"esp", "sequence"},
    {"comp", "nexthdr"},
    {"comp", "flags"},
    {"comp", "cpi"},
    {"gre", "flags"},
    {"gre", "version"},
    {"gre", "protocol"},
    {"gre", "hdrlen"},
    {"mh", "nexthdr"},
    {"mh", "hdrlength"},
    {"mh", "type"},
    {"mh", "reserved"},
    {"mh", "checksum"},

    {"ct", "state", [](Reading& r, Word w) { return put<u32>(r.packet.ct_state, nft_ct_state(w)); }},
    {"ct", "status", [](Reading& r, Word w) { return put<u32>(r.packet.ct_status, nft_ct_status(w)); }},
    {"ct", "direction",
     [](Reading& r, Word w) { return put<u8>(r.packet.ct_direction, nft_ct_direction(w)); }},
    {"ct", "id", [](Reading& r, Word w) { return put<u32>(r.packet.ct_id, number(w)); }},
    {"ct", "mark"},
    {"ct", "zone"},
    {"ct", "l3proto"},
    {"ct", "protocol"},
});

bool is_raw(Word word) {  // "@th,64,96": bytes that nft has no name for
  return word.size() > 3 && word.front() == '@' && word.find(',') != Word::npos;
}

bool is_abbreviation(Word word) {
  return word == "..." || word == "[...]" || word == "[..]" || word == "\xe2\x80\xa6" || word == "[snip]";
}

const Field* find_field(Word protocol, Word name) {
  for (const Field& field : kFields) {
    if (field.protocol == protocol && field.name == name) return &field;
  }
  return nullptr;
}

bool is_protocol(Word word) {
  return !word.empty() &&
         (word == "meta" || std::ranges::find(kFields, word, &Field::protocol) != kFields.end());
}

// Takes a value of any form: `22`, `== syn`, `(syn | ack)`, `syn | ack`.
Word take_value(Word text, std::size_t& at) {
  Word word = take_word(text, at);
  if (word == "==" || word == "=") word = take_word(text, at);
  if (word.empty()) return {};
  std::size_t after = at;
  while (take_word(text, after) == "|" && !take_word(text, after).empty()) at = after;
  return Word(word.data(), static_cast<std::size_t>(text.data() + at - word.data()));
}

void finish_icmp(Reading& r) {
  auto* icmp = std::get_if<packet::Icmp>(&r.packet.transport);
  if (!icmp || !icmp->type || !r.rest_low) return;
  const std::uint8_t type = *icmp->type;
  const u32 rest = static_cast<u32>(r.rest_high.value_or(0)) << 16 | *r.rest_low;
  const auto echo = [&] { icmp->id = r.rest_high, icmp->sequence = r.rest_low; };
  if (r.packet.protocol == proto::kIcmpv6) {
    if (type == 128 || type == 129) echo();
    if (type == 2) icmp->mtu = rest;
    if (type == 4) icmp->parameter = rest;
    return;
  }
  switch (type) {
    case 0:
    case 8:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
    case 18: echo(); break;
    case 3:
      if (icmp->code == 4) icmp->mtu = *r.rest_low;
      break;
    case 5:
      if (r.rest_high) icmp->gateway = packet::IpAddress::v4(rest);
      break;
    case 12:
      if (r.rest_high) icmp->parameter = rest >> 24;
      break;
    default: break;
  }
}

void finish(Reading& r) {
  if (!r.traffic && (r.dscp || r.ecn)) {
    r.traffic = static_cast<u8>(r.dscp.value_or(0) << 2 | (r.ecn.value_or(0) & 3U));
  }
  if (r.traffic && r.is_v6) r.packet.traffic_class = r.traffic;
  if (r.traffic && !r.is_v6) {
    r.packet.tos = static_cast<u8>(*r.traffic & 0x1eU);  // as nf_log_syslog's TOS= and PREC=
    r.packet.precedence = static_cast<u8>(*r.traffic & 0xe0U);
  }
  finish_icmp(r);
}

}  // namespace

bool is_nft_field_word(Word word) {
  return is_raw(word) || is_protocol(word) || find_field("", word) != nullptr;
}

HeaderText read_nft_headers(Word text, base::Names& names) {
  using Kind = TextProblem::Kind;
  HeaderText out;
  Reading reading{.packet = out.packet,
                  .names = names,
                  .dscp = {},
                  .ecn = {},
                  .traffic = {},
                  .rest_high = {},
                  .rest_low = {}};
  const auto problem = [&](Kind kind, std::size_t from, std::size_t to) {
    out.problems.push_back({kind, from, std::string(base::trim(text.substr(from, to - from)))});
  };
  const Word visible = text.substr(0, text.find_last_not_of(" \t") + 1);
  bool lost = false;  // in words that we do not know: one problem for all of them
  std::size_t at = 0;
  for (;;) {
    while (at < visible.size() && base::is_space(visible[at])) ++at;
    const std::size_t begin = at;
    const Word first = take_word(visible, at);
    if (first.empty()) break;
    if (is_abbreviation(first)) {
      problem(Kind::Abbreviated, begin, at);
      lost = false;
      continue;
    }
    if (!is_nft_field_word(first)) {
      if (!lost) problem(at == visible.size() ? Kind::Cut : Kind::Unknown, begin, at);
      lost = true;
      continue;
    }
    lost = false;
    if (is_raw(first)) {
      if (take_value(visible, at).empty()) problem(Kind::Cut, begin, at);
      else ++out.fields;
      continue;
    }
    const Field* field = find_field("", first);
    if (!field) {  // a protocol and one of its fields; ARP's addresses are two words
      const Word name = take_word(visible, at);
      field = first == "meta" ? find_field("", name) : nullptr;
      if (!field) field = find_field(first, name);
      if (!field && first == "arp" && (name == "saddr" || name == "daddr")) {
        const Word kind = take_word(visible, at);
        field = find_field(first, std::string(name) + " " + std::string(kind));
      }
      if (!field) {
        if (is_abbreviation(name)) at -= name.size();
        problem(at == visible.size() ? Kind::Cut : Kind::Unknown, begin, at);
        lost = true;
        continue;
      }
    }
    const std::size_t before = at;
    const Word value = take_value(visible, at);
    if (value.empty()) {
      problem(Kind::Cut, begin, at);
    } else if (is_abbreviation(value)) {
      problem(Kind::Abbreviated, begin, at);
    } else if (field->read && !field->read(reading, value)) {
      // A name of a port that only their machine knows is no damage.
      const bool unknown = value.front() == '"' && value.size() > 1 && value.back() == '"';
      problem(unknown ? Kind::Unknown : at == visible.size() ? Kind::Cut : Kind::Damaged, begin, at);
      if (!unknown && is_nft_field_word(value)) at = before;  // the value is missing: that is the next field
    } else {
      ++out.fields;
    }
  }
  if (text.find_first_not_of(" \t") == Word::npos) problem(Kind::Cut, 0, 0);
  finish(reading);
  out.packet.damaged =
      std::ranges::any_of(out.problems, [](const TextProblem& p) { return p.kind != Kind::Unknown; });
  return out;
}

}  // namespace fwtrace::trace
