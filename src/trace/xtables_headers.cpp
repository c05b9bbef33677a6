// Slips of xtables-monitor's (iptables 1.8.0 to 1.8.10):
//   "ID=38349DF", "ID=7SPORT=22"      no blank behind the id
//   "OPT (94040000)SPORT=22"          none behind the options; bytes over 0x7f are sign-extended: FFFFFF94
//   "LEN=" of IPv6                    the payload's length + 20 (sizeof of the wrong struct)
//   "LL=0x3040000…"                   the device type and the link header in one number

#include "trace/xtables_headers.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/text.h"

namespace fwtrace::trace {
namespace {

using packet::IpVersion;
using packet::Packet;
using Word = std::string_view;
using Number = std::optional<std::uint64_t>;

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

bool put_tos(Packet& packet, Word word) {
  std::uint8_t tos = 0;
  if (!put<std::uint8_t>(tos, base::parse_unsigned(word))) return false;
  packet.tos = static_cast<std::uint8_t>(tos & 0x1eU);  // as nf_log_syslog's TOS= and PREC=
  packet.precedence = static_cast<std::uint8_t>(tos & 0xe0U);
  return true;
}

bool put_length(Packet& packet, Word word) {
  const Number length = base::parse_unsigned(word);
  const bool short_by_20 = packet.version() == IpVersion::V6;
  return put<std::uint32_t>(packet.length, length && short_by_20 ? Number(*length + 20) : length);
}

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
Number number(Word w) { return base::parse_unsigned(w); }

struct Field {
  Word name;
  bool (*read)(Packet&, base::Names&, Word) = nullptr;  // null: known and left out
};
constexpr auto kFields = std::to_array<Field>({
    {"IN", [](Packet& p, base::Names& n, Word w) { return p.in = n.intern(w), true; }},
    {"OUT", [](Packet& p, base::Names& n, Word w) { return p.out = n.intern(w), true; }},
    {"NFPROTO"},
    {"LL"},
    {"NH"},
    {"MACSRC", [](Packet& p, base::Names&, Word w) { return put_mac(p.link.source, w); }},
    {"MACDST", [](Packet& p, base::Names&, Word w) { return put_mac(p.link.destination, w); }},
    {"MACPROTO", [](Packet& p, base::Names&,
                    Word w) { return put<u16>(p.link.ethertype, base::parse_number<std::uint64_t>(w, 16)); }},
    {"SRC", [](Packet& p, base::Names&, Word w) { return put_ip(p.source, w); }},
    {"DST", [](Packet& p, base::Names&, Word w) { return put_ip(p.destination, w); }},
    {"LEN", [](Packet& p, base::Names&, Word w) { return put_length(p, w); }},
    {"TOS", [](Packet& p, base::Names&, Word w) { return put_tos(p, w); }},
    {"TTL", [](Packet& p, base::Names&, Word w) { return put<u8>(p.ttl, number(w)); }},
    {"ID", [](Packet& p, base::Names&, Word w) { return put<u16>(p.id, number(w)); }},
    {"TC", [](Packet& p, base::Names&, Word w) { return put<u8>(p.traffic_class, number(w)); }},
    {"HOPLIMIT", [](Packet& p, base::Names&, Word w) { return put<u8>(p.ttl, number(w)); }},
    {"FLOWLBL", [](Packet& p, base::Names&, Word w) { return put<u32>(p.flow_label, number(w)); }},
    {"SPORT", [](Packet& p, base::Names&, Word w) { return put<u16>(p.ports.source, number(w)); }},
    {"DPORT", [](Packet& p, base::Names&, Word w) { return put<u16>(p.ports.destination, number(w)); }},
    {"MARK", [](Packet& p, base::Names&, Word w) { return put<u32>(p.mark, number(w)); }},
});

struct TcpWord {
  Word word;
  std::uint16_t flag;
};
constexpr auto kTcpWords = std::to_array<TcpWord>({
    {"SYN", packet::kSyn},
    {"ACK", packet::kAck},
    {"FIN", packet::kFin},
    {"RST", packet::kRst},
    {"PSH", packet::kPsh},
    {"URG", packet::kUrg},
});

void set_flag(Packet& packet, std::uint16_t flag) {
  if (!std::holds_alternative<packet::Tcp>(packet.transport)) packet.transport.emplace<packet::Tcp>();
  auto& tcp = std::get<packet::Tcp>(packet.transport);
  tcp.flags = static_cast<std::uint16_t>(tcp.flags.value_or(0) | flag);
  packet.protocol = packet::proto::kTcp;
}

// A word without '='. False if it is none of ours.
bool read_flag(Packet& packet, Word word) {
  if (word == "LOOPBACK") return true;
  if (word == "CE") return packet.ce = true;
  if (word == "DF") return packet.df = true;
  if (word == "MF") return packet.mf = true;
  const auto row = std::ranges::find(kTcpWords, word, &TcpWord::word);
  if (row == kTcpWords.end()) return false;
  set_flag(packet, row->flag);
  return true;
}

int byte_at(Word text, std::size_t at) {
  if (at + 2 > text.size()) return -1;
  const int high = base::hex_value(text[at]), low = base::hex_value(text[at + 1]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

// "(94040000)"; `at` is moved behind it.
bool read_options(Packet& packet, Word text, std::size_t& at) {
  while (at < text.size() && text[at] == ' ') ++at;
  if (at >= text.size() || text[at] != '(') return false;
  packet.ip_options.state = packet::Options::State::Bytes;
  for (++at; at < text.size() && text[at] != ')'; at += 2) {
    if (text.substr(at).starts_with("FFFFFF") && byte_at(text, at + 6) >= 0x80) at += 6;
    const int value = byte_at(text, at);
    if (value < 0 || !packet.ip_options.bytes.push(static_cast<std::uint8_t>(value))) return false;
  }
  if (at >= text.size()) return false;
  ++at;
  return true;
}

}  // namespace

HeaderText read_xtables_headers(Word text, base::Names& names) {
  using Kind = TextProblem::Kind;
  HeaderText out;
  Packet& packet = out.packet;
  text = text.substr(0, text.find_last_not_of(" \t") + 1);
  const auto problem = [&](Kind kind, std::size_t from, std::size_t to) {
    out.problems.push_back({kind, from, std::string(text.substr(from, to - from))});
  };
  bool after_link = false, lost = false;
  std::size_t at = 0;
  for (;;) {
    while (at < text.size() && base::is_space(text[at])) ++at;
    if (at == text.size()) break;
    const std::size_t begin = at;
    std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    Word word = text.substr(begin, end - begin);
    const bool link_bytes = after_link && std::ranges::all_of(word, base::is_hex);
    after_link = word.starts_with("LL=");
    if (link_bytes) {
      at = end;
      continue;
    }
    if (word == "..." || word == "[...]" || word == "\xe2\x80\xa6") {
      problem(Kind::Abbreviated, begin, end);
      at = end;
      continue;
    }
    if (word.starts_with("ID=")) {  // the next word may stick to it
      const std::size_t digits = text.find_first_not_of("0123456789", begin + 3);
      end = std::min(digits, end);
      word = text.substr(begin, end - begin);
    }
    if (word.starts_with("OPT")) {
      at = begin + 3;
      if (!read_options(packet, text, at))
        problem(at >= text.size() ? Kind::Cut : Kind::Damaged, begin, std::min(at, text.size()));
      else ++out.fields;
      at = std::max(at, begin + 3);
      continue;
    }
    at = end;
    const std::size_t equals = word.find('=');
    const auto field =
        std::ranges::find(kFields, word.substr(0, std::min(equals, word.size())), &Field::name);
    if (equals == Word::npos) {
      if (word.starts_with("FRAG:")) {
        if (put<u16>(packet.fragment_offset, number(word.substr(5)))) ++out.fields;
        else problem(end == text.size() ? Kind::Cut : Kind::Damaged, begin, end);
      } else if (read_flag(packet, word)) {
        ++out.fields;
        lost = false;
      } else if (!lost) {
        problem(end == text.size() ? Kind::Cut : Kind::Unknown, begin, end);
        lost = true;
      }
      continue;
    }
    if (field == kFields.end()) {
      if (!lost) problem(Kind::Unknown, begin, end);
      lost = true;
      continue;
    }
    lost = false;
    if (field->read && !field->read(packet, names, word.substr(equals + 1))) {
      problem(end == text.size() ? Kind::Cut : Kind::Damaged, begin, end);
    } else {
      ++out.fields;
    }
  }
  if (text.empty()) problem(Kind::Cut, 0, 0);
  packet.damaged =
      std::ranges::any_of(out.problems, [](const TextProblem& p) { return p.kind != Kind::Unknown; });
  return out;
}

}  // namespace fwtrace::trace
