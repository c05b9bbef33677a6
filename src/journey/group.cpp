#include "journey/group.h"

#include <algorithm>

#include "journey/answer.h"
#include "journey/forms.h"
#include "journey/identity.h"
#include "journey/position.h"

namespace fwtrace::journey {
namespace {

using packet::Hook;
using trace::Dialect;
using trace::Event;
using trace::EventKind;

constexpr std::uint64_t kNearEvents =
    64;  // so near the end of a file a packet may have been cut, if the clock
constexpr std::int64_t kNearMicros = 10'000;  // says that it is also this near
constexpr std::size_t kSameKeySearch =
    32;                                  // how many journeys with the same identity are asked, newest first
constexpr std::size_t kWeakSearch = 64;  // how many of the newest journeys a damaged line is held against
constexpr std::int64_t kLossReachUs =
    100'000;                              // live: what begins so soon behind a loss may have begun in it
constexpr std::uint64_t kLossReach = 64;  // events before a loss whose journeys it may have hurt

bool came_in_by_lo(const Event& event) { return event.packet != nullptr && event.packet->in.text() == "lo"; }

std::size_t form_slot(const Event& event) { return event.dialect == Dialect::NftMonitor ? 1 : 0; }

std::uint64_t trace_key(const Event& event) {
  return (std::uint64_t{event.trace_id} << 2 | static_cast<std::uint64_t>(event.dialect)) ^
         reinterpret_cast<std::uintptr_t>(event.host.address()) << 20;
}

}  // namespace

struct Grouper::Open {
  Journey journey;
  Position position;
  // Live: a frame's way through a bridge goes round its way through IP, with hooks of the same names.
  Position bridge;
  Position& position_of(const Event& event) {
    return journey.live && event.family == packet::Family::Bridge ? bridge : position;
  }
  std::uint64_t key = 0;  // 0 = weak: no identity
  Links same_key;
  std::uint64_t source_key = 0;  // 0 = its source is not known
  Links from_source;
  std::uint64_t last_event = 0;
  base::Stamp last_time;
  // The reader's number of the newest form, and which form of the journey that is. In a live journey the two dialects
  // reach differently far, so each has its own.
  struct Form {
    std::uint64_t number = 0;
    std::size_t index = 0;
  };
  std::array<Form, 2> last_forms;
  std::int64_t last_tick = 0;
  bool exit_seen = false;   // live: it left the box, or was delivered
  bool loss_since = false;  // lines were lost since its last event
  bool near_end = false;    // a file ended right behind it
};

Grouper::Grouper(Seen& seen, Summary& summary, Give give, GroupLimits limits)
    : seen_(seen), summary_(summary), give_(std::move(give)), limits_(limits) {}
Grouper::~Grouper() = default;

void Grouper::event(const Event& event) {
  ++events_;
  ++summary_.events;
  if (event.time.known()) now_ = event.time;
  if (limits_.live && event.dialect == Dialect::NftMonitor) {
    // A marker's headers are the event; its rule says nothing more, and a chain of ours that is no marker nothing.
    const MarkerKey& marker = cached_marker(event);
    if (marker.ours && (event.kind != EventKind::Headers || !marker.row)) return;
  }
  const Hook hook = cached_hook(event);

  // Most often it is the packet of the event before, with the same headers.
  if (last_ != nullptr && event.form != 0 && event.form == last_->last_forms[form_slot(event)].number &&
      last_->key != 0 && last_->journey.host.is(event.host) &&
      (limits_.live || last_->journey.dialect == event.dialect) && is_in_time(*last_, event) &&
      last_->position_of(event).can_follow(event, hook, came_in_by_lo(event)) &&
      last_->journey.steps.size() < limits_.max_steps) {
    append(*last_, event, hook);
    return;
  }
  const std::uint64_t key = identity_key(event);
  Open* open = find(event, hook, key);
  if (open == nullptr) open = &start(event, hook, key);
  append(*open, event, hook);
  last_ = open;
  give_finished(false);
}

const Grouper::MarkerKey& Grouper::cached_marker(const Event& event) {
  const auto slot = (reinterpret_cast<std::uintptr_t>(event.chain.address()) >> 5 ^
                     reinterpret_cast<std::uintptr_t>(event.table.address()) >> 6) %
                    known_markers_.size();
  MarkerKey& known = known_markers_[slot];
  if (!known.chain.is(event.chain) || !known.table.is(event.table)) {
    known = {event.table, event.chain, trace::is_our_table(event.table.text()),
             trace::find_marker(event.table.text(), event.chain.text())};
  }
  return known;
}

// The hook of a legacy chain depends on its name alone, and what Seen learns of it on name, table, family and host:
// asked once for each, not once for each event.
Hook Grouper::cached_hook(const Event& event) {
  if (event.dialect != Dialect::KernelLog) {
    const Hook hook = hook_of_event(event);
    seen_.see(event, hook);
    return hook;
  }
  const auto slot_of = (reinterpret_cast<std::uintptr_t>(event.chain.address()) >> 5 ^
                        reinterpret_cast<std::uintptr_t>(event.table.address()) >> 6) %
                       known_hooks_.size();
  KnownHook& known = known_hooks_[slot_of];
  if (!known.chain.is(event.chain) || !known.table.is(event.table) || !known.host.is(event.host) ||
      known.family != event.family || known.kind != event.kind || known.said != event.hook) {
    known = {event.chain, event.table, event.host,          event.family,
             event.kind,  event.hook,  hook_of_event(event)};
    seen_.see(event, known.hook);
  }
  return known.hook;
}

bool Grouper::is_in_time(const Open& open, const Event& event) const {
  // Live the two dialects tell different times: nft's is when we read it, the log's when the packet came in, and
  // between them lies however long we were stopped.
  if (limits_.live) return tick_us_ - open.last_tick <= limits_.gap_us;
  const auto gap = base::elapsed_us(open.last_time, event.time);
  // Seconds-only clocks may step back by one between two lines.
  return !gap || (*gap <= limits_.gap_us && *gap >= -2'000'000);
}

// The journey this event belongs to, or null.
Grouper::Open* Grouper::find(const Event& event, Hook hook, std::uint64_t key) {
  const bool in_lo = came_in_by_lo(event);
  const auto fits = [&](Open& open, bool same_trace_id) {
    if ((!limits_.live && open.journey.dialect != event.dialect) || !open.journey.host.is(event.host))
      return false;
    if (events_ - open.last_event > limits_.window || open.journey.steps.size() >= limits_.max_steps)
      return false;
    if (!is_in_time(open, event) || !open.position_of(event).can_follow(event, hook, in_lo)) return false;
    if (event.packet == nullptr || open.journey.forms.empty()) return true;
    const bool boundary = open.position_of(event).leaves_table(event, hook);
    return same_packet(open.journey.forms.back(), *event.packet, boundary, boundary && same_trace_id);
  };

  if (event.has_trace_id) {
    if (const auto known = by_trace_id_.find(trace_key(event)); known != by_trace_id_.end()) {
      if (fits(*known->second, true)) return known->second;
    }
    if (event.packet == nullptr) return nullptr;
  }
  if (key != 0) {
    if (const auto known = by_key_.find(key); known != by_key_.end()) {
      // Of several that fit, the one that came furthest: it is the closest predecessor.
      Open* best = nullptr;
      std::size_t looked = 0;
      for (Open* open = known->second; open != nullptr && looked < kSameKeySearch;
           open = open->same_key.older, ++looked) {
        if (fits(*open, false) &&
            (best == nullptr || open->journey.steps.size() > best->journey.steps.size()))
          best = open;
      }
      if (best != nullptr) return best;
    }
    if (weak_open_ == 0) return nullptr;
  }
  if (event.has_trace_id) return nullptr;  // without headers, only the id itself ties two lines
  // A damaged line, or a journey that began with one: hold it against the newest. Only if just one fits is it that.
  std::size_t tried = 0;
  Open* only = nullptr;
  for (auto open = queue_.rbegin(); open != queue_.rend() && tried < kWeakSearch; ++open, ++tried) {
    if (key != 0 && (*open)->key != 0) continue;
    if (!fits(**open, false)) continue;
    if (only != nullptr) return nullptr;
    only = open->get();
  }
  return only;
}

std::unique_ptr<Grouper::Open> Grouper::take_spare() {
  if (spare_.empty()) return std::make_unique<Open>();
  std::unique_ptr<Open> open = std::move(spare_.back());
  spare_.pop_back();
  return open;
}

Grouper::Open& Grouper::start(const Event& event, Hook hook, std::uint64_t key) {
  if (last_ != nullptr && last_->journey.steps.size() >= limits_.max_steps && last_->key == key) {
    base::Diagnostic d;
    d.code = "packet-split";
    d.place = event.place;
    d.message = "a packet with more than " + std::to_string(limits_.max_steps) + " lines is shown in parts";
    summary_.diagnostics.add(std::move(d));
  }
  queue_.push_back(take_spare());
  Open& open = *queue_.back();
  open.key = key;
  open.journey.serial = ++serial_;
  open.journey.dialect = event.dialect;
  open.journey.host = event.host;
  open.journey.live = limits_.live;
  open.journey.marked = limits_.live && limits_.markers;
  open.journey.first_event = events_;
  if (key != 0) {
    remember(by_key_, key, &Open::same_key, open);
  } else {
    ++weak_open_;
  }
  if (event.packet != nullptr && !event.packet->source.empty()) {
    open.source_key = source_key(*event.packet) | 1;
    remember(by_source_, open.source_key, &Open::from_source, open);
  }
  set_start(open, event, hook);
  if (limits_.live && !open.journey.armed && open.same_key.older != nullptr && event.packet != nullptr &&
      hook != Hook::Prerouting && hook != Hook::Output) {
    // TEE, multicast and broadcast: a copy of a packet that is still on its way begins in the middle.
    const Journey& original = open.same_key.older->journey;
    open.journey.copy_of = original.copy_of != 0 ? original.copy_of : original.serial;
    open.journey.armed = original.armed;
    open.journey.starts_late = false;
    open.journey.starts_late_why.clear();
  } else if (const Open* original = open.same_key.older;
             original != nullptr && open.journey.starts_late &&
             (hook == Hook::Input || hook == Hook::Forward || hook == Hook::Postrouting) &&
             !event.packet->physin.empty() && original->journey.host.is(event.host)) {
    // A bridge that floods a frame gives each port its own copy, behind PREROUTING.
    open.journey.copy_of =
        original->journey.copy_of != 0 ? original->journey.copy_of : original->journey.serial;
    open.journey.starts_late = false;
    open.journey.starts_late_why.clear();
  }
  const bool lost_lately = limits_.live ? tick_us_ - loss_at_us_ <= kLossReachUs : loss_just_now_;
  if ((open.journey.starts_late || (limits_.live && !open.journey.armed)) && lost_lately)
    open.journey.overlaps_loss = open.journey.loss_inside = true;
  loss_just_now_ = false;
  return open;
}

// Is this where a packet's way begins? If not, say why we think so.
void Grouper::set_start(Open& open, const Event& event, Hook hook) {
  Journey& j = open.journey;
  if (j.marked) {
    const auto marker = event.dialect == Dialect::NftMonitor ? cached_marker(event).row : std::nullopt;
    j.armed = marker && marker->marker == trace::Marker::Start;
    j.armed_late = j.armed && marker->late;
    return;
  }
  const std::string where(event.chain.text());
  if (event.dialect != Dialect::KernelLog) {
    // nft reports the headers first, and tracing may begin at any hook where the user's rule arms it; whether
    // that is so shows in the rules that follow (append clears the mark).
    if (event.kind != EventKind::Headers && event.packet == nullptr) {
      j.starts_late = true;
      j.starts_late_why =
          "the first line is in the middle of chain " + where + ", without the packet's headers";
    } else if (hook == Hook::Input || hook == Hook::Forward || hook == Hook::Postrouting) {
      j.starts_late = true;
      j.starts_late_why = "the first chain seen is " + where;
    }
    return;
  }
  if (hook == Hook::None) {
    j.starts_late = true;
    j.starts_late_why = "the first line is inside chain " + where;
  } else if (hook != Hook::Prerouting && hook != Hook::Output) {
    j.starts_late = true;
    j.starts_late_why = "the first line is in " + where;
  }
}

// Where raw is logged, it is the first; that may show only later in the log.
void Grouper::see_late_start(Journey& journey) const {
  const Step& first = journey.steps.front();
  if (journey.marked || journey.dialect != Dialect::KernelLog || first.table.text() == "raw" ||
      !seen_.table(journey.host, journey.family, "raw"))
    return;
  journey.starts_late = true;
  journey.starts_late_why = "the first line is in table " + std::string(first.table.text()) +
                            ", yet table raw is logged in this log";
}

void Grouper::add_form(Journey& j, const packet::Packet& packet, bool mark_known) {
  if (!j.forms.empty() && j.live) {
    packet::Packet form = packet;
    if (!mark_known) form.mark = j.forms.back().mark;
    if (same_headers(j.forms.back(), form)) return complete(j.forms.back(), form);
    complete(form, j.forms.back());
    j.forms.push_back(std::move(form));
    return;
  }
  if (j.forms.empty() || !(j.forms.back() == packet)) j.forms.push_back(packet);
}

void Grouper::append(Open& open, const Event& event, Hook hook) {
  Journey& j = open.journey;
  Position& position = open.position_of(event);
  const Hook before = position.hook();
  open.last_event = events_;
  open.near_end = false;
  if (open.loss_since || loss_near_) j.loss_inside = true;
  if (loss_near_) j.overlaps_loss = true;
  open.loss_since = false;
  if (event.time.known()) open.last_time = event.time;

  open.last_tick = tick_us_;
  j.last_event = events_;
  Open::Form& last_form = open.last_forms[form_slot(event)];
  if (event.packet != nullptr && (j.forms.empty() || event.form == 0 || event.form != last_form.number ||
                                  last_form.index + 1 != j.forms.size())) {
    // nft shows the headers as they are behind the first step, and so the mark: that step tells it (below).
    const bool headers_of_rules = event.dialect == Dialect::NftMonitor && !cached_marker(event).row;
    add_form(j, *event.packet, !headers_of_rules);
    last_form = {event.form, j.forms.size() - 1};
    j.damaged |= event.packet->damaged && event.dialect == Dialect::KernelLog;
  }
  if (j.live && event.packet == nullptr && event.mark && !j.forms.empty() &&
      j.forms.back().mark.value_or(0) != *event.mark) {
    j.forms.push_back(j.forms.back());
    j.forms.back().mark = event.mark;
  }
  if (j.family == packet::Family::None || j.family == packet::Family::Inet ||
      j.family == packet::Family::Netdev) {
    j.family = event.family;
    if (event.packet != nullptr && event.packet->version() == packet::IpVersion::V4)
      j.family = packet::Family::Ip;
    if (event.packet != nullptr && event.packet->version() == packet::IpVersion::V6)
      j.family = packet::Family::Ip6;
  }

  if (event.dialect != Dialect::KernelLog && open.position_of(event).leaves_table(event, hook)) {
    const auto [table, chain] = position.walk();
    seen_.follows({j.family, table, chain}, event);
  }
  watch_clock(event);
  Step& step = j.steps.emplace_back();
  if (j.live && event.dialect == Dialect::NftMonitor) {
    if (const auto& row = cached_marker(event).row) {
      step.marker = row->marker;
      step.did = Did::Headers;
      if (row->marker == trace::Marker::Left || row->marker == trace::Marker::Delivered)
        open.exit_seen = (event.family != packet::Family::Bridge || row->marker == trace::Marker::Left) &&
                         (event.packet == nullptr || event.packet->out.text() != "lo");
      else open.exit_seen = false;
    }
  }
  step.dialect = event.dialect;
  step.depth = position.advance(event, hook);
  step.kind = event.kind;
  step.hook = hook != Hook::None ? hook : event.hook != Hook::None ? event.hook : position.hook();
  step.family = event.family;
  step.verdict = event.verdict;
  step.continues_at_end = event.continues_at_end;
  step.number = event.number;
  step.handle = event.handle;
  step.table = event.table;
  step.chain = event.chain;
  step.target_chain = event.target_chain;
  step.form = j.forms.empty() ? 0 : static_cast<std::uint32_t>(j.forms.size() - 1);
  step.trace_id = event.trace_id;
  step.has_trace_id = event.has_trace_id;
  step.time = event.time;
  step.place = event.place;
  if (!event.rule_text.empty()) step.rule_text = event.rule_text;
  if (step.hook != Hook::None) {
    // The base chain of a walk that was first seen inside a user chain tells the hook of that, too.
    for (std::size_t i = j.steps.size() - 1;
         i-- > 0 && j.steps[i].hook == Hook::None && j.steps[i].table == step.table;)
      j.steps[i].hook = step.hook;
  }

  if ((before == Hook::Postrouting || before == Hook::Output) && step.hook == Hook::Prerouting)
    j.looped = true;
  if (j.starts_late && event.kind == EventKind::Rule &&
      (event.rule_text.find("nftrace set") != std::string_view::npos ||
       event.rule_text.ends_with("-j TRACE"))) {
    j.starts_late = false;  // the user's own rule arms tracing here
    j.starts_late_why.clear();
  }
  if (event.has_trace_id) by_trace_id_[trace_key(event)] = &open;
}

// Logs are written forwards. A paste of `journalctl -r` is not, and then nothing can be read off it.
void Grouper::watch_clock(const Event& event) {
  if (last_clock_.known()) {
    if (const auto step = base::elapsed_us(last_clock_, event.time); step && *step != 0)
      *step > 0 ? ++summary_.clock_forwards : ++summary_.clock_backwards;
  }
  last_clock_ = event.time;
}

void Grouper::remember(Index& index, std::uint64_t key, Links Open::* links, Open& open) {
  Open*& newest = index[key];
  (open.*links).older = newest;
  if (newest != nullptr) (newest->*links).newer = &open;
  newest = &open;
}

void Grouper::forget(Index& index, std::uint64_t key, Links Open::* links, Open& open) {
  const Links own = open.*links;
  if (own.older != nullptr) (own.older->*links).newer = own.newer;
  if (own.newer != nullptr) {
    (own.newer->*links).older = own.older;
  } else if (own.older != nullptr) {
    index[key] = own.older;
  } else {
    index.erase(key);
  }
}

// Live: is all of it there, as far as waiting can tell?
bool Grouper::is_over(const Open& open) const {
  const std::int64_t idle = tick_us_ - open.last_tick;
  if (idle < patience_.over_us) return false;
  if (open.exit_seen) return true;
  using ruleset::Effect;
  const Step& last = open.journey.steps.back();
  const Effect effect = effect_of_ ? effect_of_(last) : Effect::Unknown;
  if (last.verdict == packet::Verdict::Drop || effect == Effect::Drop || effect == Effect::Reject)
    return true;
  const packet::Packet* form = open.journey.last_form();
  const bool fragment = form != nullptr && (form->mf || form->fragment_offset || !form->extensions.empty());
  const bool queued = last.verdict == packet::Verdict::Queue || effect == Effect::Queue;
  return idle >= (fragment || queued ? patience_.queued_us : patience_.silent_us);
}

void Grouper::tick(std::int64_t now_us) {
  tick_us_ = now_us;
  // Behind a long drain an event that came at its end is new, and the next one of its packet may still be queued.
  for (const auto& open : queue_) {
    if (open->last_event > ticked_events_) open->last_tick = now_us;
  }
  ticked_events_ = events_;
  if (std::ranges::none_of(queue_, [this](const auto& open) { return is_over(*open); })) return;
  std::deque<std::unique_ptr<Open>> left;
  std::deque<std::unique_ptr<Open>> all = std::move(queue_);
  queue_.clear();
  for (auto& open : all) {
    // In the order in which they began, unless one before it waits for long.
    const bool in_turn = left.empty() || now_us - open->last_tick >= patience_.turn_us;
    if (in_turn && is_over(*open)) give(std::move(open));
    else left.push_back(std::move(open));
  }
  queue_ = std::move(left);
}

void Grouper::give_finished(bool all) {
  while (!queue_.empty()) {
    Open& head = *queue_.front();
    const bool crowded = queue_.size() > 2 * limits_.window;  // behind one that never ends
    if (!all && !crowded) {
      if (limits_.live) return;
      if (events_ - head.last_event <= limits_.window) {
        const auto idle = base::elapsed_us(head.last_time, now_);
        if (!idle || *idle <= limits_.gap_us) return;
      }
    }
    std::unique_ptr<Open> done = std::move(queue_.front());
    queue_.pop_front();
    give(std::move(done));
  }
}

void Grouper::give(std::unique_ptr<Open> done) {
  Open& head = *done;
  if (head.source_key != 0) forget(by_source_, head.source_key, &Open::from_source, head);
  if (head.key != 0) {
    forget(by_key_, head.key, &Open::same_key, head);
  } else {
    --weak_open_;
  }
  for (const Step& step : head.journey.steps) {
    if (!step.has_trace_id) continue;
    Event named;
    named.dialect = step.dialect;
    named.host = head.journey.host;
    named.trace_id = step.trace_id;
    const auto known = by_trace_id_.find(trace_key(named));
    if (known != by_trace_id_.end() && known->second == &head) by_trace_id_.erase(known);
  }
  if (last_ == &head) last_ = nullptr;
  head.journey.ends_early = head.near_end;
  if (!head.journey.starts_late && head.journey.copy_of == 0) see_late_start(head.journey);
  give_(done->journey);
  // Keep the vectors' memory for the next journey.
  Journey& j = done->journey;
  std::vector<packet::Packet> forms = std::move(j.forms);
  std::vector<Step> steps = std::move(j.steps);
  std::vector<Rewrite> rewrites = std::move(j.rewrites);
  forms.clear();
  steps.clear();
  rewrites.clear();
  *done = Open{};
  done->journey.forms = std::move(forms);
  done->journey.steps = std::move(steps);
  done->journey.rewrites = std::move(rewrites);
  if (spare_.size() < limits_.window) spare_.push_back(std::move(done));
}

void Grouper::loss(const trace::Loss& loss) {
  summary_.add(loss);
  if (limits_.live) return mark_loss();
  loss_just_now_ = true;
  for (const auto& open : queue_) {
    if (events_ - open->last_event > kLossReach) continue;
    if (open->journey.host == loss.host || loss.host.empty())
      open->journey.overlaps_loss = open->loss_since = true;
  }
}

void Grouper::mark_loss() {
  loss_at_us_ = tick_us_;
  for (const auto& open : queue_) {
    // The hole may have been read a moment before it is told. What had left before that is whole.
    const bool just_now = open->last_event + kLossReach * 4 >= events_;
    if (open->exit_seen && !just_now) continue;
    open->journey.overlaps_loss = open->loss_since = true;
    if (just_now) open->journey.loss_inside = true;
  }
}

void Grouper::diagnostic(base::Diagnostic diagnostic) { summary_.diagnostics.add(std::move(diagnostic)); }

void Grouper::end_of_input() {
  for (const auto& open : queue_) {
    if (open->last_event == events_) {
      open->near_end = true;
    } else if (events_ - open->last_event < kNearEvents && !open->last_time.seconds_only) {
      const auto before = base::elapsed_us(open->last_time, now_);
      open->near_end |= before && *before >= 0 && *before < kNearMicros;
    }
  }
}

void Grouper::finish() { give_finished(true); }

bool Grouper::sent_again(const Journey& journey) const {
  static constexpr std::size_t kMost = 64;
  if (journey.forms.empty()) return false;
  const auto known = by_source_.find(source_key(journey.forms.front()) | 1);
  if (known == by_source_.end()) return false;
  std::size_t looked = 0;
  for (const Open* open = known->second; open != nullptr && looked < kMost;
       open = open->from_source.older, ++looked) {
    if (open->journey.serial != journey.serial && is_sent_again(journey, open->journey)) return true;
  }
  return false;
}

void Grouper::for_each_from(const packet::Packet& asked,
                            const std::function<bool(const Journey&)>& visit) const {
  static constexpr std::size_t kMost = 64;
  const auto known = by_source_.find(destination_key(asked) | 1);
  if (known == by_source_.end()) return;
  std::size_t looked = 0;
  for (const Open* open = known->second; open != nullptr && looked < kMost;
       open = open->from_source.older, ++looked) {
    if (!visit(open->journey)) return;
  }
}

}  // namespace fwtrace::journey
