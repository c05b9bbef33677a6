#include "journey/position.h"

#include <algorithm>

#include "base/text.h"
#include "trace/markers.h"

namespace fwtrace::journey {
namespace {

using packet::Hook;
using packet::Verdict;
using trace::Event;
using trace::EventKind;

// From which hooks a packet can come to `to` within one pass. What lies between may log nothing.
bool is_later_hook(Hook from, Hook to) {
  switch (to) {
    case Hook::Input: return from == Hook::Prerouting || from == Hook::Ingress;
    case Hook::Forward: return from == Hook::Prerouting || from == Hook::Ingress;
    case Hook::Postrouting:
      return from == Hook::Forward || from == Hook::Output || from == Hook::Prerouting ||
             from == Hook::Ingress;
    case Hook::Prerouting: return from == Hook::Ingress;
    case Hook::Egress: return from == Hook::Postrouting || from == Hook::Forward || from == Hook::Output;
    default: return false;
  }
}

// A hook's name as a word in a chain's name: "input", "VYOS_INPUT_filter", "filter_FORWARD".
Hook hook_in_name(std::string_view name) {
  Hook found = Hook::None;
  std::size_t at = 0;
  while (at < name.size()) {
    std::size_t end = at;
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    while (end < name.size() && is_letter(name[end])) ++end;
    if (const auto hook = packet::parse_hook(name.substr(at, end - at)); hook && end > at) {
      if (found != Hook::None && found != *hook) return Hook::None;
      found = *hook;
    }
    at = end + 1;
  }
  return found;
}

}  // namespace

Position::Devices Position::devices_of(const Event& event) {
  if (event.packet == nullptr) return Devices::Unknown;
  const bool in = !event.packet->in.empty(), out = !event.packet->out.empty();
  return in && out ? Devices::Both : in ? Devices::In : out ? Devices::Out : Devices::Unknown;
}

Hook hook_of_event(const Event& event) {
  if (event.dialect == trace::Dialect::KernelLog) return packet::hook_of_chain(event.chain.text());
  if (const auto marker = trace::find_marker(event.table.text(), event.chain.text())) return marker->hook;
  if (event.kind != EventKind::Headers && event.packet == nullptr) {
    return event.dialect == trace::Dialect::XtablesMonitor ? packet::hook_of_chain(event.chain.text())
                                                           : Hook::None;
  }
  Hook hook = packet::hook_of_chain(event.chain.text());
  if (hook == Hook::None) hook = hook_in_name(event.chain.text());
  if (event.packet == nullptr) return hook;
  const bool in = !event.packet->in.empty(), out = !event.packet->out.empty();
  switch (hook) {
    case Hook::Prerouting:
    case Hook::Input:
    case Hook::Ingress: return in && !out ? hook : Hook::None;
    case Hook::Forward: return in && out ? hook : Hook::None;
    case Hook::Output: return out && !in ? hook : Hook::None;
    case Hook::Postrouting:
    case Hook::Egress: return out ? hook : Hook::None;
    case Hook::None: return Hook::None;
  }
  return Hook::None;
}

bool Position::is_base(std::size_t frame) const {
  return packet::hook_of_chain(frames_[frame].chain.text()) != Hook::None;
}

bool Position::can_follow(const Event& event, Hook hook, bool in_lo) const {
  if (ended_) return false;
  if (event.dialect != trace::Dialect::KernelLog) return can_follow_nft(event, hook, in_lo);
  if (!leaves_table(event, hook)) return can_follow_in_table(event, hook);
  return can_enter(event, hook, in_lo);
}

bool Position::leaves_table(const Event& event, Hook hook) const {
  if (event.dialect != dialect_ && !table_.empty()) return true;
  if (event.dialect == trace::Dialect::NftMonitor)
    return event.kind == EventKind::Headers || begins_walk(event);
  if (event.dialect == trace::Dialect::XtablesMonitor && event.kind == EventKind::Headers)
    return !table_.empty() && !is_late_headers(event);
  if (!event.table.is(table_)) return true;
  if (hook == Hook::None) hook = event.hook;
  return hook != Hook::None && hook_ != Hook::None && hook != hook_;
}

bool Position::can_follow_in_table(const Event& event, Hook hook) const {
  if (frames_.empty()) return true;
  for (std::size_t i = frames_.size(); i-- > 0;) {
    if (!frames_[i].chain.is(event.chain)) continue;
    if (event.number <= frames_[i].number) return false;
    // Behind a policy only the policy itself can come: after an unconditional RETURN in a built-in chain.
    return frames_[i].kind != EventKind::Policy || event.kind == EventKind::Policy;
  }
  const Frame& top = frames_.back();
  if (hook != Hook::None) return !is_base(0);             // the base chain that a late start had not seen
  if (top.kind == EventKind::Policy) return false;        // the table is done
  if (top.kind == EventKind::Return) return !is_base(0);  // back in a caller that a late start had not seen
  return event.kind != EventKind::Policy;
}

bool Position::can_enter(const Event& event, Hook hook, bool in_lo) const {
  // What has an output device has been routed, and does not come back before routing but by lo.
  if (!in_lo && (devices_ == Devices::Both || devices_ == Devices::Out) && devices_of(event) == Devices::In)
    return false;
  // An nft chain may have hidden where it is.
  const Hook from_hook = hook_ == Hook::None && dialect_ != event.dialect ? reached_ : hook_;
  if (hook == Hook::None) hook = event.hook;
  if (from_hook == Hook::None || hook == Hook::None) {
    // One of the two is only known to be in some user chain. Tables at one hook have one order; the hook itself
    // can have changed unseen, so only an order that no hook has is refused: back to raw.
    return event.table.text() != "raw" || table_.empty();
  }
  if (hook == from_hook) {
    if (legacy_hook_ != hook) return true;
    const auto from = packet::legacy_priority(legacy_table_.text(), hook);
    const auto to = packet::legacy_priority(event.table.text(), hook);
    return !from || !to || *to > *from;
  }
  if (is_later_hook(from_hook, hook)) return true;
  return in_lo && hook == Hook::Prerouting && (from_hook == Hook::Postrouting || from_hook == Hook::Output);
}

// xtables-monitor before 1.8.7 printed the packet behind the first rule it met.
bool Position::is_late_headers(const Event& event) const {
  return event.dialect == trace::Dialect::XtablesMonitor && event.kind == EventKind::Headers &&
         !headers_seen_ && event.table == table_ && !frames_.empty();
}

// nft before 1.0 printed no headers for a base chain in which no rule matched: its end or policy comes bare. Such a
// line is in another table, or comes after the walk before it had ended.
bool Position::begins_walk(const Event& event) const {
  if (event.kind == EventKind::Headers || event.packet != nullptr || table_.empty()) return false;
  return !event.table.is(table_) || event.family != family_ || event.dialect != dialect_ || walk_done_;
}

// While a ruleset is loaded anew, the new base chain is hooked in, still empty, before the old one of the same name is taken
// out (kernel: nf_tables_commit): a packet may walk both, one right behind the other. Elsewhere a chain that comes again
// tells another packet; one that we armed begins with our marker.
bool Position::is_being_replaced(const Event& event) const {
  return walk_done_ && event.has_trace_id && event.trace_id == trace_id_ && !walked_.empty() &&
         walked_.back() == walk_of(event) && trace::is_our_table(walked_.front().table.text());
}

bool Position::can_follow_nft(const Event& event, Hook hook, bool in_lo) const {
  if (is_late_headers(event)) return true;
  if (event.kind != EventKind::Headers && event.packet == nullptr) {
    // Within the walk of a base chain; tables cannot change without headers, but in xtables-monitor's old form.
    // A late start knows no table.
    if (table_.empty()) return true;
    if (event.dialect == trace::Dialect::XtablesMonitor && leaves_table(event, hook))
      return hook != Hook::None && can_enter(event, hook, in_lo);
    if (begins_walk(event)) return std::find(walked_.begin(), walked_.end(), walk_of(event)) == walked_.end();
    return !walk_done_;
  }
  if (table_.empty()) return true;
  const Devices devices = devices_of(event);
  const bool lo_again = in_lo && devices == Devices::In && (devices_ == Devices::Out);
  if (lo_again) return true;
  const bool again = std::find(walked_.begin(), walked_.end(), walk_of(event)) != walked_.end();
  if (again) return is_being_replaced(event);
  if (devices_ != Devices::Unknown && devices != Devices::Unknown && devices != devices_) {
    const bool onwards = (devices_ == Devices::In && devices == Devices::Both) ||
                         (devices_ == Devices::Both && devices == Devices::Out) ||
                         (devices_ == Devices::In && devices == Devices::Out) ||
                         // What the kernel itself sends may name its device as the one it came in by
                         // (neighbour discovery): postrouting shows that, output does not.
                         (devices_ == Devices::Out && devices == Devices::Both && hook_ == Hook::Output &&
                          hook == Hook::Postrouting);
    if (!onwards) return false;
  }
  if (event.family == packet::Family::Bridge && hook_ == Hook::Input &&
      (hook == Hook::Output || hook == Hook::Postrouting))
    return true;  // routed, and out by a bridge again
  return hook == Hook::None || hook_ == Hook::None || hook == hook_ || is_later_hook(hook_, hook) ||
         (event.family == packet::Family::Bridge) != (family_ == packet::Family::Bridge);
}

std::uint16_t Position::advance(const Event& event, Hook hook) {
  if (event.verdict == Verdict::Drop) ended_ = true;
  if (is_late_headers(event)) {
    headers_seen_ = true;
    devices_ = devices_of(event);
    return 0;
  }
  if (event.dialect != trace::Dialect::KernelLog) {
    const bool carries = event.kind == EventKind::Headers || event.packet != nullptr;
    if (carries || leaves_table(event, hook)) {
      walk_done_ = false;
      const Devices devices = devices_of(event);
      if (devices_ == Devices::Out && devices == Devices::In) walked_.clear();
      if (devices != Devices::Unknown) devices_ = devices;
      walked_.push_back(walk_of(event));
      frames_.clear();
      headers_seen_ = carries;
      if (hook != Hook::None || event.kind == EventKind::Headers) hook_ = hook;
    }
    walk_done_ |= event.verdict == Verdict::Accept || event.kind == EventKind::Policy;
    table_ = event.table;
    family_ = event.family;
    trace_id_ = event.trace_id;
  } else if (leaves_table(event, hook)) {
    if (const Devices devices = devices_of(event); devices != Devices::Unknown) devices_ = devices;
    frames_.clear();
    table_ = event.table;
    hook_ = hook != Hook::None ? hook : event.hook;
  } else if (hook != Hook::None && hook_ == Hook::None) {
    hook_ = hook;
    frames_.clear();  // what was seen of a late start lay below this base chain
  }
  dialect_ = event.dialect;
  if (hook_ != Hook::None) reached_ = hook_;
  if (event.dialect == trace::Dialect::KernelLog) legacy_hook_ = hook_, legacy_table_ = event.table;
  for (std::size_t i = frames_.size(); i-- > 0;) {
    if (!frames_[i].chain.is(event.chain)) continue;
    frames_.resize(i + 1);
    frames_[i].number = event.number;
    frames_[i].kind = event.kind;
    return static_cast<std::uint16_t>(i);
  }
  if (!frames_.empty() && frames_.back().kind == EventKind::Return &&
      event.dialect == trace::Dialect::KernelLog)
    frames_.clear();  // returned into a caller that had not been seen
  frames_.push_back({event.chain, event.number, event.kind});
  return static_cast<std::uint16_t>(frames_.size() - 1);
}

}  // namespace fwtrace::journey
