#include "trace/netlink_events.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "packet/decode.h"

namespace fwtrace::trace {
namespace {

using packet::Family;
using packet::Hook;
using packet::Packet;
using packet::Verdict;
using Bytes = NetlinkEvents::Bytes;

// Newer than the headers of Debian 12 (kernel: include/uapi/linux/netfilter/nf_tables.h since 6.16).
constexpr std::uint16_t kTraceCtId = 18, kTraceCtDirection = 19, kTraceCtStatus = 20, kTraceCtState = 21;
constexpr std::uint16_t kEthernet = 1;  // ARPHRD_ETHER
constexpr std::size_t kHeaders = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(nfgenmsg));

template <class T>
T read_number(Bytes bytes) {  // network order
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8 | bytes[i]);
  return value;
}

Bytes bytes_of(const nlattr* attribute) {
  return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute)),
          mnl_attr_get_payload_len(attribute)};
}

std::string_view text_of(Bytes bytes) {  // up to the NUL that the kernel sends with it
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.substr(0, text.find('\0'));
}

// One slot for each attribute number below N; an absent one is empty with a null pointer. A number that is shorter
// than it must be counts as absent.
template <std::size_t N>
class Attributes {
 public:
  // `run`: attributes one after the other. libmnl's loops take a message's tail to be aligned; the bytes may not be.
  void read(Bytes run) {
    const nlattr* attribute = reinterpret_cast<const nlattr*>(run.data());
    const auto left = [&] {
      return static_cast<int>(run.data() + run.size() - reinterpret_cast<const std::uint8_t*>(attribute));
    };
    for (; mnl_attr_ok(attribute, left()); attribute = mnl_attr_next(attribute)) {
      const std::uint16_t type = mnl_attr_get_type(attribute);
      if (type < N) slots_[type] = bytes_of(attribute);
    }
  }
  Bytes operator[](std::uint16_t type) const { return slots_[type]; }
  bool has(std::uint16_t type) const { return slots_[type].data() != nullptr; }
  template <class T>
  packet::Maybe<T> number(std::uint16_t type) const {
    if (slots_[type].size() < sizeof(T)) return {};
    return read_number<T>(slots_[type]);
  }

 private:
  std::array<Bytes, N> slots_{};
};

using LegacyAttributes = Attributes<NFULA_HWLEN + 1>;
using NftAttributes = Attributes<kTraceCtState + 1>;

Family to_family(std::uint8_t number) {
  switch (number) {
    case NFPROTO_INET: return Family::Inet;
    case NFPROTO_IPV4: return Family::Ip;
    case NFPROTO_ARP: return Family::Arp;
    case NFPROTO_NETDEV: return Family::Netdev;
    case NFPROTO_BRIDGE: return Family::Bridge;
    case NFPROTO_IPV6: return Family::Ip6;
    default: return Family::None;
  }
}

Hook to_hook(std::uint8_t number) {  // of the families ip, ip6 and bridge
  switch (number) {
    case NF_INET_PRE_ROUTING: return Hook::Prerouting;
    case NF_INET_LOCAL_IN: return Hook::Input;
    case NF_INET_FORWARD: return Hook::Forward;
    case NF_INET_LOCAL_OUT: return Hook::Output;
    case NF_INET_POST_ROUTING: return Hook::Postrouting;
    default: return Hook::None;
  }
}

// What is in a packet of this family; kNone where the packet itself must tell.
std::uint16_t ethertype_of(Family family) {
  switch (family) {
    case Family::Ip: return packet::ethertype::kIpv4;
    case Family::Ip6: return packet::ethertype::kIpv6;
    case Family::Arp: return packet::ethertype::kArp;
    default: return packet::ethertype::kNone;
  }
}

