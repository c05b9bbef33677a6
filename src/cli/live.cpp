#include "cli/live.h"

#include <algorithm>
#include <utility>

#include "cli/messages.h"
#include "host/mirror.h"
#include "journey/decide.h"
#include "journey/identity.h"
#include "journey/merge.h"
#include "trace/netlink_events.h"

namespace fwtrace::cli {

using journey::Journey;

namespace {

constexpr std::uint64_t kWindow = 1U << 17;
constexpr std::size_t kMaxAsked = 1U << 14;

journey::GroupLimits limits() {
  journey::GroupLimits limits;
  limits.window = kWindow;
  limits.live = true;
  return limits;
}

bool is_error(const packet::Packet& packet, const packet::Icmp& icmp) {
  if (!icmp.type) return false;
  if (packet.version() == packet::IpVersion::V6) return *icmp.type < 128;
  return (*icmp.type >= 3 && *icmp.type <= 5) || *icmp.type == 11 || *icmp.type == 12;
}

// Of ICMP only echo asks and answers, and only with its own id: neighbours that announce themselves, and errors, are
// no replies to whatever else goes between the same two.
bool may_be_tied(const packet::Packet& packet) {
  const packet::Icmp* icmp = packet::find_icmp(packet);
  if (icmp == nullptr) return true;
  if (!icmp->type || !icmp->id) return false;
  const bool six = packet.version() == packet::IpVersion::V6;
  return six ? *icmp->type == 128 || *icmp->type == 129 : *icmp->type == 8 || *icmp->type == 0;
}

// The routing table does not say who joined a group: asked about one, it refuses or errs.
bool is_multicast(const packet::IpAddress& address) {
  if (address.version == packet::IpVersion::V6) return address.bytes[0] == 0xFF;
  return address.version == packet::IpVersion::V4 && address.bytes[0] >= 224 && address.bytes[0] < 240;
}

// What a packet sent from here says of the one that it answers, if it refuses it: nothing listens. A rule that had done it
// would have rejected that one.
std::string refusal(const Journey& journey) {
  const packet::Packet* form = journey.first_form();
  if (form == nullptr || journey.steps.front().hook != packet::Hook::Output) return {};
  if (const packet::Tcp* tcp = packet::find_tcp(*form)) {
    if (!tcp->flags || (*tcp->flags & packet::kRst) == 0 || !form->ports.source) return {};
    return "this machine refused it: nothing listens on TCP port " + std::to_string(*form->ports.source);
  }
  const packet::Icmp* icmp = packet::find_icmp(*form);
  if (icmp == nullptr || !icmp->type || !icmp->code) return {};
  const bool six = form->version() == packet::IpVersion::V6;
  if (!(six ? *icmp->type == 1 && *icmp->code == 4 : *icmp->type == 3 && *icmp->code == 3)) return {};
  return "this machine refused it: nothing listens on that port";
}

// Of a flow's both directions the same.
std::uint64_t flow_key(const packet::Packet& packet) {
  const packet::Icmp* icmp = packet::find_icmp(packet);
  const std::uint64_t echo =
      icmp != nullptr && icmp->id ? (std::uint64_t{*icmp->id} << 1 | 1U) * 0x9E3779B97F4A7C15ULL : 0;
  return (echo ^ journey::source_key(packet) ^ journey::destination_key(packet)) & ~std::uint64_t{1};
}

}  // namespace

Live::Live(World& world, const Showing& showing, const base::Sources& sources, bool replies)
    : world_(world),
      showing_(showing),
      sources_(sources),
      versions_([this](base::Diagnostic d) { warnings_.push_back(std::move(d)); }),
      grouper_(
          seen_, summary_, [this](Journey& j) { take(j); }, limits()),
      log_grouper_(
          seen_, summary_, [this](Journey& j) { take_logged(j); }, limits()),
      shower_(world, showing, sources) {
  show_replies(replies);
  log_grouper_.without_markers();
  summary_.live = true;
  summary_.losses_counted = true;
  grouper_.ask_effects([this](const journey::Step& step) { return versions_.effect_of(step); });
}

void Live::show_replies(bool replies) {
  mirrored_.reset();
  if (!replies || showing_.filter.empty()) return;
  auto mirrored = host::mirror(showing_.filter, {});
  if (!mirrored) return;
  for (auto at = mirrored->ignored.rbegin(); at != mirrored->ignored.rend(); ++at)
    mirrored->filter.conditions.erase(mirrored->filter.conditions.begin() + static_cast<std::ptrdiff_t>(*at));
  if (!mirrored->filter.empty()) mirrored_ = std::move(mirrored->filter);
}

void Live::LogSink::event(const trace::Event& event) {
  live.give(event, live.with_kernel_log_ && live.markers_ ? live.log_grouper_ : live.grouper_);
}
void Live::event(const trace::Event& event) { give(event, grouper_); }

void Live::give(const trace::Event& event, journey::Grouper& grouper) const {
  const std::uint32_t shift = event.family == packet::Family::Ip6 ? raw_shift_v6_ : raw_shift_v4_;
  if (shift != 0 && event.dialect == trace::Dialect::KernelLog && event.table.text() == "raw") {
    if (event.chain.text().starts_with("fwtrace-")) return;  // the arming itself
    if (event.number <= shift || packet::hook_of_chain(event.chain.text()) == packet::Hook::None)
      return grouper.event(event);
    trace::Event shifted = event;
    shifted.number -= shift;
    return grouper.event(shifted);
  }
  grouper.event(event);
}

void Live::diagnostic(base::Diagnostic diagnostic) { grouper_.diagnostic(std::move(diagnostic)); }

void Live::loss(const trace::Loss& loss) {
  if (loss.reason != trace::NetlinkEvents::kGap) return grouper_.loss(loss);  // of the kernel log
  gap_lost_ += loss.lines;
  if (gap_lost_ <= socket_lost_) return;
  trace::Loss more = loss;
  more.lines = gap_lost_ - socket_lost_;
  socket_lost_ = gap_lost_;
  grouper_.loss(more);
}

void Live::lost(std::uint64_t messages, const base::Stamp& time) {
  socket_lost_ += messages;
  trace::Loss loss;
  loss.time = time;
  loss.lines = messages;
  loss.reason = "the socket's queue was full";
  grouper_.loss(loss);
}

void Live::hole(bool begins) {
  grouper_.set_loss_near(begins);
  grouper_.mark_loss();
}

void Live::capture(const ruleset::Capture& capture, std::uint64_t begun) {
  versions_.add(capture, begun, grouper_.events());
}

bool Live::wants_capture() const {
  return std::ranges::any_of(waiting_, [this](const Waiting& one) { return !versions_.ready(one.journey); });
}

void Live::set_clock(std::int64_t now_us) {
  now_us_ = now_us;
  grouper_.set_clock(now_us);
  log_grouper_.set_clock(now_us);
}

void Live::tick(std::int64_t now_us) {
  now_us_ = now_us;
  grouper_.tick(now_us);
  if (with_kernel_log_) {
    log_grouper_.tick(now_us);
    // What has no other half was traced by others.
    while (!logged_.empty() && now_us - logged_.front().since > 2 * kOtherHalf) {
      ++summary_.foreign;
      logged_.pop_front();
    }
  }
  show_ready(false);
}

void Live::take(Journey& journey) {
  for (auto one = logged_.begin(); one != logged_.end(); ++one) {
    if (!journey::is_same_packet(journey, one->journey)) continue;
    journey::merge_logged(journey, std::move(one->journey), versions_.newest());
    logged_.erase(one);
    break;
  }
  waiting_.push_back({std::move(journey), now_us_});
  journey = Journey{};
}

void Live::take_logged(Journey& journey) {
  for (Waiting& one : waiting_) {
    if (!journey::is_same_packet(one.journey, journey)) continue;
    journey::merge_logged(one.journey, std::move(journey), versions_.newest());
    journey = Journey{};
    return;
  }
  logged_.push_back({std::move(journey), now_us_});
  journey = Journey{};
}

void Live::show_ready(bool all) {
  while (!waiting_.empty()) {
    Waiting& head = waiting_.front();
    const bool late = waiting_.size() > kMaxWaiting || now_us_ - head.since > kMaxWait;
    if (!all && with_kernel_log_ && now_us_ - head.since < kOtherHalf) return;
    if (!all && !late && !versions_.ready(head.journey)) return;
    Journey journey = std::move(head.journey);
    waiting_.pop_front();
    decide_and_show(journey);
  }
}

void Live::decide_and_show(Journey& journey) {
  const auto joined = versions_.join(journey);
  journey::Evidence evidence;
  evidence.seen = &seen_;
  evidence.has_rules = joined.has_rules;
  evidence.misfit = joined.misfit;
  evidence.legacy_unheard = legacy_unheard_ && versions_.legacy_rules() > 0;
  journey::decide(journey, evidence);

  if (journey.outcome.kind == journey::OutcomeKind::Lost && ask_routing_ && journey.last_form() != nullptr &&
      journey.last_form()->out.empty() && !is_multicast(journey.last_form()->destination)) {
    // Knowing why is better than a list of what may be.
    std::string& because = journey.outcome.because;
    if (const std::string said = ask_routing_(*journey.last_form()); !said.empty())
      because = because.substr(0, because.find(": there stand")) + ": " + said;
  }
  // A packet that was traced without us belongs to whoever made that rule; one whose beginning was lost may be ours.
  if (!journey.armed && journey.copy_of == 0 && !journey.overlaps_loss && markers_) {
    ++summary_.foreign;
    return;
  }
  if (journey.copy_of == 0) ++(journey.armed ? summary_.started : summary_.unstarted);
  if (enough()) return;  // what comes after the last one asked for is not counted
  find_question(journey);
  if (journey.outcome.kind == journey::OutcomeKind::Delivered) {
    if (delivered_.size() >= kMaxAsked) delivered_.clear();
    delivered_.insert(journey.serial);
  } else if (journey.answers != 0 && delivered_.contains(journey.answers)) {
    if (const std::string said = refusal(journey); !said.empty())
      journey.outcome.because +=
          "; packet " + std::to_string(journey.answers) + " was delivered, and " + said;
  }
  const bool shown = wants(journey);
  summary_.add(journey, shown);
  if (!shown) return;
  if (shown_serials_.size() >= kMaxAsked) shown_serials_.clear();
  shown_serials_.insert(journey.serial);
  say_warnings();
  shower_.show(journey);
}

// Which packet is this one a reply to? Conntrack's id and direction tell; without them the first packet of a flow that
// was seen asks, and what goes the other way answers. A reply's last form is as the asker sees it, before NAT.
void Live::find_question(Journey& journey) {
  const packet::Packet* first = journey.first_form();
  const packet::Packet* last = journey.last_form();
  if (first == nullptr || first->source.empty()) return;
  const packet::Packet& tracked = last->ct_id ? *last : *first;
  if (asked_.size() >= kMaxAsked) asked_.clear();
  if (tracked.ct_id && tracked.ct_direction) {
    Asked& asked = asked_[std::uint64_t{*tracked.ct_id} << 1 | 1];
    if (*tracked.ct_direction == 0) asked.serial = journey.serial;
    else if (asked.serial < journey.serial) journey.answers = asked.serial;
    return;
  }
  if (const packet::Icmp* icmp = packet::find_icmp(*first); icmp != nullptr && icmp->inner != nullptr) {
    // An error answers what it quotes.
    if (const auto known = asked_.find(flow_key(*icmp->inner)); known != asked_.end())
      journey.answers = known->second.serial;
    return;
  }
  if (!may_be_tied(*first)) return;
  for (const packet::Packet* form : {first, last}) {
    const auto known = asked_.find(flow_key(*form));
    if (known == asked_.end()) continue;
    if (known->second.source == journey::source_key(*form)) known->second.serial = journey.serial;
    else if (known->second.serial < journey.serial) journey.answers = known->second.serial;
    return;
  }
  asked_[flow_key(*first)] = {journey.serial, journey::source_key(*first)};
}

bool Live::wants(const Journey& journey) {
  if (shower_.wants(journey)) return true;
  if (showing_.filter.empty() || !showing_.host.empty()) return false;
  bool reply = mirrored_ && (packet::matches(*mirrored_, journey.forms) ||
                             (journey.answers != 0 && shown_serials_.contains(journey.answers)));
  for (const packet::Packet& form : journey.forms) {
    const packet::Icmp* icmp = packet::find_icmp(form);
    if (icmp == nullptr || !mirrored_) continue;
    if (icmp->inner ==
        nullptr) {  // an nft event alone does not show whom an error is about: it was armed as one
      reply = reply || is_error(form, *icmp);
      continue;
    }
    const std::span quoted(icmp->inner.get(), 1);
    reply = reply || packet::matches(showing_.filter, quoted) || packet::matches(*mirrored_, quoted);
  }
  if (!reply) return false;
  return !showing_.dropped || Shower::is_dropped(journey);
}

void Live::say_warnings() {
  for (base::Diagnostic& warning : warnings_) {
    report_diagnostic(world_, warning, sources_);
    summary_.diagnostics.add(std::move(warning));
  }
  if (!warnings_.empty()) world_.err.flush();
  warnings_.clear();
}

void Live::finish() {
  log_grouper_.finish();
  grouper_.finish();
  show_ready(true);
  say_warnings();
}

void Live::counted(std::uint64_t matched, std::uint64_t armed) {
  summary_.matched = matched;
  summary_.armed = armed;
}

}  // namespace fwtrace::cli
