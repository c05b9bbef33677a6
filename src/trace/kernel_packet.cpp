// One class walks the words of a line once and knows where it is in it (before PROTO=, inside an extension header,
// inside an ICMP error's packet): the meaning of LEN, ID, SEQ and ACK depends on that. Splitting it over files would
// hide that state; hence a file longer than the house likes.

#include "trace/kernel_packet.h"

#include <utility>

#include "base/text.h"

namespace fwtrace::trace {
namespace {

using packet::Extension;
using packet::Icmp;
using packet::Maybe;
using packet::Options;
using packet::Packet;
using packet::Spi;
using packet::Tcp;
using packet::Udp;

// A field's name as a number, so that one switch finds it: up to eight characters, first in the lowest byte.
constexpr std::uint64_t key(std::string_view name) {
  std::uint64_t packed = 0;
  for (std::size_t i = 0; i < name.size(); ++i)
    packed |= static_cast<std::uint64_t>(static_cast<unsigned char>(name[i])) << (8 * i);
  return packed;
}

// Decimal, the whole text; false for anything else.
template <class T>
bool read_decimal(std::string_view text, Maybe<T>& to) {
  if (text.empty() || text.size() > 10) return false;
  std::uint64_t value = 0;
  for (const char c : text) {
    const unsigned digit = static_cast<unsigned char>(c) - unsigned{'0'};
    if (digit > 9) return false;
    value = value * 10 + digit;
  }
  if (value > std::uint64_t{T(~T{})}) return false;
  to = static_cast<T>(value);
  return true;
}

// "0x1f"; ulogd writes TOS=00 without the 0x.
template <class T>
bool read_hex(std::string_view text, Maybe<T>& to) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  if (text.empty() || text.size() > sizeof(T) * 2) return false;
  std::uint64_t value = 0;
  for (const char c : text) {
    const int digit = base::hex_value(c);
    if (digit < 0) return false;
    value = value << 4 | static_cast<unsigned>(digit);
  }
  to = static_cast<T>(value);
  return true;
}

bool read_ip(std::string_view text, packet::IpAddress& to) {
  const auto address = packet::parse_ip(text);
  if (!address) return false;
  to = *address;
  return true;
}

bool read_mac(std::string_view text, Maybe<packet::MacAddress>& to) {
  to = packet::parse_mac(text);
  return to.has_value();
}

// MAC=: hex pairs joined by ':'. Ethernet gives destination, source, type (and whatever the device has before).
bool read_mac_header(std::string_view text, packet::Link& link) {
  link.printed = true;
  link.header = {};
  for (std::size_t i = 0; i < text.size(); i += 3) {
    if (i + 2 > text.size() || (i + 2 < text.size() && text[i + 2] != ':')) return false;
    const int high = base::hex_value(text[i]), low = base::hex_value(text[i + 1]);
    if (high < 0 || low < 0 || !link.header.push(static_cast<std::uint8_t>(high << 4 | low))) return false;
  }
  if (!text.empty() && text.back() == ':') return false;
  if (link.header.size >= 14) {
    packet::MacAddress destination{}, source{};
    for (std::size_t i = 0; i < 6; ++i) {
      destination[i] = link.header.data[i];
      source[i] = link.header.data[6 + i];
    }
    link.destination = destination;
    link.source = source;
    link.ethertype = static_cast<std::uint16_t>(link.header.data[12] << 8 | link.header.data[13]);
  }
  return true;
}

// "(020404B4)": upper-case hex pairs between parentheses, or "(TRUNCATED)".
bool read_options(std::string_view text, Options& to) {
  if (text == "(TRUNCATED)") {
    to.state = Options::State::Truncated;
    return true;
  }
  if (text.size() < 2 || text.front() != '(' || text.back() != ')' || text.size() % 2 != 0) return false;
  to.state = Options::State::Bytes;
  to.bytes = {};
  for (std::size_t i = 1; i + 1 < text.size(); i += 2) {
    const int high = base::hex_value(text[i]), low = base::hex_value(text[i + 1]);
    if (high < 0 || low < 0 || !to.bytes.push(static_cast<std::uint8_t>(high << 4 | low))) {
      to = {};
      return false;
    }
  }
  return true;
}

std::uint16_t tcp_flag(std::uint64_t word) {
  switch (word) {
    case key("SYN"): return packet::kSyn;
    case key("ACK"): return packet::kAck;
    case key("FIN"): return packet::kFin;
    case key("RST"): return packet::kRst;
    case key("PSH"): return packet::kPsh;
    case key("URG"): return packet::kUrg;
    case key("ECE"): return packet::kEce;
    case key("CWR"): return packet::kCwr;
    case key("AE"): return packet::kAe;
    default: return 0;
  }
}

bool is_ellipsis(std::string_view word) {
  return word == "..." || word == ".." || word == "…" || word == "[...]" || word == "[…]" ||
         word == "<snip>" || word == "[snip]" || word == "....";
}

// Did a person hide this value: "x.x.x.x", "xx:xx", "****", "<client>", "[redacted]"?
bool is_masked(std::string_view value) {
  for (const std::string_view sign :
       {"xx", "XX", "x.", "X.", ".x", ".X", "**", "*.", ".*", "##", "<", "[", "redact", "REDACT"}) {
    if (value.find(sign) != std::string_view::npos) return true;
  }
  return value == "x" || value == "X" || value == "*";
}

// Reads one packet; a second object reads the packet inside an ICMP error.
class Scanner {
 public:
  Scanner(std::string_view text, std::size_t at, base::Names& names, Packet& packet, int depth)
      : text_(text), at_(at), names_(names), packet_(packet), depth_(depth) {
    tcp_ = std::get_if<Tcp>(&packet.transport);
    icmp_ = std::get_if<Icmp>(&packet.transport);
    udp_ = std::get_if<Udp>(&packet.transport);
  }