// The code is signed below netfilter's own; a queue's number or an error code stand in its high half.
Verdict to_verdict(std::uint32_t code) {
  switch (static_cast<std::int32_t>(code)) {
    case NFT_CONTINUE: return Verdict::Continue;
    case NFT_BREAK: return Verdict::Break;
    case NFT_JUMP: return Verdict::Jump;
    case NFT_GOTO: return Verdict::Goto;
    case NFT_RETURN: return Verdict::Return;
    default: break;
  }
  switch (code & NF_VERDICT_MASK) {
    case NF_DROP: return Verdict::Drop;
    case NF_ACCEPT: return Verdict::Accept;
    case NF_STOLEN: return Verdict::Stolen;
    case NF_QUEUE: return Verdict::Queue;
    case NF_REPEAT: return Verdict::Repeat;
    default: return Verdict::None;
  }
}

// Up to about Linux 4.17 the number was put in host order.
Verdict to_policy(std::uint32_t policy) {
  if (policy == NF_ACCEPT || policy == std::uint32_t{NF_ACCEPT} << 24) return Verdict::Accept;
  return policy == NF_DROP ? Verdict::Drop : Verdict::None;
}

bool read_kind(std::string_view word, EventKind& kind) {
  if (word == "rule") kind = EventKind::Rule;
  else if (word == "return") kind = EventKind::Return;
  else if (word == "policy") kind = EventKind::Policy;
  else return false;
  return true;
}

base::Stamp to_stamp(Bytes bytes) {  // struct nfulnl_msg_packet_timestamp
  base::Stamp stamp;
  const auto seconds = static_cast<std::int64_t>(read_number<std::uint64_t>(bytes));
  const auto micros = static_cast<std::int64_t>(read_number<std::uint64_t>(bytes.subspan(8)));
  constexpr std::int64_t kEnd = std::int64_t{1} << 40;  // far beyond any date
  if (seconds < 0 || seconds > kEnd || micros < 0 || micros >= 1'000'000) return stamp;
  stamp.wall_us = seconds * 1'000'000 + micros;
  stamp.zone_known = stamp.year_known = true;
  stamp.seconds_only = false;
  return stamp;
}

constexpr auto kLegacyPacketAttributes = std::to_array<std::uint16_t>(
    {NFULA_MARK, NFULA_IFINDEX_INDEV, NFULA_IFINDEX_OUTDEV, NFULA_IFINDEX_PHYSINDEV, NFULA_IFINDEX_PHYSOUTDEV,
     NFULA_UID, NFULA_GID, NFULA_HWHEADER, NFULA_PAYLOAD});
constexpr auto kNftPacketAttributes = std::to_array<std::uint16_t>(
    {NFTA_TRACE_MARK, NFTA_TRACE_IIF, NFTA_TRACE_IIFTYPE, NFTA_TRACE_OIF, kTraceCtId, kTraceCtDirection,
     kTraceCtStatus, kTraceCtState, NFTA_TRACE_LL_HEADER, NFTA_TRACE_NETWORK_HEADER,
     NFTA_TRACE_TRANSPORT_HEADER});

}  // namespace

NetlinkEvents::NetlinkEvents(base::Names& names, Sink& sink, DeviceName device_name)
    : names_(names), sink_(sink), device_name_(std::move(device_name)) {}

void NetlinkEvents::datagram(Bytes datagram, const base::Stamp& read_at) {
  while (!datagram.empty()) {
    nlmsghdr header{};
    if (datagram.size() >= sizeof(header)) std::memcpy(&header, datagram.data(), sizeof(header));
    if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > datagram.size()) {
      ++counts_[static_cast<std::size_t>(damaged("a netlink message is not all there"))];
      return;
    }
    message(datagram.first(header.nlmsg_len), read_at);
    datagram = datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), datagram.size()));
  }
}

NetlinkEvents::Kind NetlinkEvents::message(Bytes message, const base::Stamp& read_at) {
  const Kind kind = read(message, read_at);
  ++counts_[static_cast<std::size_t>(kind)];
  return kind;
}

NetlinkEvents::Kind NetlinkEvents::read(Bytes message, const base::Stamp& read_at) {
  nlmsghdr header{};
  if (message.size() < sizeof(header)) return damaged("a netlink message is shorter than its header");
  std::memcpy(&header, message.data(), sizeof(header));
  if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > message.size())
    return damaged("a netlink message is not as long as it says");
  message = message.first(header.nlmsg_len);
  const bool is_legacy = header.nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET);
  const bool is_nft = header.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE);
  if (!is_legacy && !is_nft) return Kind::Other;
  if (message.size() < kHeaders) return damaged("a trace message is shorter than its header");
  const std::uint8_t family = message[sizeof(header)];  // nfgenmsg::nfgen_family
  return is_legacy ? legacy(message, family, read_at) : nft(message, family, read_at);
}

