#include "report/path.h"

#include <algorithm>

#include "base/text.h"
#include "journey/summary.h"
#include "report/words.h"

namespace fwtrace::report {
namespace {

using journey::Did;
using journey::Journey;
using journey::Step;
using packet::Hook;

constexpr std::size_t kHeading = 12;  // "postrouting "
constexpr std::size_t kIndent = 2;
constexpr std::size_t kStepColumn = 44;  // with every step shown, rule texts begin here at the latest

// "filter" for iptables' tables, "inet fw" for others.
std::string table_label(const Journey& journey, const Step& step) {
  if (step.marker) return "fwtrace";
  Step bare;
  bare.family = step.family;
  bare.table = step.table;
  bare.did = Did::Headers;  // names nothing below the table
  return base::to_printable(print_where(bare)) + std::string(backend_word(journey, step));
}

class Path {
 public:
  Path(std::string& out, const Journey& journey, const base::Sources& sources, PathStyle style)
      : out_(out), journey_(journey), sources_(sources), style_(style), changes_(find_changes(journey)) {}
  void append();

 private:
  std::uint32_t walk_end(std::uint32_t first) const;
  void line(std::string_view heading, std::string_view label, std::size_t label_width, std::string_view body);
  void between(const Step& before, const Step& after);
  void told_between(std::uint32_t first, std::uint32_t last, bool rewrites);
  void walk_line(std::string_view heading, std::uint32_t first, std::uint32_t last);
  void step_lines(std::string_view heading, std::uint32_t first, std::uint32_t last);
  std::string print_step(std::uint32_t i) const;
  std::string offset_of(const Step& step) const;