  PacketScan run() {
    while (next_word()) {
      if (!(has_equals_ ? field() : bare_word())) {
        at_ = word_at_;  // not ours: stop before it
        break;
      }
      closed_ |= closes_;
      if (closed_) break;
    }
    scan_.end = at_;
    scan_.complete = !open_inner_ && is_complete();
    return scan_;
  }
  bool closed() const { return closed_; }

 private:
  // The next run of non-blanks; word_ is the part before '=', value_ the part behind it.
  bool next_word() {
    while (at_ < text_.size() && base::is_space(text_[at_])) ++at_;
    if (at_ == text_.size()) return false;
    word_at_ = at_;
    has_equals_ = false;
    std::size_t equals = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t') break;
      if (c == '=' && !has_equals_) {
        has_equals_ = true;
        equals = at_;
      }
    }
    const std::size_t word_end = has_equals_ ? equals : at_;
    word_ = text_.substr(word_at_, word_end - word_at_);
    value_ = has_equals_ ? text_.substr(equals + 1, at_ - equals - 1) : std::string_view();
    if (!value_.empty() && is_junk(value_.back())) cut_junk();
    // Behind some cut headers the kernel prints no blank before the bracket that closes the inner packet.
    std::string_view& last = has_equals_ ? value_ : word_;
    closes_ = depth_ > 0 && last.size() > 1 && last.back() == ']' && last != "bytes]";
    if (closes_) last.remove_suffix(1);
    return true;
  }
  // Quotes, brackets and tags that a paste left glued to the last field: `URGP=0"`, `URGP=0<br>`.
  static bool is_junk(char c) { return std::string_view("\"'`,;)<>}|\\").find(c) != std::string_view::npos; }
  void cut_junk() {
    std::size_t end = 0;
    while (end < value_.size() && !is_junk(value_[end])) ++end;
    if (end > 0) value_ = value_.substr(0, end);
  }
  std::string_view peek() const {
    std::size_t i = at_;
    while (i < text_.size() && base::is_space(text_[i])) ++i;
    std::size_t end = i;
    while (end < text_.size() && !base::is_space(text_[end])) ++end;
    return text_.substr(i, end - i);
  }