NetlinkEvents::Kind NetlinkEvents::damaged(const char* what) {
  base::Diagnostic d;
  d.severity = base::Severity::Warning;
  d.code = "damaged-message";
  d.message = what;
  sink_.diagnostic(std::move(d));
  return Kind::Damaged;
}

void NetlinkEvents::forget_devices() {
  for (Known& known : known_) known.form = 0;
}

// "TRACE: table:chain:rule:7 ". A chain's name may itself hold colons: the first and the last two count.
const NetlinkEvents::KnownHead* NetlinkEvents::find_head(std::string_view prefix) {
  constexpr std::string_view kTrace = "TRACE: ";
  constexpr std::size_t kNone = std::string_view::npos;
  if (!prefix.starts_with(kTrace)) return nullptr;
  std::size_t hash = prefix.size();
  for (std::size_t i = 2; i < prefix.size(); i += 3)
    hash = hash * 31 + static_cast<unsigned char>(prefix[prefix.size() - i]);
  KnownHead& known = heads_[hash % heads_.size()];
  if (known.prefix == prefix) return &known;

  const std::string_view word = base::trim(prefix.substr(kTrace.size()));
  const std::size_t number_colon = word.rfind(':');
  if (number_colon == kNone || number_colon == 0) return nullptr;
  const std::size_t kind_colon = word.rfind(':', number_colon - 1);
  const std::size_t table_colon = word.find(':');
  if (kind_colon == kNone || table_colon == 0 || table_colon + 1 >= kind_colon) return nullptr;
  const auto number = base::parse_unsigned(word.substr(number_colon + 1));
  EventKind kind{};
  if (!number || *number > UINT32_MAX) return nullptr;
  if (!read_kind(word.substr(kind_colon + 1, number_colon - kind_colon - 1), kind)) return nullptr;
  known.prefix = prefix;
  known.kind = kind;
  known.number = static_cast<std::uint32_t>(*number);
  known.table = names_.intern(word.substr(0, table_colon));
  known.chain = names_.intern(word.substr(table_colon + 1, kind_colon - table_colon - 1));
  return &known;
}

void NetlinkEvents::check_sequence(std::uint32_t sequence, const base::Stamp& read_at) {
  const std::uint32_t missing = sequence - next_sequence_;
  if (has_sequence_ && missing != 0 && missing < 1U << 31) {
    Loss loss;
    loss.time = read_at;
    loss.lines = missing;
    loss.reason = kGap;
    lost_ += missing;
    sink_.loss(loss);
  }
  has_sequence_ = true;
  next_sequence_ = sequence + 1;
}

void NetlinkEvents::add_to_key(std::uint16_t attribute, Bytes value) {
  if (value.data() == nullptr) return;
  const auto size = static_cast<std::uint16_t>(value.size());
  const std::array<std::uint8_t, 4> head{
      static_cast<std::uint8_t>(attribute), static_cast<std::uint8_t>(attribute >> 8),
      static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(size >> 8)};
  key_.insert(key_.end(), head.begin(), head.end());
  key_.insert(key_.end(), value.begin(), value.end());
}

// The packet of key_: one of those read before, or read now.
template <class Read>
const NetlinkEvents::Known& NetlinkEvents::find_packet(Read read) {
  for (std::size_t i = 0; i < known_.size(); ++i) {
    const Known& known = known_[(newest_ + i) % known_.size()];
    if (known.form != 0 && known.key.size() == key_.size() &&
        std::memcmp(known.key.data(), key_.data(), key_.size()) == 0)
      return known;
  }
  newest_ = (newest_ + known_.size() - 1) % known_.size();
  Known& fresh = known_[newest_];
  fresh.key.assign(key_.begin(), key_.end());
  fresh.packet = Packet{};
  read(fresh.packet);
  fresh.form = ++forms_;
  return fresh;
}

