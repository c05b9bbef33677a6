// Netlink messages of the running kernel in, Events out: legacy TRACE by nfnetlink_log (NFULNL_MSG_PACKET of group 0
// with the prefix "TRACE: table:chain:rule:7 "), nft's trace (NFT_MSG_TRACE), in the order of one socket.
//
// The events are those of the text dialects: legacy ones are KernelLog with table, chain, kind and number, as the log
// line of the same packet; nft ones are NftMonitor, a Headers event where a base chain begins and then the step, as
// nft monitor prints two lines. Besides that: Event::hook (legacy), Event::mark (nft), packet::Packet with all that
// the bytes tell. Both kinds can be of one packet.
//
//   time     a legacy event's own time stamp: when the packet came in (the kernel has none for what is sent from
//            here); else when the message was read. So the clock may step back a little within a packet.
//   forms    equal form numbers mean equal packets, over both dialects. The headers of nft reach less far (40 and 20
//            bytes): TCP options, the packet inside an ICMP error, and all behind an IPv6 extension header are missing.
//            They are as they were behind the first step that is reported with them, and so is their mark.
//   losses   of group 0, where its sequence numbers jump, with the exact count. nft's messages have no numbers: their
//            losses show only in the socket's drops (SO_MEMINFO), which count both. So what the socket dropped and
//            lost() does not hold was of nft; do not report the sum as further loss.
//
// What grouping must learn for one packet that meets both dialects (journey/ compares dialects now):
//   1. group.cpp, fits() and the fast path: KernelLog and NftMonitor may share a journey (in a live run; a file's log
//      and trace are two reports of one packet and may not). Journey::dialect then says little: Step needs its own,
//      and join.cpp, decide.cpp, changes.cpp and the key of by_trace_id_ in give_finished() must ask the step. That
//      loop must also skip steps without a trace id, not stop at them, or by_trace_id_ keeps a dead pointer.
//   2. group.cpp, append(): forms alternate between the two reaches. A form is new only if something that both know
//      differs; what the newer one lacks is kept. Two last forms are to be remembered, one of each dialect, else the
//      fast path misses at every change.
//   3. identity.cpp: behind an IPv6 extension header nft's form has no protocol, ports, or fragment id. The key must
//      leave these out for every packet with extensions, whoever reports it. All else in the key agrees.
//   4. position.cpp: a change of dialect leaves the table, also if both are called "filter" (iptables-nft's is), and
//      the last legacy table must be kept apart from table_ for its priority: can_enter() would take an nft table
//      called "filter" for the legacy one.
//   5. Event::hook is known inside user chains. Position takes "hook is known" for "is a base chain": these are two
//      questions now; and Grouper::known_hooks_ must have it in its key.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/names.h"
#include "trace/event.h"

namespace fwtrace::trace {

class NetlinkEvents {
 public:
  // The name of an interface by its index, "" if there is none; asked once for each new form of headers.
  using DeviceName = std::function<base::Name(std::uint32_t ifindex)>;
  using Bytes = std::span<const std::uint8_t>;

  enum class Kind : std::uint8_t {
    LegacyTrace,
    NftTrace,
    UserLog,  // group 0 without a trace's prefix: the user's own NFLOG or nft log rule, conntrack's invalid packets
    Other,    // acks, replies, notes of the ruleset: not ours to read
    Damaged,  // has a diagnostic
  };
  static constexpr std::size_t kKinds = 5;
  static constexpr const char* kGap = "netlink sequence gap";  // the reason of its losses

  NetlinkEvents(base::Names& names, Sink& sink, DeviceName device_name);

  // Reads what one recv() gave: one message or several. `read_at`: now. The memory begins at a multiple of 4, as
  // any buffer does.
  void datagram(Bytes datagram, const base::Stamp& read_at);
  // Reads one message, from its header on, and says what it was.
  Kind message(Bytes message, const base::Stamp& read_at);

  // Interfaces came, went or were renamed: asks for their names anew.
  void forget_devices();
  // Another socket's messages, or another recording's, follow: the numbers of group 0 start anew.
  void begin() { has_sequence_ = false; }

  std::uint64_t count(Kind kind) const { return counts_[static_cast<std::size_t>(kind)]; }
  std::uint64_t lost() const { return lost_; }  // messages of group 0 that its sequence numbers miss

 private:
  struct Known {  // the attributes that make a packet, and what was read from them
    std::vector<std::uint8_t> key;
    packet::Packet packet;
    std::uint64_t form = 0;
  };
  struct KnownHead {
    std::string prefix;
    EventKind kind = EventKind::Rule;
    base::Name table, chain;
    std::uint32_t number = 0;
  };

  Kind read(Bytes message, const base::Stamp& read_at);
  Kind legacy(Bytes message, std::uint8_t family, const base::Stamp& read_at);
  Kind nft(Bytes message, std::uint8_t family, const base::Stamp& read_at);
  const KnownHead* find_head(std::string_view prefix);
  void check_sequence(std::uint32_t sequence, const base::Stamp& read_at);
  template <class Read>
  const Known& find_packet(Read read);
  void add_to_key(std::uint16_t attribute, Bytes value);
  Kind damaged(const char* what);

  base::Names& names_;
  Sink& sink_;
  DeviceName device_name_;
  std::array<std::uint64_t, kKinds> counts_{};
  std::array<Known, 8> known_;
  std::size_t newest_ = 0;
  std::array<KnownHead, 64> heads_;
  std::vector<std::uint8_t> key_;  // of the message that is being read
  std::uint64_t forms_ = 0;
  bool has_sequence_ = false;
  std::uint32_t next_sequence_ = 0;
  std::uint64_t lost_ = 0;
};

std::string_view to_text(
    NetlinkEvents::Kind kind);  // "legacy trace", "nft trace", "user log", "other", "damaged"

}  // namespace fwtrace::trace
