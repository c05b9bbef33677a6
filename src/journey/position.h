// How far a packet has come: hook, table, and the chains it is in. Says whether an event can be the same
// packet's next, and what the walk looks like then (see group.h, "progress").
#pragma once

#include <cstdint>
#include <vector>

#include "base/names.h"
#include "packet/netfilter.h"
#include "trace/event.h"

namespace fwtrace::journey {

class Position {
 public:
  // Can this event be the next of a packet that is here? `hook` is the event's hook as far as its chain's name
  // or devices tell. `in_lo`: it came in by lo.
  bool can_follow(const trace::Event& event, packet::Hook hook, bool in_lo) const;
  // Does it begin another table or hook than the packet is in now?
  bool leaves_table(const trace::Event& event, packet::Hook hook) const;
  // Takes the step. Returns the depth of the event's chain: 0 in the base chain.
  std::uint16_t advance(const trace::Event& event, packet::Hook hook);

  packet::Hook hook() const { return hook_; }
  // nft: table and base chain of the walk it is in; empty names if that is not known.
  std::pair<base::Name, base::Name> walk() const {
    return walked_.empty() ? std::pair<base::Name, base::Name>()
                           : std::pair(walked_.back().table, walked_.back().chain);
  }

 private:
  struct Frame {
    base::Name chain;
    std::uint32_t number = 0;
    trace::EventKind kind = trace::EventKind::Rule;
  };
  struct Walk {
    packet::Family family = packet::Family::None;
    base::Name table, chain;
    bool operator==(const Walk&) const = default;
  };
  static Walk walk_of(const trace::Event& event) { return {event.family, event.table, event.chain}; }
  bool can_follow_in_table(const trace::Event& event, packet::Hook hook) const;
  bool can_enter(const trace::Event& event, packet::Hook hook, bool in_lo) const;
  bool can_follow_nft(const trace::Event& event, packet::Hook hook, bool in_lo) const;
  bool is_being_replaced(const trace::Event& event) const;
  bool is_late_headers(const trace::Event& event) const;
  bool begins_walk(const trace::Event& event) const;
  bool is_base(std::size_t frame) const;

  trace::Dialect dialect_ = trace::Dialect::KernelLog;  // of the walk it is in
  packet::Hook hook_ = packet::Hook::None;
  packet::Hook reached_ = packet::Hook::None;  // the last hook that was known
  // The last legacy walk: an nft table of the same name may lie between it and the next.
  packet::Hook legacy_hook_ = packet::Hook::None;
  base::Name legacy_table_;
  packet::Family family_ = packet::Family::None;
  base::Name table_;
  std::vector<Frame> frames_;   // the chains it is in, base chain first if that is known
  std::uint32_t trace_id_ = 0;  // nft: of the last event
  bool headers_seen_ = false;   // nft: of the base chain's walk it is in
  bool walk_done_ = false;      // nft: accepted, or the policy spoke
  bool ended_ = false;          // dropped: nothing can follow
  std::vector<Walk> walked_;    // nft: base chains met in this pass
  enum class Devices : std::uint8_t { Unknown, In, Both, Out } devices_ = Devices::Unknown;
  static Devices devices_of(const trace::Event& event);
};

// The hook of an event's base chain: by its fixed name (iptables, our own markers), else, for nft, by a hook's name in
// the chain's name if the devices agree with it; None if that does not decide. A live legacy event inside a user chain
// has none either, though Event::hook is known: the two questions "is this a base chain" and "where" are not one.
packet::Hook hook_of_event(const trace::Event& event);

}  // namespace fwtrace::journey
