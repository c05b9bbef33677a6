#include "cli/showing.h"

#include <algorithm>

#include "base/text.h"
#include "cli/messages.h"
#include "report/json.h"
#include "report/kernel_log.h"

namespace fwtrace::cli {

using journey::Journey;
using journey::OutcomeKind;
using journey::Summary;

Shower::Shower(World& world, const Showing& showing, const base::Sources& sources)
    : world_(world), showing_(showing), sources_(sources), text_(world.out, sources, showing.style) {}

bool Shower::enough(const Summary& summary) const {
  return world_.out.closed() || (showing_.most != 0 && summary.shown >= showing_.most);
}

bool Shower::is_open(const Summary& summary) {
  const auto count = [&](OutcomeKind kind) { return summary.outcomes[static_cast<std::size_t>(kind)]; };
  return summary.shown == 0 || summary.lost_lines > 0 || summary.losses_uncounted > 0 ||
         count(OutcomeKind::Undecided) + count(OutcomeKind::Incomplete) + count(OutcomeKind::Lost) > 0;
}

bool Shower::wants(const Journey& journey) {
  if (!showing_.host.empty() && journey.host.text() != showing_.host) {
    const std::string host(journey.host.text());
    if (hosts_.size() < 8 && std::find(hosts_.begin(), hosts_.end(), host) == hosts_.end())
      hosts_.push_back(host);
    return false;
  }
  if (!showing_.filter.empty() && !packet::matches(showing_.filter, journey.forms)) return false;
  return !showing_.dropped || is_dropped(journey);
}

bool Shower::is_dropped(const Journey& journey) {
  const OutcomeKind kind = journey.outcome.likely.value_or(journey.outcome.kind);
  return kind == OutcomeKind::Dropped || kind == OutcomeKind::Rejected || kind == OutcomeKind::Lost;
}

void Shower::show(const Journey& journey) {
  switch (showing_.form) {
    case Form::Text: text_.journey(journey); return;
    case Form::Json: report::write_json(world_.out, journey, sources_); return;
    case Form::Kernel:
      for (const journey::Step& step : journey.steps) {
        if (step.kind != trace::EventKind::Headers && step.number == 0) ++without_number_;
        report::append_kernel_line(world_.out.buffer(), journey, step);
      }
      world_.out.wrote();
      return;
    case Form::Nothing: return;
  }
}

void Shower::finish(const Summary& summary) {
  switch (showing_.form) {
    case Form::Text:
      if (summary.events > 0 || showing_.style.live) text_.finish(summary);
      if (summary.shown == 0 && !hosts_.empty()) {
        std::string list;
        for (const std::string& host : hosts_)
          list += (list.empty() ? "" : ", ") + (host.empty() ? std::string("(no host)") : host);
        hint(world_, "the hosts of this log: " + list);
      }
      break;
    case Form::Json: report::write_json(world_.out, summary, sources_); break;
    case Form::Kernel:
      if (without_number_ > 0)
        warn(world_, base::with_commas(without_number_) +
                         " of these lines are about nft rules, which have handles and no numbers: the "
                         "handle stands in the number's place (0 where there is none)");
      break;
    case Form::Nothing: break;
  }
}

base::Result<Showing> read_showing(const Options& options, const packet::Filter& filter, const World& world,
                                   std::uint64_t most_by_default) {
  Showing s;
  s.filter = filter;
  s.dropped = options.has("--dropped");
  s.strict = options.has("--strict");
  s.host = options.get("--host");
  s.most = most_by_default;
  using base::ErrorKind;
  const std::string color = options.get("--color", "auto");
  if (color != "auto" && color != "always" && color != "never")
    return base::fail(ErrorKind::Usage, "--color \"" + color + "\" is not auto, always or never");
  s.style.color = color == "always" || (color == "auto" && world.color);
  s.style.width = world.width;
  s.style.rules_given = options.has("--rules");
  if (options.has("--verbose") && options.has("--quiet"))
    return base::fail(ErrorKind::Usage, "-v and -q contradict each other",
                      {"-v: every step; -q: one line a packet"});
  if (options.has("--verbose")) s.style.detail = report::TextStyle::Detail::Verbose;
  if (options.has("--quiet")) s.style.detail = report::TextStyle::Detail::Quiet;
  const std::string form = options.get("--format", "text");
  if (form == "kernel") s.form = Form::Kernel;
  else if (form != "text")
    return base::fail(ErrorKind::Usage, "--format \"" + form + "\" is not text or kernel",
                      {"for JSON: --json"});
  if (options.has("--json")) {
    if (s.form == Form::Kernel)
      return base::fail(ErrorKind::Usage, "--json and --format kernel contradict each other");
    s.form = Form::Json;
  }
  if (options.has("-c")) {
    const auto most = base::parse_number<std::uint64_t>(options.get("-c"));
    if (!most)
      return base::fail(ErrorKind::Usage, "-c \"" + options.get("-c") + "\" is not a number of packets");
    s.most = *most;
  }
  return s;
}

}  // namespace fwtrace::cli
