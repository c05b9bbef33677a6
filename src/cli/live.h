// Live: from the events of a running kernel (or of a recording of one) to the screen. What `trace` and `explain
// RECORDING` have in common: grouping by one queue, the rules as they were at the time, losses, what is ours.
//
// Journeys that are over wait until a capture of the rules that was begun behind their last event is there (if they
// need one); trace takes captures when wants_capture() says so.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/names.h"
#include "base/place.h"
#include "cli/run.h"
#include "cli/showing.h"
#include "journey/group.h"
#include "journey/rule_versions.h"
#include "journey/seen.h"
#include "journey/summary.h"
#include "ruleset/capture.h"
#include "trace/event.h"

namespace fwtrace::cli {

class Live final : public trace::Sink {
 public:
  // `replies`: what answers a packet of the filter is shown too.
  Live(World& world, const Showing& showing, const base::Sources& sources, bool replies);

  // Events, and what is odd. Losses of NFLOG's sequence numbers are among those of the socket: not counted again.
  void event(const trace::Event& event) override;
  void loss(const trace::Loss& loss) override;
  void diagnostic(base::Diagnostic diagnostic) override;

  void lost(std::uint64_t messages,
            const base::Stamp& time);  // by the socket: exact, legacy and nft together
  // Where those are missing: among the events between hole(true) and hole(false), or right before or behind them.
  void hole(bool begins);
  void generation(std::uint32_t generation) { versions_.saw_generation(grouper_.events(), generation); }
  // The kernel's queue was read to its end since the last generation() and capture().
  void read_all() { versions_.read_all(grouper_.events()); }
  std::uint64_t events() const { return grouper_.events(); }
  // `begun`: events() when the capture was begun.
  void capture(const ruleset::Capture& capture, std::uint64_t begun);
  bool wants_capture() const;
  // Shows what answers a packet of the filter, too. Call it when the filter has changed.
  void show_replies(bool replies);
  // What this machine's routing says of a packet that was lost before it was routed; "" = nothing.
  void ask_routing(std::function<std::string(const packet::Packet&)> ask) { ask_routing_ = std::move(ask); }
  // Where the kernel log tells of iptables-legacy: its events go here, and are joined with what netlink tells.
  trace::Sink& kernel_log() { return log_sink_; }
  void with_kernel_log() { with_kernel_log_ = true; }
  void without_legacy_events() { legacy_unheard_ = true; }
  // Nothing but TRACE rules is armed: no markers, and every packet is ours.
  void without_markers() { grouper_.without_markers(), markers_ = false; }
  // Numbers in raw's PREROUTING and OUTPUT are so much higher than the user's (rung 3).
  void set_raw_shift(std::uint32_t v4, std::uint32_t v6) { raw_shift_v4_ = v4, raw_shift_v6_ = v6; }

  void set_clock(std::int64_t now_us);  // before events: they were read at this time
  // Is a packet on its way to the screen? Then tick() is due soon.
  bool is_waiting() const {
    return !grouper_.empty() || !log_grouper_.empty() || !waiting_.empty() || !logged_.empty();
  }
  void tick(std::int64_t now_us);  // gives and shows what is ready; a clock that only goes forward
  bool enough() const { return shower_.enough(summary_); }
  void finish();  // all that is left
  // The counters of the arming rules, for the summary.
  void counted(std::uint64_t matched, std::uint64_t armed);

  journey::Summary& summary() { return summary_; }
  Shower& shower() { return shower_; }
  const journey::RuleVersions& rules() const { return versions_; }
  base::Names& names() { return names_; }

 private:
  struct LogSink final : trace::Sink {
    explicit LogSink(Live& l) : live(l) {}
    void event(const trace::Event& event) override;
    void loss(const trace::Loss& loss) override { live.loss(loss); }
    void diagnostic(base::Diagnostic diagnostic) override { live.diagnostic(std::move(diagnostic)); }
    Live& live;
  };
  void give(const trace::Event& event, journey::Grouper& grouper) const;
  void take(journey::Journey& journey);
  void take_logged(journey::Journey& journey);
  void decide_and_show(journey::Journey& journey);
  void show_ready(bool all);
  bool wants(const journey::Journey& journey);
  void find_question(journey::Journey& journey);
  void say_warnings();

  static constexpr std::size_t kMaxWaiting = 4096;  // beyond that the rules are taken as they were last seen
  static constexpr std::int64_t kMaxWait = 2'000'000;
  static constexpr std::int64_t kOtherHalf = 150'000;  // so long the kernel log may come later

  World& world_;
  const Showing& showing_;
  const base::Sources& sources_;
  std::optional<packet::Filter> mirrored_;
  base::Names names_;
  journey::Seen seen_;
  journey::Summary summary_;
  std::deque<base::Diagnostic> warnings_;
  journey::RuleVersions versions_;
  journey::Grouper grouper_, log_grouper_;
  LogSink log_sink_{*this};
  Shower shower_;
  struct Waiting {
    journey::Journey journey;
    std::int64_t since = 0;
  };
  std::deque<Waiting> waiting_;
  std::deque<Waiting> logged_;  // of the kernel log, without their other half as yet
  bool with_kernel_log_ = false, markers_ = true, legacy_unheard_ = false;
  std::function<std::string(const packet::Packet&)> ask_routing_;
  std::int64_t now_us_ = 0;
  std::uint64_t socket_lost_ = 0, gap_lost_ = 0;
  std::uint32_t raw_shift_v4_ = 0, raw_shift_v6_ = 0;
  struct Asked {
    std::uint64_t serial = 0;  // the newest packet of the asking direction
    std::uint64_t source = 0;  // its source_key(), where conntrack does not tell directions
  };
  std::unordered_map<std::uint64_t, Asked> asked_;               // by flow
  std::unordered_set<std::uint64_t> shown_serials_, delivered_;  // of packets that may be answered
};

}  // namespace fwtrace::cli
