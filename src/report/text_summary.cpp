#include "report/text_summary.h"

#include <algorithm>

#include "base/text.h"
#include "report/words.h"
#include "report/wrap.h"

namespace fwtrace::report {
namespace {

using base::with_commas;
using journey::OutcomeKind;
using journey::Summary;

constexpr std::size_t kDecidersShown = 5, kLossesShown = 3;

std::string count_of(std::uint64_t count, std::string_view one, std::string_view many) {
  return with_commas(count) + ' ' + std::string(count == 1 ? one : many);
}

std::string rejoin(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out;
}

std::string print_losses(const Summary& summary) {
  if (summary.losses_uncounted == 0) {
    if (summary.losses_counted || summary.lost_lines > 0)
      return count_of(summary.lost_lines, "event lost", "events lost");
    return "no loss reported";  // such a log does not show losses
  }
  const std::string unknown = "the source does not say how many";
  if (summary.lost_lines == 0) return "some events lost, " + unknown;
  return "more than " + count_of(summary.lost_lines, "event lost", "events lost") + ", " + unknown;
}

// "13 packets: 1 dropped, 1 rejected, 5 delivered · 0 events lost"
std::string print_counts(const Summary& summary, const std::vector<Summary::Decider>& deciders) {
  std::string out = count_of(summary.shown, "packet", "packets");
  std::string_view separator = ": ";
  for (std::size_t i = 0; i < summary.outcomes.size(); ++i) {
    if (summary.outcomes[i] == 0) continue;
    const auto kind = static_cast<OutcomeKind>(i);
    out += separator;
    separator = ", ";
    out += with_commas(summary.outcomes[i]) + ' ' + std::string(to_text(kind));
    if (summary.shown == 1 && deciders.size() == 1 && deciders.front().kind == kind)
      out += " (" + base::to_printable(deciders.front().where) + ')';
  }
  return out + " · " + print_losses(summary);
}

std::uint64_t lines_of(const Summary& summary, trace::LineKind kind) {
  return summary.line_kinds.at(static_cast<std::size_t>(kind));
}

// "100 trace, 3 LOG, 17 other"
std::string print_line_kinds(const Summary& summary) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < summary.line_kinds.size(); ++i) {
    if (summary.line_kinds[i] == 0) continue;
    parts.push_back(with_commas(summary.line_kinds[i]) + ' ' +
                    std::string(to_text(static_cast<trace::LineKind>(i))));
  }
  return rejoin(parts);
}

class SummaryText {
 public:
  SummaryText(std::string& out, const Summary& summary, const base::Sources& sources, const TextStyle& style)
      : out_(out), summary_(summary), sources_(sources), style_(style), paint_{style.color} {}

  void append() {
    const auto deciders = summary_.sorted();
    if (summary_.live && summary_.shown == 0) nothing_live();
    else if (summary_.journeys == 0) nothing();
    else if (summary_.shown == 0)
      line(0, "no packet passed the filter: " + count_of(summary_.journeys, "packet was", "packets were") +
                  " traced · " + print_losses(summary_));
    else line(0, print_counts(summary_, deciders));
    if (summary_.live) arming();
    if (style_.detail == TextStyle::Detail::Quiet) return;
    if (summary_.shown > 1) busiest(deciders);
    weak_points();
    losses();
    if (summary_.journeys > 0) input();
    diagnostics();
    hint();
  }

 private:
  void line(std::size_t indent, std::string_view text) {
    out_.append(indent, ' ');
    append_wrapped(out_, text, indent, indent + 4, style_.width);
    out_ += '\n';
  }

  void nothing_live() {
    std::string text = "no packet";
    if (summary_.matched == 0 && summary_.armed == 0) text += " met the filter";
    else text += " to show: " + count_of(summary_.armed, "packet was", "packets were") + " traced";
    line(0, text + " · " + print_losses(summary_));
    if (summary_.matched == 0 && summary_.armed == 0)
      line(
          0,
          "hint: is it this machine, this network namespace (-N), and these words? \"fwtrace doctor\" says what "
          "may keep packets from being seen");
  }

  // What the kernel counted, where it is more than what is shown.
  void arming() {
    if (summary_.matched > summary_.armed)
      line(2, count_of(summary_.matched - summary_.armed, "more packet", "more packets") +
                  " met the filter, over the rate: not traced (--rate)");
    if (summary_.wholly_lost() > 0)
      line(2, count_of(summary_.wholly_lost(), "traced packet", "traced packets") +
                  " wholly lost: no event of " + (summary_.wholly_lost() == 1 ? "it" : "them") + " arrived");
    if (summary_.foreign > 0)
      line(2, count_of(summary_.foreign, "packet", "packets") +
                  " traced by rules that are not ours: not shown; \"fwtrace doctor\" names them");
  }

