#include "journey/answer.h"

namespace fwtrace::journey {

using packet::Icmp;
using packet::Packet;
using packet::Tcp;

bool is_answer(const Journey& asked, const Journey& later) {
  const Packet* q = asked.last_form();
  const Packet* a = later.first_form();
  if (q == nullptr || a == nullptr || !asked.host.is(later.host) || q->source.empty() || a->source.empty())
    return false;
  // The answer comes from where the packet was going; behind a masquerade its destination may be ours.
  if (!(a->source == q->destination) || a->protocol != q->protocol) return false;
  if (const Icmp* request = packet::find_icmp(*q)) {
    const Icmp* reply = packet::find_icmp(*a);
    const bool echo =
        reply != nullptr && request->type && reply->type &&
        ((*request->type == 8 && *reply->type == 0) || (*request->type == 128 && *reply->type == 129));
    return echo && request->sequence && request->sequence == reply->sequence && request->id &&
           request->id == reply->id;
  }
  if (!a->ports.source || !(a->ports.source == q->ports.destination)) return false;
  const bool same_flow = a->destination == q->source && a->ports.destination == q->ports.source;
  if (const Tcp* asked_tcp = packet::find_tcp(*q)) {
    const Tcp* answer_tcp = packet::find_tcp(*a);
    if (answer_tcp == nullptr || !asked_tcp->seq || !answer_tcp->ack_seq || !answer_tcp->flags ||
        !asked_tcp->flags)
      return false;
    if ((*answer_tcp->flags & packet::kRst) != 0) return false;  // may come from a firewall's REJECT
    // A bare ACK takes no room in the sequence: nothing acknowledges it.
    if ((*asked_tcp->flags & (packet::kSyn | packet::kFin | packet::kPsh)) == 0) return false;
    const std::uint32_t behind = *answer_tcp->ack_seq - *asked_tcp->seq;
    return behind != 0 && behind < 0x100000U && (same_flow || behind == 1);
  }
  return same_flow;
}

bool is_sent_again(const Journey& first, const Journey& second) {
  const Packet* a = first.first_form();
  const Packet* b = second.first_form();
  if (a == nullptr || b == nullptr || !(a->source == b->source) || !(a->destination == b->destination) ||
      !(a->ports == b->ports))
    return false;
  const Tcp* x = packet::find_tcp(*a);
  const Tcp* y = packet::find_tcp(*b);
  return x != nullptr && y != nullptr && x->seq && x->seq == y->seq && x->flags == y->flags;
}

}  // namespace fwtrace::journey
