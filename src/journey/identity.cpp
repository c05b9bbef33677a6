#include "journey/identity.h"

#include <cstring>

namespace fwtrace::journey {
namespace {

using packet::Icmp;
using packet::Maybe;
using packet::Packet;
using packet::Tcp;
using packet::Udp;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9FB21C651E98DF25ULL;
  return hash ^ (hash >> 32);
}

template <class T>
std::uint64_t number(const Maybe<T>& value) {
  return value ? std::uint64_t{*value} : ~std::uint64_t{0};
}

template <class T>
bool agree(const Maybe<T>& a, const Maybe<T>& b) {
  return !a || !b || *a == *b;
}

// Masked addresses are equal if they were masked with the same word.
bool agree(const packet::IpAddress& a, base::Name a_text, const packet::IpAddress& b, base::Name b_text) {
  if ((a.empty() && a_text.empty()) || (b.empty() && b_text.empty())) return true;
  return a == b && a_text == b_text;
}
bool agree_on_source(const Packet& a, const Packet& b) {
  return agree(a.source, a.source_text, b.source, b.source_text) && agree(a.ports.source, b.ports.source);
}
bool agree_on_destination(const Packet& a, const Packet& b) {
  return agree(a.destination, a.destination_text, b.destination, b.destination_text) &&
         agree(a.ports.destination, b.ports.destination);
}

bool agree_on_transport(const Packet& a, const Packet& b) {
  if (const Tcp* t = packet::find_tcp(a)) {
    const Tcp* u = packet::find_tcp(b);
    return u == nullptr ||
           (agree(t->seq, u->seq) && agree(t->ack_seq, u->ack_seq) && agree(t->flags, u->flags));
  }
  if (const Icmp* i = packet::find_icmp(a)) {
    const Icmp* j = packet::find_icmp(b);
    return j == nullptr ||
           (agree(i->type, j->type) && agree(i->code, j->code) && agree(i->sequence, j->sequence));
  }
  const auto* x = std::get_if<Udp>(&a.transport);
  const auto* y = std::get_if<Udp>(&b.transport);
  return x == nullptr || y == nullptr || agree(x->length, y->length);
}

bool agree_on_extensions(const Packet& a, const Packet& b) {
  if (a.extensions.empty() || b.extensions.empty()) return true;
  const packet::Extension& x = a.extensions.back();
  const packet::Extension& y = b.extensions.back();
  return agree(x.id, y.id) && agree(x.fragment_offset, y.fragment_offset);
}

}  // namespace

namespace {
std::uint64_t endpoint_key(const packet::IpAddress& address, const Maybe<std::uint16_t>& port,
                           const Maybe<std::uint8_t>& protocol) {
  std::uint64_t high = 0, low = 0;
  std::memcpy(&high, address.bytes.data(), 8);
  std::memcpy(&low, address.bytes.data() + 8, 8);
  return mix(mix(mix(0x2545F4914F6CDD1DULL, high), low), number(port) << 8 | (number(protocol) & 0xFF));
}
}  // namespace

std::uint64_t source_key(const Packet& packet) {
  return endpoint_key(packet.source, packet.ports.source, packet.protocol);
}
std::uint64_t destination_key(const Packet& packet) {
  return endpoint_key(packet.destination, packet.ports.destination, packet.protocol);
}

std::uint64_t identity_key(const trace::Event& event) {
  const Packet* p = event.packet;
  if (p == nullptr || !p->whole()) return 0;
  std::uint64_t hash = mix(0x5851F42D4C957F2DULL, reinterpret_cast<std::uintptr_t>(event.host.address()));
  if (const auto* arp = std::get_if<packet::Arp>(&p->transport)) {
    hash = mix(hash, number(arp->operation));
    for (const std::uint8_t byte : arp->sender_ip.bytes) hash = mix(hash, byte);
    for (const std::uint8_t byte : arp->target_ip.bytes) hash = mix(hash, byte);
    return hash | 1;
  }
  if ((p->source.empty() && p->source_text.empty()) ||
      (p->destination.empty() && p->destination_text.empty()))
    return 0;
  hash = mix(hash, static_cast<std::uint64_t>(p->source.version) << 32 | number(p->id));
  // nft's trace shows nothing of what stands behind an IPv6 extension header, so nobody's report counts there.
  if (!p->extensions.empty()) return mix(hash, number(p->length)) | 1;
  hash = mix(hash, number(p->length) << 24 | (number(p->protocol) & 0xFF) << 16 |
                       (number(p->fragment_offset) & 0xFFFF));
  hash = mix(hash, (p->df ? 1U : 0U) | (p->mf ? 2U : 0U));  // a clone made by TEE has DF set
  if (const Tcp* tcp = packet::find_tcp(*p)) {
    hash = mix(hash, number(tcp->seq) << 32 ^ number(tcp->ack_seq));
    hash = mix(hash, number(tcp->flags));
  } else if (const auto* udp = std::get_if<Udp>(&p->transport)) {
    hash = mix(hash, number(udp->length));
  } else if (const Icmp* icmp = packet::find_icmp(*p)) {
    hash = mix(hash, number(icmp->type) << 32 ^ number(icmp->code) << 16 ^ number(icmp->sequence));
  }
  return hash | 1;
}

bool same_packet(const Packet& a, const Packet& b, bool may_rewrite, bool may_rewrite_both) {
  if (a.version() != b.version() && a.version() != packet::IpVersion::None &&
      b.version() != packet::IpVersion::None)
    return false;
  if (!agree(a.protocol, b.protocol) || !agree(a.id, b.id) || !agree(a.length, b.length) ||
      !agree(a.fragment_offset, b.fragment_offset) || !agree_on_transport(a, b) || !agree_on_extensions(a, b))
    return false;
  if (a.whole() && b.whole() && (a.df != b.df || a.mf != b.mf)) return false;
  const Icmp* i = packet::find_icmp(a);
  const Icmp* j = packet::find_icmp(b);
  const bool same_icmp_id = i == nullptr || j == nullptr || agree(i->id, j->id);
  const bool same_source = agree_on_source(a, b);
  const bool same_destination = agree_on_destination(a, b);
  if (same_source && same_destination) return same_icmp_id || may_rewrite;
  if (!may_rewrite) return false;
  return same_source || same_destination || may_rewrite_both;
}

}  // namespace fwtrace::journey
