#include "report/fold.h"

#include <algorithm>

#include "report/words.h"

namespace fwtrace::report {
namespace {

using journey::Journey;
using journey::Step;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9FB21C651E98DF25ULL;
  return hash ^ (hash >> 29);
}

// A hash of some of what must be equal: enough to tell most journeys apart, cheap to get. Never 0, except for
// journeys that cannot be told to be repetitions.
std::uint64_t hash_of(const Journey& journey) {
  const packet::Packet* form = journey.first_form();
  const packet::Tcp* tcp = form == nullptr ? nullptr : packet::find_tcp(*form);
  if (tcp == nullptr || !tcp->seq || !tcp->flags) return 0;
  std::uint64_t hash = mix(*tcp->seq, *tcp->flags);
  hash = mix(hash, form->ports.source.value_or(0) * 65536U + form->ports.destination.value_or(0));
  for (const std::uint8_t byte : form->source.bytes) hash = mix(hash, byte);
  hash = mix(hash, journey.steps.size());
  hash = mix(hash, static_cast<std::uint64_t>(journey.outcome.kind));
  return hash == 0 ? 1 : hash;
}

bool same_form(const packet::Packet& a, const packet::Packet& b) {
  const packet::Tcp* x = packet::find_tcp(a);
  const packet::Tcp* y = packet::find_tcp(b);
  if (x == nullptr || y == nullptr) return x == y;
  return a.in == b.in && a.out == b.out && a.source == b.source && a.destination == b.destination &&
         a.ports == b.ports && a.length == b.length && a.mark == b.mark && a.ttl == b.ttl &&
         x->seq == y->seq && x->ack_seq == y->ack_seq && x->flags == y->flags;
}

bool same_step(const Step& a, const Step& b) {
  return a.kind == b.kind && a.did == b.did && a.hook == b.hook && a.family == b.family &&
         a.number == b.number && a.handle == b.handle && a.depth == b.depth && a.form == b.form &&
         a.table == b.table && a.chain == b.chain && a.target_chain == b.target_chain &&
         (a.rule == b.rule || (a.rule != nullptr && b.rule != nullptr && a.rule->text == b.rule->text)) &&
         a.rule_text == b.rule_text;
}

bool same_fate(const Journey& a, const Journey& b) {
  return a.host == b.host && a.family == b.family && a.starts_late == b.starts_late &&
         a.ends_early == b.ends_early && a.overlaps_loss == b.overlaps_loss && a.damaged == b.damaged &&
         a.looped == b.looped && a.outcome.kind == b.outcome.kind && a.outcome.likely == b.outcome.likely &&
         a.outcome.step == b.outcome.step && std::ranges::equal(a.steps, b.steps, same_step) &&
         std::ranges::equal(a.forms, b.forms, same_form);
}

}  // namespace

Folded* RetransmitFold::repeat(const Journey& journey, std::uint64_t hash) {
  if (hash == 0) return nullptr;
  const base::Stamp began = journey.steps.empty() ? base::Stamp() : journey.steps.front().time;
  for (Held& held : held_) {
    if (held.hash != hash || !same_fate(held.folded.journey, journey)) continue;
    Folded& folded = held.folded;
    ++folded.times;
    const auto gap = base::elapsed_us(held.last, began);
    if (!gap || *gap < 0) folded.gaps_known = false;
    else if (folded.gaps_us.size() < Folded::kGaps) folded.gaps_us.push_back(*gap);
    folded.seconds_only = began.uptime_us == base::Stamp::kNone && began.seconds_only;
    held.last = began;
    return &folded;
  }
  return nullptr;
}

std::optional<Folded> RetransmitFold::add(const Journey& journey) {
  const std::uint64_t hash = hash_of(journey);
  if (repeat(journey, hash) != nullptr) return std::nullopt;
  const base::Stamp began = journey.steps.empty() ? base::Stamp() : journey.steps.front().time;
  held_.push_back({hash, began, {journey, 1, {}, true, false}});
  return held_.size() > kHeld ? take() : std::nullopt;
}

const Folded* RetransmitFold::find_repeated(const Journey& journey) {
  const std::uint64_t hash = hash_of(journey);
  if (const Folded* folded = repeat(journey, hash); folded != nullptr) return folded;
  if (hash == 0) return nullptr;
  const base::Stamp began = journey.steps.empty() ? base::Stamp() : journey.steps.front().time;
  held_.push_back({hash, began, {journey, 1, {}, true, false}});
  if (held_.size() > kHeld) held_.pop_front();
  return nullptr;
}

std::optional<Folded> RetransmitFold::take() {
  if (held_.empty()) return std::nullopt;
  std::optional<Folded> oldest = std::move(held_.front().folded);
  held_.pop_front();
  return oldest;
}

std::string print_repetitions(const Folded& folded) {
  if (folded.times < 2) return {};
  std::string out = "×";
  append_number(out, folded.times);
  if (!folded.gaps_known || folded.gaps_us.empty()) return out;
  out += ", after";
  for (const std::int64_t gap : folded.gaps_us) {
    out += ' ';
    out += gap == 0 && folded.seconds_only ? std::string("<1 s") : print_interval(gap);
  }
  if (folded.times - 1 > folded.gaps_us.size()) out += " …";
  return out;
}

}  // namespace fwtrace::report
