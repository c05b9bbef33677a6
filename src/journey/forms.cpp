#include "journey/forms.h"

namespace fwtrace::journey {
namespace {

using packet::Icmp;
using packet::IpAddress;
using packet::Maybe;
using packet::Options;
using packet::Packet;
using packet::Tcp;
using packet::Udp;

template <class T>
bool agree(const Maybe<T>& a, const Maybe<T>& b) {
  return !a || !b || *a == *b;
}
bool agree(const IpAddress& a, const IpAddress& b) { return a.empty() || b.empty() || a == b; }
bool agree(const base::Name& a, const base::Name& b) { return a.empty() || b.empty() || a == b; }

bool agree(const packet::Transport& a, const packet::Transport& b) {
  if (a.index() != b.index()) return a.index() == 0 || b.index() == 0;
  if (const auto* t = std::get_if<Tcp>(&a)) {
    const auto& u = std::get<Tcp>(b);
    return agree(t->seq, u.seq) && agree(t->ack_seq, u.ack_seq) && agree(t->window, u.window) &&
           agree(t->flags, u.flags) && agree(t->urgent, u.urgent);
  }
  if (const auto* t = std::get_if<Udp>(&a)) return agree(t->length, std::get<Udp>(b).length);
  if (const auto* t = std::get_if<Icmp>(&a)) {
    const auto& u = std::get<Icmp>(b);
    return agree(t->type, u.type) && agree(t->code, u.code) && agree(t->id, u.id) &&
           agree(t->sequence, u.sequence) && agree(t->mtu, u.mtu) && agree(t->gateway, u.gateway);
  }
  return a == b;
}

template <class T>
void take(Maybe<T>& into, const Maybe<T>& from) {
  if (!into) into = from;
}
void take(IpAddress& into, const IpAddress& from) {
  if (into.empty()) into = from;
}
void take(Options& into, const Options& from) {
  if (into.state == Options::State::None) into = from;
}

void take(packet::Transport& into, const packet::Transport& from) {
  if (into.index() == 0) into = from;
  if (into.index() != from.index()) return;
  if (auto* t = std::get_if<Tcp>(&into)) {
    const auto& u = std::get<Tcp>(from);
    take(t->seq, u.seq), take(t->ack_seq, u.ack_seq), take(t->window, u.window), take(t->urgent, u.urgent);
    take(t->reserved, u.reserved), take(t->flags, u.flags), take(t->options, u.options);
  } else if (auto* udp = std::get_if<Udp>(&into)) {
    take(udp->length, std::get<Udp>(from).length), take(udp->checksum, std::get<Udp>(from).checksum);
  } else if (auto* icmp = std::get_if<Icmp>(&into)) {
    const auto& u = std::get<Icmp>(from);
    take(icmp->type, u.type), take(icmp->code, u.code), take(icmp->id, u.id), take(icmp->mtu, u.mtu);
    take(icmp->sequence, u.sequence), take(icmp->gateway, u.gateway), take(icmp->parameter, u.parameter);
    if (icmp->inner == nullptr) icmp->inner = u.inner;
  }
}

}  // namespace

bool same_headers(const Packet& a, const Packet& b) {
  if (!(a.in == b.in) || !(a.out == b.out) || a.mark.value_or(0) != b.mark.value_or(0)) return false;
  if (!agree(a.physin, b.physin) || !agree(a.physout, b.physout)) return false;
  if (!agree(a.source, b.source) || !agree(a.destination, b.destination)) return false;
  if (a.version() != packet::IpVersion::None && b.version() != packet::IpVersion::None &&
      (a.ce != b.ce || a.df != b.df || a.mf != b.mf))
    return false;
  return agree(a.length, b.length) && agree(a.tos, b.tos) && agree(a.precedence, b.precedence) &&
         agree(a.traffic_class, b.traffic_class) && agree(a.flow_label, b.flow_label) &&
         agree(a.ttl, b.ttl) && agree(a.id, b.id) && agree(a.fragment_offset, b.fragment_offset) &&
         agree(a.protocol, b.protocol) && agree(a.ports.source, b.ports.source) &&
         agree(a.ports.destination, b.ports.destination) && agree(a.transport, b.transport);
}

void complete(Packet& form, const Packet& other) {
  if (form.in == other.in && form.out == other.out) {
    if (form.physin.empty()) form.physin = other.physin;
    if (form.physout.empty()) form.physout = other.physout;
    if (!form.link.source && form.link.header.size == 0) form.link = other.link;
  }
  take(form.source, other.source), take(form.destination, other.destination);
  take(form.length, other.length), take(form.tos, other.tos), take(form.precedence, other.precedence);
  take(form.traffic_class, other.traffic_class), take(form.flow_label, other.flow_label);
  take(form.ttl, other.ttl), take(form.id, other.id), take(form.fragment_offset, other.fragment_offset);
  take(form.ip_options, other.ip_options);
  if (form.extensions.size() < other.extensions.size()) form.extensions = other.extensions;
  take(form.protocol, other.protocol);
  take(form.ports.source, other.ports.source), take(form.ports.destination, other.ports.destination);
  take(form.transport, other.transport);
  take(form.uid, other.uid), take(form.gid, other.gid);
  take(form.ct_id, other.ct_id), take(form.ct_direction, other.ct_direction);
  take(form.ct_state, other.ct_state), take(form.ct_status, other.ct_status);
}

}  // namespace fwtrace::journey