  void damage(std::size_t at) {
    if (!scan_.damaged) scan_.damage_at = at;
    scan_.damaged = true;
  }
  // A field of ours whose value cannot be read: the field stays missing, reading goes on. The last word of a text
  // may have been cut off: the caller sees the damage and whether the text could be continued.
  bool keep(bool read) {
    if (read) return true;
    if (is_ellipsis(value_)) scan_.abbreviated = true;
    else if (is_masked(value_)) scan_.masked = true;
    else damage(word_at_ + word_.size() + 1);
    return true;
  }
  // An address: what a person put in its place is kept, since it tells one packet from another.
  bool keep_address(packet::IpAddress& to, base::Name& text) {
    if (read_ip(value_, to)) return true;
    const bool dotted = value_.find(':') == std::string_view::npos;
    bool letters = false;
    for (const char c : value_) letters |= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_ellipsis(value_) || value_.empty() || value_.find('=') != std::string_view::npos ||
        !(is_masked(value_) || (dotted && letters)))
      return keep(false);
    scan_.masked = true;
    text = names_.intern(value_);
    return true;
  }

  Tcp& tcp() {
    if (tcp_ == nullptr) tcp_ = &packet_.transport.emplace<Tcp>();
    icmp_ = nullptr;
    udp_ = nullptr;
    return *tcp_;
  }
  Icmp& icmp() {
    if (icmp_ == nullptr) icmp_ = &packet_.transport.emplace<Icmp>();
    tcp_ = nullptr;
    udp_ = nullptr;
    return *icmp_;
  }
  packet::Arp& arp() {
    if (auto* known = std::get_if<packet::Arp>(&packet_.transport)) return *known;
    forget_transport();
    return packet_.transport.emplace<packet::Arp>();
  }
  Spi& new_spi() {
    forget_transport();
    return packet_.transport.emplace<Spi>();
  }
  // Before another transport takes the place of the one they point to.
  void forget_transport() {
    tcp_ = nullptr;
    icmp_ = nullptr;
    udp_ = nullptr;
  }

  bool field() {
    if (word_.size() > 8) {
      if (word_ == "PARAMETER") return keep(read_decimal(value_, icmp().parameter));
      return bracket_field();
    }
    switch (key(word_)) {
      case key("IN"): packet_.in = names_.intern(value_); return true;
      case key("OUT"): packet_.out = names_.intern(value_); return true;
      case key("PHYSIN"): packet_.physin = names_.intern(value_); return true;
      case key("PHYSOUT"): packet_.physout = names_.intern(value_); return true;
      case key("MAC"): {
        const bool read = read_mac_header(value_, packet_.link);
        if (!read) packet_.link.header = {};
        return keep(read);
      }
      case key("TUNNEL"): return tunnel();
      case key("SRC"): return keep_address(packet_.source, packet_.source_text);
      case key("DST"): return keep_address(packet_.destination, packet_.destination_text);
      case key("LEN"):
        if (udp_ != nullptr) return keep(read_decimal(value_, udp_->length));
        return keep(read_decimal(value_, packet_.length));
      case key("TOS"): return keep(read_hex(value_, packet_.tos));
      case key("PREC"): return keep(read_hex(value_, packet_.precedence));
      case key("TTL"):
      case key("HOPLIMIT"): return keep(read_decimal(value_, packet_.ttl));
      case key("TC"): return keep(read_decimal(value_, packet_.traffic_class));
      case key("FLOWLBL"): return keep(read_decimal(value_, packet_.flow_label));
      case key("ID"):
        if (icmp_ != nullptr) return keep(read_decimal(value_, icmp_->id));
        return keep(read_decimal(value_, packet_.id));
      case key("PROTO"): return protocol();
      case key("SPT"): return keep(read_decimal(value_, packet_.ports.source));
      case key("DPT"): return keep(read_decimal(value_, packet_.ports.destination));
      case key("SEQ"):
        if (icmp_ != nullptr) return keep(read_decimal(value_, icmp_->sequence));
        return keep(read_decimal(value_, tcp().seq));
      case key("ACK"): return keep(read_decimal(value_, tcp().ack_seq));
      case key("WINDOW"): return keep(read_decimal(value_, tcp().window));
      case key("RES"): {
        if (!tcp().flags) tcp().flags = std::uint16_t{0};  // the flags follow, possibly none
        return keep(read_hex(value_, tcp().reserved));
      }
      case key("URGP"): return keep(read_decimal(value_, tcp().urgent));
      case key("TYPE"): return keep(read_decimal(value_, icmp().type));
      case key("CODE"): return keep(read_decimal(value_, icmp().code));
      case key("GATEWAY"): return keep(read_ip(value_, icmp().gateway));
      case key("MTU"): return keep(read_decimal(value_, icmp().mtu));
      case key("POINTER"): return keep(read_hex(value_, icmp().parameter));
      case key("SPI"): return spi();
      case key("UID"): return keep(read_decimal(value_, packet_.uid));
      case key("GID"): return keep(read_decimal(value_, packet_.gid));
      case key("MARK"): return keep(read_hex(value_, packet_.mark));
      case key("MACSRC"): return keep(read_mac(value_, in_arp_ ? arp().sender_mac : packet_.link.source));
      case key("MACDST"):
        return keep(read_mac(value_, in_arp_ ? arp().target_mac : packet_.link.destination));
      case key("MACPROTO"):
      case key("VPROTO"): return keep(read_hex(value_, packet_.link.ethertype));
      case key("VID"): return keep(read_decimal(value_, packet_.link.vlan));
      case key("HTYPE"): return keep(read_decimal(value_, arp().hardware_type));
      case key("PTYPE"): return keep(read_hex(value_, arp().protocol_type));
      case key("OPCODE"): return keep(read_decimal(value_, arp().operation));
      case key("IPSRC"): return keep(read_ip(value_, arp().sender_ip));
      case key("IPDST"): return keep(read_ip(value_, arp().target_ip));
      default: return bracket_field();
    }
  }

  bool tunnel() {
    const std::size_t arrow = value_.find("->");
    if (arrow == std::string_view::npos) return keep(false);
    return keep(read_ip(value_.substr(0, arrow), packet_.link.tunnel_from) &&
                read_ip(value_.substr(arrow + 2), packet_.link.tunnel_to));
  }

  bool protocol() {
    namespace p = packet::proto;
    switch (value_.size() > 8 ? 0 : key(value_)) {
      case key("TCP"):
        packet_.protocol = p::kTcp;
        tcp();
        return true;
      case key("UDP"): packet_.protocol = p::kUdp; break;
      case key("UDPLITE"): packet_.protocol = p::kUdplite; break;
      case key("ICMP"):
        packet_.protocol = p::kIcmp;
        icmp();
        return true;
      case key("ICMPv6"):
        packet_.protocol = p::kIcmpv6;
        icmp();
        return true;
      case key("AH"):
        packet_.protocol = p::kAh;
        new_spi();
        return true;
      case key("ESP"):
        packet_.protocol = p::kEsp;
        new_spi();
        return true;
      default: return keep(read_decimal(value_, packet_.protocol));
    }
    forget_transport();
    udp_ = &packet_.transport.emplace<Udp>();
    return true;
  }

  bool spi() {
    if (!packet_.extensions.empty() && in_extension_)
      return keep(read_hex(value_, packet_.extensions.back().spi));
    auto* known = std::get_if<Spi>(&packet_.transport);
    return keep(read_hex(value_, (known != nullptr ? *known : new_spi()).spi));
  }

  // "[SRC=…": the packet inside an ICMP error begins.
  bool bracket_field() {
    if (!word_.starts_with('[') || depth_ >= 3) return false;
    auto inner = std::make_shared<Packet>();
    Scanner scanner(text_, word_at_ + 1, names_, *inner, depth_ + 1);
    const PacketScan scan = scanner.run();
    at_ = scan.end;
    open_inner_ = !scanner.closed();
    if (scan.damaged) damage(scan.damage_at);
    scan_.abbreviated |= scan.abbreviated;
    scan_.masked |= scan.masked;
    icmp().inner = std::move(inner);
    return true;
  }

  bool bare_word() {
    if (word_.size() <= 3) {
      const std::uint64_t word = key(word_);
      if (const std::uint16_t flag = tcp_flag(word); flag != 0) {
        tcp().flags = static_cast<std::uint16_t>(tcp().flags.value_or(0) | flag);
        return true;
      }
      switch (word) {
        case key("DF"): return packet_.df = true;
        case key("MF"): return packet_.mf = true;
        case key("CE"): return packet_.ce = true;
        case key("OPT"): return options();
        case key("AH"): return extension(Extension::Kind::Ah);
        case key("ESP"): return extension(Extension::Kind::Esp);
        case key("ARP"): arp(); return in_arp_ = true;
        case key(")"): in_extension_ = false; return true;
        case key("]"): closed_ = depth_ > 0; return closed_;
        default: break;
      }
    }
    if (word_.starts_with("FRAG:")) return fragment();
    if (word_.starts_with("ID:") && in_extension_) {
      return keep(read_hex(value_ = word_.substr(3), packet_.extensions.back().id));
    }
    if (word_ == "INCOMPLETE") return incomplete();
    if (word_ == "TRUNCATED") return packet_.network_cut.cut = true;
    if (word_ == "[TRUNCATED]" &&
        depth_ == 0) {  // the packet inside an ICMPv6 error was cut before its header
      auto inner = std::make_shared<Packet>();
      inner->network_cut.cut = true;
      icmp().inner = std::move(inner);
      return true;
    }
    if (word_ == "Unknown" && peek() == "Ext") return unknown_extension();
    if (is_ellipsis(word_)) return scan_.abbreviated = true;
    return false;
  }

  bool options() {
    const std::string_view first = peek();
    if (first == "(") {  // IPv6: "OPT ( … ) "
      next_word();
      packet_.extensions.emplace_back();
      return in_extension_ = true;
    }
    if (!first.starts_with('(')) return true;  // cut behind OPT
    next_word();
    value_ = text_.substr(word_at_, at_ - word_at_);
    value_ = value_.substr(0, std::min(value_.find(')'), value_.size() - 1) + 1);
    Options& to = packet_.protocol ? tcp().options : packet_.ip_options;
    if (!read_options(value_, to)) damage(word_at_);
    return true;
  }

  bool extension(Extension::Kind kind) {
    if (!in_extension_) return false;
    packet_.extensions.back().kind = kind;
    if (peek() == ")") packet_.extensions.back().truncated = true;
    return true;
  }

  bool fragment() {
    value_ = word_.substr(5);
    if (!in_extension_) return keep(read_decimal(value_, packet_.fragment_offset));
    packet_.extensions.back().kind = Extension::Kind::Fragment;
    return keep(read_decimal(value_, packet_.extensions.back().fragment_offset));
  }

  // "INCOMPLETE [8 bytes] " for a header that was cut; bare INCOMPLETE in a fragment header: more fragments.
  bool incomplete() {
    if (in_extension_ && packet_.extensions.back().kind == Extension::Kind::Fragment)
      return packet_.extensions.back().more_fragments = true;
    packet::Cut& cut = packet_.protocol ? packet_.transport_cut : packet_.network_cut;
    cut.cut = true;
    if (!peek().starts_with('[')) return true;
    next_word();
    const std::string_view count = text_.substr(word_at_ + 1, at_ - word_at_ - 1);
    if (!read_decimal(count, cut.bytes_left)) damage(word_at_);
    if (peek() == "bytes]") next_word();
    return true;
  }

  bool unknown_extension() {
    packet_.extensions.emplace_back();
    Extension& last = packet_.extensions.back();
    last.kind = Extension::Kind::Unknown;
    next_word();  // Ext
    if (peek() == "Hdr") next_word();
    if (next_word()) {
      value_ = word_;
      if (!read_decimal(value_, last.next_header)) damage(word_at_);
    }
    return true;
  }

  bool is_complete() const {
    if (packet_.network_cut.cut || packet_.transport_cut.cut) return true;
    if (in_arp_) return true;
    bool later_fragment = packet_.fragment_offset.value_or(0) > 0;
    for (const Extension& e : packet_.extensions) later_fragment |= e.fragment_offset.value_or(0) > 0;
    if (!packet_.protocol) {
      return later_fragment || (!packet_.extensions.empty() && !in_extension_ &&
                                (packet_.extensions.back().kind == Extension::Kind::Esp ||
                                 packet_.extensions.back().kind == Extension::Kind::Unknown));
    }
    if (later_fragment) return true;
    if (tcp_ != nullptr) return tcp_->urgent.has_value();
    if (udp_ != nullptr) return udp_->length.has_value();
    if (icmp_ != nullptr) return is_complete(*icmp_);
    if (const auto* s = std::get_if<Spi>(&packet_.transport)) return s->spi.has_value();
    return true;
  }

  // What nf_log prints behind TYPE and CODE (dump_ipv4_packet, dump_ipv6_packet).
  bool is_complete(const Icmp& icmp) const {
    if (!icmp.type || !icmp.code) return false;
    const bool v6 = packet_.protocol == packet::proto::kIcmpv6;
    switch (*icmp.type) {
      case 0:
      case 8: return v6 || icmp.sequence.has_value();
      case 128:
      case 129: return !v6 || icmp.sequence.has_value();
      case 3: return icmp.inner != nullptr && (v6 || *icmp.code != 4 || depth_ > 0 || icmp.mtu.has_value());
      case 1:
      case 2: return !v6 || icmp.inner != nullptr;
      case 4: return icmp.inner != nullptr;
      case 5: return v6 || (icmp.gateway.version != packet::IpVersion::None && icmp.inner != nullptr);
      case 11: return v6 || icmp.inner != nullptr;
      case 12: return v6 || icmp.parameter.has_value();
      default: return true;
    }
  }

  std::string_view text_;
  std::size_t at_;
  base::Names& names_;
  Packet& packet_;
  int depth_;
  Tcp* tcp_ = nullptr;
  Icmp* icmp_ = nullptr;
  Udp* udp_ = nullptr;

  std::size_t word_at_ = 0;
  std::string_view word_, value_;
  bool has_equals_ = false;
  bool in_extension_ = false;
  bool in_arp_ = false;
  bool open_inner_ = false;
  bool closed_ = false;
  bool closes_ = false;
  PacketScan scan_;
};