  std::string& out_;
  const Journey& journey_;
  const base::Sources& sources_;
  PathStyle style_;
  std::vector<Change> changes_;
  std::size_t label_width_ = 0, offset_width_ = 0, step_width_ = 0;
};

// A walk is one table's evaluation at one hook: it ends with a verdict, a policy, or when another base chain begins.
std::uint32_t Path::walk_end(std::uint32_t first) const {
  const auto& steps = journey_.steps;
  std::uint32_t i = first + 1;
  for (; i < steps.size(); ++i) {
    const Step& before = steps[i - 1];
    const Step& now = steps[i];
    if (now.hook != before.hook || now.family != before.family || !(now.table == before.table)) break;
    if (is_final(before.did) || now.did == Did::Headers || now.dialect != before.dialect) break;
    if (now.depth == 0 && before.depth == 0 && !(now.chain == before.chain) && before.did != Did::Goto) break;
  }
  return i;
}

void Path::line(std::string_view heading, std::string_view label, std::size_t label_width,
                std::string_view body) {
  std::string text(kIndent, ' ');
  const auto column = [&](std::string_view word, std::size_t width) {
    style_.paint.dim(text, word);
    const std::size_t used = base::display_width(word);
    text.append(used < width ? width - used : 1, ' ');
  };
  column(heading, kHeading);
  if (label_width != 0) column(label, label_width);
  out_ += text;
  append_wrapped(out_, body, visible_width(text), kIndent + kHeading + label_width + 2, style_.width);
  out_ += '\n';
}

// What the kernel does between two hooks: the routing decision, and the way round by the loopback device.
void Path::between(const Step& before, const Step& after) {
  const auto is_bridge = [](const Step& step) { return step.family == packet::Family::Bridge; };
  if (before.hook == after.hook || is_bridge(before) != is_bridge(after)) return;
  if (!journey_.live && before.family != after.family) return;
  const packet::Packet* from = before.form < journey_.forms.size() ? &journey_.forms[before.form] : nullptr;
  const packet::Packet* to = after.form < journey_.forms.size() ? &journey_.forms[after.form] : nullptr;
  const bool bridge = after.family == packet::Family::Bridge;
  const std::string_view heading = bridge ? "bridging" : "routing";
  if (before.hook == Hook::Prerouting &&
      (after.hook == Hook::Forward || (after.hook == Hook::Postrouting && journey_.live && !bridge))) {
    std::string text = "forward";
    if (to != nullptr && !to->out.empty()) text += " to " + base::to_printable(to->out.text());
    if (from != nullptr && to != nullptr && from->ttl && to->ttl && *from->ttl != *to->ttl)
      text += " (ttl " + std::to_string(*from->ttl) + " → " + std::to_string(*to->ttl) + ")";
    line(heading, {}, 0, text);
  } else if (before.hook == Hook::Prerouting && after.hook == Hook::Input) {
    line(heading, {}, 0, "to this machine");
  } else if (before.hook == Hook::Postrouting && after.hook == Hook::Prerouting && journey_.looped) {
    line("loopback", {}, 0, "out by lo and in again");
  }
}

// Changes that no step accounts for, before the steps [first, last). Rewrites come before the routing decision that
// they lead to, everything else after it.
void Path::told_between(std::uint32_t first, std::uint32_t last, bool rewrites) {
  const auto from = std::ranges::lower_bound(changes_, first, {}, &Change::step);
  for (auto change = from; change != changes_.end() && change->step < last; ++change) {
    if (!change->before || change->rewrite != rewrites) continue;
    if (rewrites) line("conntrack", {}, 0, change->text + "   a known connection, or a rule not traced");
    else line("changed", {}, 0, change->text);
  }
}

void Path::walk_line(std::string_view heading, std::uint32_t first, std::uint32_t last) {
  line(heading, table_label(journey_, journey_.steps[first]), label_width_,
       print_walk(journey_, first, last, changes_));
}

// "+12 µs" since the first step; only from clocks that are finer than a step.
std::string Path::offset_of(const Step& step) const {
  if (journey_.live) return {};  // nft's events carry no time: when we read them is not when they were
  const base::Stamp& began = journey_.steps.front().time;
  const auto fine = [](const base::Stamp& s) { return s.uptime_us != base::Stamp::kNone || !s.seconds_only; };
  if (!fine(began) || !fine(step.time)) return {};
  const auto us = base::elapsed_us(began, step.time);
  if (!us) return {};
  return (*us < 0 ? "" : "+") + std::to_string(*us) + " µs";
}

// What the step met and did: "  PRE_public rule 3 → PRE_public_allow", indented by how deep the chain is.
std::string Path::print_step(std::uint32_t i) const {
  const Step& step = journey_.steps[i];
  if (step.marker) {
    const auto row = trace::find_marker(step.table.text(), step.chain.text());
    return row ? std::string(row->place) : std::string();
  }
  std::string out(std::min<std::size_t>(step.depth, 10) * 2, ' ');
  Step inside = step;  // the table stands in its own column
  inside.table = base::Name();
  inside.family = packet::Family::None;
  append_printable(out, print_where(inside));
  if (step.number != 0 && step.handle != 0) out += " handle ", append_number(out, step.handle);
  std::string changes;
  bool rewrote = false;
  for (const Change& change : std::ranges::equal_range(changes_, i, {}, &Change::step)) {
    if (change.before) continue;
    changes += (changes.empty() ? " " : ", ") + change.text;
    rewrote = rewrote || change.rewrite;
  }
  if (step.did == Did::Jump || step.did == Did::Goto) {
    out += step.did == Did::Jump ? " → " : " → (goto) ";
    append_printable(out, target_of(step));
  } else if (step.did == Did::Return || step.did == Did::ChainEnd) {
    out += " ↩";
  } else if (const std::string word = final_word(step); !word.empty()) {
    if (!rewrote) out += ' ' + word;
  } else if (step.did == Did::Continue && step.rule != nullptr && !step.rule->target.empty()) {
    out += ' ';
    append_printable(out, step.rule->target);
  } else if (step.did == Did::Headers) {
    out += " headers";
  }
  out += changes;
  if (journey_.outcome.step == i) out += ' ', out += mark_of(journey_.outcome.kind);
  return out;
}

void Path::step_lines(std::string_view heading, std::uint32_t first, std::uint32_t last) {
  for (std::uint32_t i = first; i < last; ++i) {
    // The kernel sent the headers with the step that comes next.
    if (journey_.live && journey_.steps[i].did == Did::Headers && !journey_.steps[i].marker) continue;
    std::string label = table_label(journey_, journey_.steps[i]);
    const std::size_t used = base::display_width(label);
    label.append(used < label_width_ ? label_width_ - used : 1, ' ');
    if (offset_width_ != 0) {
      const std::string offset = offset_of(journey_.steps[i]);
      label.append(offset_width_ - base::display_width(offset), ' ').append(offset).append(" ");
    }
    std::string body = print_step(i);
    const auto gap = [&](std::size_t column) {
      const std::size_t width = base::display_width(body);
      body.append(width < column ? column - width : 0, ' ').append("   ");
    };
    if (const std::string_view text = rule_text(journey_.steps[i]); !text.empty()) {
      gap(step_width_);
      append_printable(body, text);
    }
    if (base::Place place = journey_.steps[i].place; place.line != 0 && !journey_.live) {
      place.column = 0;
      gap(0);
      std::string text = sources_.print(place);
      if (const std::size_t folder = text.rfind('/'); folder != std::string::npos) text.erase(0, folder + 1);
      style_.paint.dim(body, text);
    }
    line(heading, label, base::display_width(label), body);
    heading = {};
  }
}

void Path::append() {
  const auto& steps = journey_.steps;
  for (const Step& step : steps) {
    if (step.marker && !style_.every_step) continue;
    label_width_ = std::max(label_width_, base::display_width(table_label(journey_, step)));
    if (!style_.every_step) continue;
    offset_width_ = std::max(offset_width_, base::display_width(offset_of(step)));
    const std::size_t width =
        base::display_width(print_step(static_cast<std::uint32_t>(&step - steps.data())));
    if (width <= kStepColumn) step_width_ = std::max(step_width_, width);
  }
  label_width_ = std::clamp<std::size_t>(label_width_ + 1, 9, 24);

  std::string_view shown_heading;
  std::string_view heading = "chains";  // until a hook is known
  for (std::uint32_t first = 0; first < steps.size();) {
    const std::uint32_t last = walk_end(first);
    const std::size_t size = out_.size();
    told_between(first, first + 1, true);
    if (const Step* before = step_before(journey_, first)) between(*before, steps[first]);
    told_between(first, first + 1, false);
    if (steps[first].hook != Hook::None) heading = to_text(steps[first].hook);
    // After a line of another heading the hook is named again.
    const bool repeat = shown_heading != heading || out_.size() != size;
    const std::string_view head = repeat ? heading : std::string_view();
    const auto walk = std::span(steps).subspan(first, last - first);
    if (!style_.every_step &&
        std::ranges::all_of(walk, [](const Step& step) { return step.did == Did::Headers; })) {
      first = last;  // the headers alone say nothing that the first line does not
      continue;
    }
    if (style_.every_step) step_lines(head, first, last);
    else walk_line(head, first, last);
    shown_heading = heading;
    const std::size_t before_rest = out_.size();
    told_between(first + 1, last, true);
    told_between(first + 1, last, false);
    if (out_.size() != before_rest) shown_heading = {};
    first = last;
  }
  told_between(static_cast<std::uint32_t>(steps.size()), ~std::uint32_t{0}, true);
}

}  // namespace

void append_path(std::string& out, const Journey& journey, const base::Sources& sources, PathStyle style) {
  Path(out, journey, sources, style).append();
}

}  // namespace fwtrace::report