  // No journey: what was in the input instead?
  void nothing() {
    if (summary_.lines == 0 && summary_.events == 0 && summary_.bytes == 0) {
      line(0, "no packet: the input is empty");
      return;
    }
    std::string text = "no packet: ";
    if (summary_.lines == 0) text += "read " + count_of(summary_.events, "event", "events");
    else text += "read " + count_of(summary_.lines, "line", "lines");
    if (lines_of(summary_, trace::LineKind::Trace) == 0 && summary_.events == 0)
      text += ", none of them says TRACE";
    if (const std::string kinds = print_line_kinds(summary_); !kinds.empty()) text += " (" + kinds + ")";
    line(0, text + " · " + print_losses(summary_));
  }

  void busiest(const std::vector<Summary::Decider>& deciders) {
    if (deciders.empty()) return;
    const std::size_t shown = std::min(deciders.size(), kDecidersShown);
    std::size_t count_width = 0, kind_width = 0, where_width = 0;
    for (std::size_t i = 0; i < shown; ++i) {
      count_width = std::max(count_width, with_commas(deciders[i].count).size());
      kind_width = std::max(kind_width, to_text(deciders[i].kind).size());
      where_width = std::max(where_width, base::display_width(base::to_printable(deciders[i].where)));
    }
    out_ += "  ";
    paint_.dim(out_, "decided by");
    out_ += '\n';
    for (std::size_t i = 0; i < shown; ++i) {
      const Summary::Decider& decider = deciders[i];
      const std::string count = with_commas(decider.count);
      const std::string where = base::to_printable(decider.where);
      std::string text =
          std::string(count_width - count.size(), ' ') + count + ' ' + std::string(to_text(decider.kind));
      text.append(kind_width - to_text(decider.kind).size() + 2, ' ').append(where);
      if (!decider.rule.empty())
        text.append(where_width - base::display_width(where) + 3, ' ')
            .append(base::to_printable(decider.rule));
      line(4, text);
    }
    if (deciders.size() > shown) {
      std::uint64_t rest = summary_.deciders_not_kept;
      for (std::size_t i = shown; i < deciders.size(); ++i) rest += deciders[i].count;
      const bool more = summary_.deciders_not_kept > 0;
      line(4, count_of(rest, "packet", "packets") + " by " + (more ? "at least " : "") +
                  count_of(deciders.size() - shown, "other rule", "other rules"));
    }
  }

  void weak_points() {
    std::vector<std::string> parts;
    const auto part = [&](std::uint64_t count, std::string_view one, std::string_view many) {
      if (count != 0) parts.push_back(count_of(count, one, many));
    };
    if (!summary_.live) part(summary_.starts_late, "starts late", "start late");
    part(summary_.ends_early, "stops early", "stop early");
    part(summary_.overlap_loss, "overlaps a loss", "overlap a loss");
    part(summary_.damaged, "has damaged lines", "have damaged lines");
    if (!parts.empty()) line(2, "not seen whole: " + rejoin(parts));
  }

  void losses() {
    std::size_t shown = 0;
    for (const trace::Loss& loss : summary_.first_losses) {
      if (shown++ == kLossesShown) break;
      std::string text = "lost: ";
      if (const std::string place = sources_.print(loss.place); !place.empty()) text += place + ": ";
      text += base::to_printable(loss.reason);
      if (loss.lines != 0) text += " (" + count_of(loss.lines, "event", "events") + ")";
      line(2, text);
    }
    if (summary_.first_losses.size() > kLossesShown) line(2, "lost: … and more");
  }

  void input() {
    if (summary_.shown != 0 && summary_.shown < summary_.journeys)
      line(2, "shown " + with_commas(summary_.shown) + " of " +
                  count_of(summary_.journeys, "packet", "packets"));
    const std::uint64_t plain =
        lines_of(summary_, trace::LineKind::Trace) + lines_of(summary_, trace::LineKind::Blank);
    std::uint64_t all = 0;
    for (const std::uint64_t count : summary_.line_kinds) all += count;
    if (all > plain)
      line(2, "read " + count_of(summary_.lines, "line", "lines") + ": " + print_line_kinds(summary_));
  }

  void diagnostics() {
    for (const base::Diagnostics::Kind& kind : summary_.diagnostics.kinds()) {
      std::string head = base::to_printable(kind.code) + " ×" + with_commas(kind.count);
      head += kind.first.empty() ? "" : kind.count == 1 ? ":" : ", the first:";
      line(2, head);
      if (kind.first.empty()) continue;
      const std::string full = print_diagnostic(kind.first.front(), sources_);
      for (std::string_view text : base::split(full, '\n')) {
        if (!text.empty()) out_.append("    ").append(text).append("\n");
      }
    }
  }

  void hint() {
    if (style_.rules_given || summary_.would_need_rules == 0) return;
    line(0, "hint: pass --rules FILE (iptables-save output of that machine) to see rule texts and verdicts");
  }

  std::string& out_;
  const Summary& summary_;
  const base::Sources& sources_;
  const TextStyle& style_;
  Paint paint_;
};

}  // namespace

void append_summary(std::string& out, const Summary& summary, const base::Sources& sources,
                    const TextStyle& style) {
  SummaryText(out, summary, sources, style).append();
}

}  // namespace fwtrace::report
