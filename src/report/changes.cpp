// What changed in a packet's headers on its way, and which step it is told with.
//
// A legacy line is logged before the rule's target runs, so what a line shows changed was done by the rule of the
// line before; an nft event shows the mark as the rule left it. A change between two walks (the routing decision,
// defragmentation, conntrack) belongs to neither and is told between them.
#include <algorithm>

#include "report/path.h"
#include "report/words.h"

namespace fwtrace::report {
namespace {

using journey::Journey;
using journey::Rewrite;
using journey::Step;
using packet::Packet;

bool same_walk(const Step& a, const Step& b) {
  return a.hook == b.hook && a.family == b.family && a.table == b.table && a.dialect == b.dialect &&
         !is_final(a.did);
}

// The routing decision lies between prerouting and these; there the TTL is told with it.
bool is_routed_between(const Step& a, const Step& b) {
  return a.hook == packet::Hook::Prerouting &&
         (b.hook == packet::Hook::Forward || b.hook == packet::Hook::Input ||
          b.hook == packet::Hook::Postrouting);
}

void append_change(std::string& out, std::string_view name, std::string_view from, std::string_view to) {
  if (!out.empty()) out += ", ";
  out.append(name).append(" ").append(from).append(" ⇒ ").append(to);
}

template <class T>
void append_hex_change(std::string& out, std::string_view name, const packet::Maybe<T>& from,
                       const packet::Maybe<T>& to, int digits) {
  if (!from || !to || *from == *to) return;
  std::string a = "0x", b = "0x";
  append_hex(a, *from, digits);
  append_hex(b, *to, digits);
  append_change(out, name, a, b);
}

template <class T>
void append_number_change(std::string& out, std::string_view name, const packet::Maybe<T>& from,
                          const packet::Maybe<T>& to) {
  if (from && to && *from != *to) append_change(out, name, std::to_string(*from), std::to_string(*to));
}

std::string header_change(const Packet& from, const Packet& to, bool tell_ttl) {
  std::string out;
  // The mark is printed only if it is not zero, so one that is not there is zero, unless it may have been eaten.
  if (from.whole() && to.whole())
    append_hex_change(out, "mark", packet::Maybe<std::uint32_t>(from.mark.value_or(0)),
                      packet::Maybe<std::uint32_t>(to.mark.value_or(0)), 1);
  append_hex_change(out, "tos", from.tos, to.tos, 2);
  append_hex_change(out, "prec", from.precedence, to.precedence, 2);
  append_hex_change(out, "tc", from.traffic_class, to.traffic_class, 2);
  if (tell_ttl) append_number_change(out, "ttl", from.ttl, to.ttl);
  append_number_change(out, "len", from.length, to.length);
  return out;
}

std::string rewrite_text(const Journey& journey, const Rewrite& rewrite) {
  const Packet& from = journey.forms[rewrite.from_form];
  const Packet& to = journey.forms[rewrite.to_form];
  std::string out;
  if (rewrite.by_known && rewrite.by_step < journey.steps.size()) {
    const Step& step = journey.steps[rewrite.by_step];
    if (step.rule != nullptr && ruleset::is_nat_target(step.rule->target))
      append_printable(out, step.rule->target);
    else if (!is_iptables(step)) out = rewrite.destination ? "dnat" : "snat";
  }
  // What conntrack does to a reply undoes a translation; it is not one.
  if (!rewrite.by_known) out = rewrite.destination ? "destination" : "source";
  if (out.empty()) out = rewrite.destination ? "DNAT" : "SNAT";
  const auto end = [&](const Packet& form) {
    return rewrite.destination ? print_endpoint(form.destination, form.ports.destination)
                               : print_endpoint(form.source, form.ports.source);
  };
  return out + ' ' + end(from) + " ⇒ " + end(to);
}

}  // namespace

const Step* step_before(const Journey& journey, std::uint32_t i) {
  const auto is_bridge = [](const Step& step) { return step.family == packet::Family::Bridge; };
  const bool bridge = journey.live && is_bridge(journey.steps[i]);
  for (std::uint32_t k = i; k-- > 0;) {
    if (!journey.live || is_bridge(journey.steps[k]) == bridge) return &journey.steps[k];
  }
  return nullptr;
}

std::vector<Change> find_changes(const Journey& journey) {
  std::vector<Change> changes;
  const auto& steps = journey.steps;
  for (const Rewrite& rewrite : journey.rewrites) {
    if (rewrite.from_form >= journey.forms.size() || rewrite.to_form >= journey.forms.size()) continue;
    Change change;
    change.rewrite = true;
    change.before = !rewrite.by_known;
    change.step = rewrite.by_known ? rewrite.by_step : rewrite.after_step + 1;
    change.text = rewrite_text(journey, rewrite);
    changes.push_back(std::move(change));
  }
  for (std::uint32_t i = 1; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const Step& previous = steps[i - 1];
    if (step.form == previous.form || step.form >= journey.forms.size() ||
        previous.form >= journey.forms.size())
      continue;
    Change change;
    const Step* const before_it = step_before(journey, i);
    change.text = header_change(journey.forms[previous.form], journey.forms[step.form],
                                before_it == nullptr || !is_routed_between(*before_it, step));
    if (change.text.empty()) continue;
    const bool inside = same_walk(previous, step);
    const bool logged_before = previous.dialect == trace::Dialect::KernelLog;
    change.before = !inside && (logged_before || step.kind == trace::EventKind::Headers);
    change.step = inside && logged_before ? i - 1 : i;
    changes.push_back(std::move(change));
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) { return a.step < b.step; });
  return changes;
}

}  // namespace fwtrace::report