NetlinkEvents::Kind NetlinkEvents::legacy(Bytes message, std::uint8_t family, const base::Stamp& read_at) {
  LegacyAttributes attributes;
  attributes.read(message.subspan(kHeaders));
  if (const auto sequence = attributes.number<std::uint32_t>(NFULA_SEQ)) check_sequence(*sequence, read_at);
  const KnownHead* head = find_head(text_of(attributes[NFULA_PREFIX]));
  if (head == nullptr) return Kind::UserLog;

  const Bytes packet_header = attributes[NFULA_PACKET_HDR];  // struct nfulnl_msg_packet_hdr
  std::uint16_t type = ethertype_of(to_family(family));
  if (type == packet::ethertype::kNone && packet_header.size() >= 2)
    type = read_number<std::uint16_t>(packet_header);
  key_.assign({static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)});
  for (const std::uint16_t attribute : kLegacyPacketAttributes) add_to_key(attribute, attributes[attribute]);
  const Known& known = find_packet([&](Packet& packet) {
    const auto device = [&](std::uint16_t attribute) {
      const auto index = attributes.number<std::uint32_t>(attribute);
      return index ? device_name_(*index) : base::Name();
    };
    packet.in = device(NFULA_IFINDEX_INDEV);
    packet.out = device(NFULA_IFINDEX_OUTDEV);
    // As the log prints PHYSIN= and PHYSOUT=: only if they are others.
    if (const base::Name port = device(NFULA_IFINDEX_PHYSINDEV); port != packet.in) packet.physin = port;
    if (const base::Name port = device(NFULA_IFINDEX_PHYSOUTDEV); port != packet.out) packet.physout = port;
    if (attributes.has(NFULA_IFINDEX_INDEV)) packet::decode_link(attributes[NFULA_HWHEADER], packet.link);
    packet.mark = attributes.number<std::uint32_t>(NFULA_MARK);
    packet.uid = attributes.number<std::uint32_t>(NFULA_UID);
    packet.gid = attributes.number<std::uint32_t>(NFULA_GID);
    packet.damaged = !packet::decode_packet(attributes[NFULA_PAYLOAD], type, packet);
  });

  Event event;
  event.dialect = Dialect::KernelLog;
  event.kind = head->kind;
  event.family = to_family(family);
  if (packet_header.size() >= 3) event.hook = to_hook(packet_header[2]);
  event.table = head->table;
  event.chain = head->chain;
  event.number = head->number;
  if (attributes[NFULA_TIMESTAMP].size() >= 16) event.time = to_stamp(attributes[NFULA_TIMESTAMP]);
  if (!event.time.known()) event.time = read_at;
  event.packet = &known.packet;
  event.form = known.form;
  sink_.event(event);
  return Kind::LegacyTrace;
}