constexpr std::string_view kFieldNames[] = {
    "IN",       "OUT",     "PHYSIN",    "PHYSOUT", "MAC",   "TUNNEL",   "SRC",     "DST",    "LEN",
    "TOS",      "PREC",    "TTL",       "ID",      "PROTO", "SPT",      "DPT",     "SEQ",    "ACK",
    "WINDOW",   "RES",     "URGP",      "TYPE",    "TC",    "SPI",      "CODE",    "MTU",    "UID",
    "GID",      "GATEWAY", "PARAMETER", "POINTER", "MARK",  "HOPLIMIT", "FLOWLBL", "MACSRC", "MACDST",
    "MACPROTO", "VPROTO",  "VID",       "HTYPE",   "PTYPE", "OPCODE",   "IPSRC",   "IPDST"};

}  // namespace

PacketScan scan_packet(std::string_view text, base::Names& names, Packet& packet) {
  return Scanner(text, 0, names, packet, 0).run();
}

PacketScan resume_packet(std::string_view text, std::size_t from, base::Names& names, Packet& packet) {
  return Scanner(text, from, names, packet, 0).run();
}

bool is_packet_word(std::string_view word) {
  if (word.starts_with('[')) word.remove_prefix(1);
  if (const std::size_t equals = word.find('='); equals != std::string_view::npos) {
    const std::string_view name = word.substr(0, equals);
    for (const std::string_view known : kFieldNames) {
      if (name == known) return true;
    }
    return false;
  }
  if (word.size() <= 3 && tcp_flag(key(word)) != 0) return true;
  return word == "DF" || word == "MF" || word == "CE" || word == "OPT" || word == "INCOMPLETE" ||
         word == "TRUNCATED" || word.starts_with("FRAG:") || word == "]" || word == ")";
}

}  // namespace fwtrace::trace
