// Grouping: events in, journeys out, in the order of their first events.
//
// A legacy line carries no id, and nft's trace id is reused at once by other packets. So a packet is known by its
// own headers, as far as nothing on its way changes them, and by progress: it never meets the same place twice.
//
//   identity   host, IP version, IP id, DF, length, protocol, and TCP seq, ack and flags, or UDP length, or ICMP type,
//              code and sequence. Neither NAT nor routing touches these. Addresses and ports are compared too, but
//              one end may have changed between two tables (NAT); both ends only for an equal trace id.
//   progress   (hook, table priority) only grows; within a chain the rule number only grows; a chain is entered
//              from a rule of the chain that calls it. What would go back is another packet: a retransmission, a
//              copy made by TEE or a flooding bridge. One exception: what leaves by lo comes in by lo again.
//   time       two events of one packet are at most `gap_us` apart.
//
// Damaged and shortened lines lack parts of the identity: they join a journey that agrees in all that both know
// and that they can follow. Interleaving is harmless up to `window` events; memory is bounded by it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "journey/journey.h"
#include "journey/seen.h"
#include "journey/summary.h"
#include "trace/event.h"
#include "trace/markers.h"

namespace fwtrace::journey {

struct GroupLimits {
  std::uint64_t window = 2048;       // a journey without an event for so many events is over
  std::int64_t gap_us = 10'000'000;  // or for so long, by the log's own clock
  std::size_t max_steps = 20'000;    // a longer one is split (and says so)
  // Live: all events came through one queue, so legacy and nft events may be of one packet; our own markers tell
  // where it begins and ends; and time is what tick() says. A file's log and its nft trace are two reports instead.
  bool live = false;
  bool markers = true;  // live: false where no table of ours could be made
};

// Live: how long a journey waits for its next event, by what its last one said. Within the kernel a packet passes in
// microseconds, unless the machine is busy; what waits longer is a queue to user space, or a fragment for the rest of
// its datagram.
struct LivePatience {
  std::int64_t over_us = 20'000;     // its exit was seen, or it was dropped: only copies can follow
  std::int64_t silent_us = 150'000;  // nothing says that it ended
  std::int64_t turn_us = 160'000;    // so long it waits for those that began before it
  std::int64_t queued_us = 1'000'000;
};

class Grouper : public trace::Sink {
 public:
  // `give` receives each journey once it is over; it may move from it.
  using Give = std::function<void(Journey&)>;
  Grouper(Seen& seen, Summary& summary, Give give, GroupLimits limits = {});
  ~Grouper() override;

  void event(const trace::Event& event) override;
  void loss(const trace::Loss& loss) override;
  void diagnostic(base::Diagnostic diagnostic) override;
  void end_of_input();  // a file ended: the packet of its last line may have been cut
  void finish();        // gives all that is left
  // Live: the time is now `now_us` (any clock that only goes forward); gives what is over by it.
  void tick(std::int64_t now_us);
  // Live: the same without giving: the events that follow were read at this time. The tick before them may be long
  // ago, if we were stopped.
  void set_clock(std::int64_t now_us) { tick_us_ = now_us; }
  // Live: what the rule of this step most likely does. A legacy event does not say, and how long to wait hangs on it.
  void ask_effects(std::function<ruleset::Effect(const Step&)> effect_of) {
    effect_of_ = std::move(effect_of);
  }
  void without_markers() { limits_.markers = false; }
  void mark_loss();  // live: every journey under way overlaps a loss that was told before
  // Live: the hole of a loss may lie anywhere among the events that come now, also inside of a journey whose end is seen.
  void set_loss_near(bool near) { loss_near_ = near; }
  std::uint64_t events() const { return events_; }
  bool empty() const { return queue_.empty(); }

  // The journeys not given yet whose packet came from where this one went, newest first, until `visit` says false:
  // one of them may be its answer (evidence for decide.h).
  void for_each_from(const packet::Packet& asked, const std::function<bool(const Journey&)>& visit) const;
  // Is the same segment under way again, in a journey not given yet?
  bool sent_again(const Journey& journey) const;

 private:
  struct Open;
  Open* find(const trace::Event& event, packet::Hook hook, std::uint64_t key);
  Open& start(const trace::Event& event, packet::Hook hook, std::uint64_t key);
  bool is_in_time(const Open& open, const trace::Event& event) const;
  void append(Open& open, const trace::Event& event, packet::Hook hook);
  void see_late_start(Journey& journey) const;
  static void add_form(Journey& journey, const packet::Packet& packet, bool mark_known);
  void watch_clock(const trace::Event& event);
  void set_start(Open& open, const trace::Event& event, packet::Hook hook);
  packet::Hook cached_hook(const trace::Event& event);
  void give_finished(bool all);
  void give(std::unique_ptr<Open> done);
  bool is_over(const Open& open) const;
  struct Links {  // among the journeys of one key
    Open* older = nullptr;
    Open* newer = nullptr;
  };
  using Index = std::unordered_map<std::uint64_t, Open*>;  // the newest of each key
  static void remember(Index& index, std::uint64_t key, Links Open::* links, Open& open);
  static void forget(Index& index, std::uint64_t key, Links Open::* links, Open& open);
  std::unique_ptr<Open> take_spare();

  Seen& seen_;
  Summary& summary_;
  Give give_;
  GroupLimits limits_;
  std::uint64_t events_ = 0, serial_ = 0;
  base::Stamp now_;
  std::deque<std::unique_ptr<Open>> queue_;  // in order of the first event
  std::vector<std::unique_ptr<Open>> spare_;
  Index by_key_;
  Index by_source_;  // by source_key of the first form
  Index by_trace_id_;
  std::uint64_t weak_open_ = 0;  // journeys in the queue without an identity
  Open* last_ = nullptr;         // of the event before: mostly right again
  bool loss_just_now_ = false, loss_near_ = false;
  base::Stamp last_clock_;
  std::int64_t tick_us_ = 0;
  std::uint64_t ticked_events_ = 0;  // events_ at the last tick
  std::int64_t loss_at_us_ = std::numeric_limits<std::int64_t>::min() / 2;
  LivePatience patience_;
  std::function<ruleset::Effect(const Step&)> effect_of_;

  struct KnownHook {
    base::Name chain, table, host;
    packet::Family family = packet::Family::None;
    trace::EventKind kind = trace::EventKind::Rule;
    packet::Hook said = packet::Hook::None;  // by the event
    packet::Hook hook = packet::Hook::None;
  };
  std::array<KnownHook, 64> known_hooks_;
  // Is a chain one of our markers? Asked for every nft event of a live run.
  struct MarkerKey {
    base::Name table, chain;
    bool ours = false;
    std::optional<trace::MarkerRow> row;
  };
  std::array<MarkerKey, 16> known_markers_;
  const MarkerKey& cached_marker(const trace::Event& event);
};

}  // namespace fwtrace::journey