NetlinkEvents::Kind NetlinkEvents::nft(Bytes message, std::uint8_t family, const base::Stamp& read_at) {
  NftAttributes attributes;
  attributes.read(message.subspan(kHeaders));
  const auto type = attributes.number<std::uint32_t>(NFTA_TRACE_TYPE);
  if (!type || !attributes.has(NFTA_TRACE_TABLE) || !attributes.has(NFTA_TRACE_CHAIN))
    return damaged("an nft trace message lacks its type, table or chain");
  if (*type < NFT_TRACETYPE_POLICY || *type > NFT_TRACETYPE_RULE)
    return damaged("an nft trace message has a type that is not known");

  Event event;
  event.dialect = Dialect::NftMonitor;
  event.family = to_family(family);
  event.time = read_at;
  event.table = names_.intern(text_of(attributes[NFTA_TRACE_TABLE]));
  event.chain = names_.intern(text_of(attributes[NFTA_TRACE_CHAIN]));
  if (const auto id = attributes.number<std::uint32_t>(NFTA_TRACE_ID)) {
    event.trace_id =
        *id;  // the kernel's bytes are in host order; nft prints them as if they were not, so we do
    event.has_trace_id = true;
  }

  // Headers, devices and conntrack come once for each base chain, with its first event.
  const auto carried = [&](std::uint16_t a) { return a != NFTA_TRACE_MARK && attributes.has(a); };
  if (std::ranges::any_of(kNftPacketAttributes, carried)) {
    const auto proto = attributes.number<std::uint32_t>(NFTA_TRACE_NFPROTO).value_or(family);
    std::uint16_t ethertype = ethertype_of(to_family(static_cast<std::uint8_t>(proto)));
    key_.assign({static_cast<std::uint8_t>(ethertype >> 8), static_cast<std::uint8_t>(ethertype), 'n'});
    for (const std::uint16_t attribute : kNftPacketAttributes) add_to_key(attribute, attributes[attribute]);
    const Known& known = find_packet([&](Packet& packet) {
      const auto in = attributes.number<std::uint32_t>(NFTA_TRACE_IIF);
      const auto out = attributes.number<std::uint32_t>(NFTA_TRACE_OIF);
      if (in) packet.in = device_name_(*in);
      if (out) packet.out = device_name_(*out);
      if (in) packet::decode_link(attributes[NFTA_TRACE_LL_HEADER], packet.link);
      // bridge, netdev: the frame says what it holds; without a frame header the packet's first bytes do.
      if (ethertype == packet::ethertype::kNone && packet.link.ethertype &&
          attributes.number<std::uint16_t>(NFTA_TRACE_IIFTYPE) == kEthernet)
        ethertype = *packet.link.ethertype;
      packet.mark = attributes.number<std::uint32_t>(NFTA_TRACE_MARK);
      packet.ct_id = attributes.number<std::uint32_t>(kTraceCtId);
      packet.ct_direction = attributes.number<std::uint8_t>(kTraceCtDirection);
      packet.ct_status = attributes.number<std::uint32_t>(kTraceCtStatus);
      packet.ct_state = attributes.number<std::uint32_t>(kTraceCtState);
      packet::decode_headers(attributes[NFTA_TRACE_NETWORK_HEADER], attributes[NFTA_TRACE_TRANSPORT_HEADER],
                             ethertype, packet);
    });
    Event headers = event;
    headers.kind = EventKind::Headers;
    headers.packet = &known.packet;
    headers.form = known.form;
    sink_.event(headers);
  }

  const auto handle = attributes.number<std::uint64_t>(NFTA_TRACE_RULE_HANDLE);
  event.handle = handle.value_or(0);
  if (attributes.has(NFTA_TRACE_VERDICT)) {
    Attributes<NFTA_VERDICT_CHAIN + 1> verdict;
    verdict.read(attributes[NFTA_TRACE_VERDICT]);
    if (const auto code = verdict.number<std::uint32_t>(NFTA_VERDICT_CODE)) event.verdict = to_verdict(*code);
    if (verdict.has(NFTA_VERDICT_CHAIN))
      event.target_chain = names_.intern(text_of(verdict[NFTA_VERDICT_CHAIN]));
  }
  if (event.verdict != Verdict::Stolen)
    event.mark = attributes.number<std::uint32_t>(NFTA_TRACE_MARK).value_or(0);
  if (*type == NFT_TRACETYPE_POLICY) {
    event.kind = EventKind::Policy;
    event.verdict = to_policy(attributes.number<std::uint32_t>(NFTA_TRACE_POLICY).value_or(UINT32_MAX));
  } else if (!handle && (event.verdict == Verdict::Continue || *type == NFT_TRACETYPE_RETURN)) {
    // The end of a chain. Linux up to 6.1 calls that a return, later ones a rule, which it has not.
    event.kind = EventKind::Return;
    event.continues_at_end = event.verdict == Verdict::Continue;
  }
  sink_.event(event);
  return Kind::NftTrace;
}

std::string_view to_text(NetlinkEvents::Kind kind) {
  switch (kind) {
    case NetlinkEvents::Kind::LegacyTrace: return "legacy trace";
    case NetlinkEvents::Kind::NftTrace: return "nft trace";
    case NetlinkEvents::Kind::UserLog: return "user log";
    case NetlinkEvents::Kind::Other: return "other";
    case NetlinkEvents::Kind::Damaged: return "damaged";
  }
  return "";
}

}  // namespace fwtrace::trace
