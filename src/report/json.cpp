#include "report/json.h"

#include <array>

#include "base/text.h"
#include "report/json_packet.h"
#include "report/json_writer.h"
#include "report/words.h"

namespace fwtrace::report {
namespace {

using journey::Did;
using journey::Journey;
using journey::OutcomeKind;
using journey::Step;
using journey::Summary;

constexpr int kSchema = 1;

// ISO 8601 of what print_stamp says: "2026-11-23T12:00:01.123456+01:00". Without a zone it is local time; without a
// year the year is left out as ISO 8601:2000 does it, "--11-23T12:00:01".
std::string print_iso(const base::Stamp& stamp) {
  std::string text = print_stamp(stamp);
  if (stamp.year_known) {
    if (const std::size_t blank = text.find(' '); blank != std::string::npos) text[blank] = 'T';
  } else if (text.size() >= 15) {  // "Nov  3 12:00:01"
    static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const std::size_t month = kMonths.find(text.substr(0, 3)) / 3 + 1;
    std::string iso = month < 10 ? "--0" : "--";
    iso += std::to_string(month) + '-';
    iso += text[4] == ' ' ? '0' : text[4];
    iso += text[5];
    text = iso + 'T' + text.substr(7);
  }
  if (!stamp.zone_known) return text;
  if (stamp.zone_minutes == 0) return text + 'Z';
  const int minutes = stamp.zone_minutes < 0 ? -stamp.zone_minutes : stamp.zone_minutes;
  const auto two = [](int number) { return std::string(number < 10 ? "0" : "") + std::to_string(number); };
  return text + (stamp.zone_minutes < 0 ? '-' : '+') + two(minutes / 60) + ':' + two(minutes % 60);
}

void write_time(JsonWriter& json, const base::Stamp& stamp) {
  if (!stamp.known()) return;
  json.key("time");
  json.begin_object();
  if (stamp.wall_us != base::Stamp::kNone) {
    json.field("wall", print_iso(stamp));
    json.field("exact", stamp.seconds_only ? "s" : "us");
  }
  if (stamp.uptime_us != base::Stamp::kNone) json.field("uptime_us", stamp.uptime_us);
  json.end_object();
}

void write_place(JsonWriter& json, const base::Place& place, const base::Sources& sources) {
  base::Place line = place;
  line.column = 0;
  json.maybe("place", sources.print(line));
}

// What names a step: family, table, chain, and its rule, handle, or both.
void write_name(JsonWriter& json, const Step& step) {
  json.maybe("family", to_text(step.family));
  json.maybe("table", step.table.text());
  json.maybe("chain", step.chain.text());
  json.field("kind", step.marker ? "marker" : to_text(step.kind));
  // The kernel counts a policy and a chain's end as one more rule; "rule" is only what is surely a rule's number.
  const bool no_rule = is_policy(step.did) || step.did == Did::ChainEnd ||
                       (step.did == Did::Unknown && step.kind != trace::EventKind::Rule);
  if (step.number != 0) json.field(no_rule ? "number" : "rule", step.number);
  else if (step.rule != nullptr && step.rule->number != 0 && !no_rule) json.field("rule", step.rule->number);
  if (step.handle != 0) json.field("handle", step.handle);
  json.field("did", json_word(step.did));
}

void write_rule(JsonWriter& json, const Step& step) {
  json.maybe("text", rule_text(step));
  if (step.rules_changed) json.field("rules_changed", true);
  if (step.rule == nullptr) return;
  json.maybe("target", step.rule->target);
  json.maybe("comment", step.rule->comment);
}

void write_step(JsonWriter& json, const Journey& journey, const Step& step, const base::Sources& sources) {
  json.begin_object();
  json.maybe("hook", to_text(step.hook));
  if (journey.live) json.field("dialect", to_text(step.dialect));
  write_name(json, step);
  json.maybe("verdict", to_text(step.verdict));
  json.maybe("target_chain", step.target_chain.text());
  json.field("depth", step.depth);
  if (step.form < journey.forms.size()) json.field("form", step.form);
  write_rule(json, step);
  if (step.has_trace_id) {
    std::string id;
    append_hex(id, step.trace_id, 8);
    json.field("trace_id", id);
  }
  write_time(json, step.time);
  write_place(json, step.place, sources);
  json.end_object();
}

void write_outcome(JsonWriter& json, const Journey& journey, const base::Sources& sources) {
  const journey::Outcome& outcome = journey.outcome;
  json.key("outcome");
  json.begin_object();
  json.field("verdict", to_text(outcome.kind));
  if (outcome.likely) json.field("likely", to_text(*outcome.likely));
  if (const Step* step = deciding_step(journey)) {
    json.key(is_open(outcome.kind) ? "last_seen" : "by");
    json.begin_object();
    json.field("step", *outcome.step);
    json.field("where", print_where(*step));
    write_name(json, *step);
    write_rule(json, *step);
    if (step->rule != nullptr) write_place(json, step->rule->place, sources);
    json.end_object();
  }
  json.maybe("because", outcome.because);
  json.key("assumes");
  json.begin_array();
  for (const std::string& text : outcome.assumes) json.value(text);
  json.end_array();
  json.end_object();
}

void write_rewrites(JsonWriter& json, const Journey& journey) {
  json.key("rewrites");
  json.begin_array();
  for (const journey::Rewrite& rewrite : journey.rewrites) {
    if (rewrite.from_form >= journey.forms.size() || rewrite.to_form >= journey.forms.size()) continue;
    const packet::Packet& from = journey.forms[rewrite.from_form];
    const packet::Packet& to = journey.forms[rewrite.to_form];
    const auto end = [&](const packet::Packet& form) {
      return rewrite.destination ? print_endpoint(form.destination, form.ports.destination)
                                 : print_endpoint(form.source, form.ports.source);
    };
    json.begin_object();
    json.field("what", rewrite.destination ? "destination" : "source");
    json.field("from", end(from));
    json.field("to", end(to));
    json.field("from_form", rewrite.from_form);
    json.field("to_form", rewrite.to_form);
    json.field("after_step", rewrite.after_step);
    if (rewrite.by_known) json.field("by_step", rewrite.by_step);
    json.end_object();
  }
  json.end_array();
}

// The beginning and the end that every line has.
template <class Body>
void write_line(base::Output& out, std::string_view name, const Body& body) {
  JsonWriter json(out.buffer());
  json.begin_object();
  json.field("schema", kSchema);
  json.key(name);
  json.begin_object();
  body(json);
  json.end_object();
  json.end_object();
  out.buffer() += '\n';
  out.wrote();
}

void write_outcomes(JsonWriter& json, const Summary& summary) {
  json.key("outcomes");
  json.begin_object();
  for (std::size_t i = 0; i < summary.outcomes.size(); ++i)
    json.field(to_text(static_cast<OutcomeKind>(i)), summary.outcomes[i]);
  json.end_object();
}

void write_deciders(JsonWriter& json, const Summary& summary) {
  json.key("deciders");
  json.begin_array();
  for (const Summary::Decider& decider : summary.sorted()) {
    json.begin_object();
    json.field("where", decider.where);
    json.maybe("text", decider.rule);
    json.field("verdict", to_text(decider.kind));
    json.field("packets", decider.count);
    json.end_object();
  }
  json.end_array();
  json.field("deciders_not_kept", summary.deciders_not_kept);
}

void write_input(JsonWriter& json, const Summary& summary) {
  static constexpr std::array<std::string_view, trace::kLineKinds> kKinds = {
      "trace", "log", "continuation", "foreign", "blank", "header", "loss_note", "repeat_note", "damaged"};
  json.key("input");
  json.begin_object();
  json.field("events", summary.events);
  json.field("bytes", summary.bytes);
  json.field("lines", summary.lines);
  json.key("line_kinds");
  json.begin_object();
  for (std::size_t i = 0; i < kKinds.size(); ++i) json.field(kKinds[i], summary.line_kinds[i]);
  json.end_object();
  json.end_object();
}

void write_losses(JsonWriter& json, const Summary& summary, const base::Sources& sources) {
  json.key("lost");
  json.begin_object();
  json.field("events", summary.lost_lines);
  json.field("counted", summary.losses_counted);
  json.field("uncounted", summary.losses_uncounted);
  json.key("first");
  json.begin_array();
  for (const trace::Loss& loss : summary.first_losses) {
    json.begin_object();
    json.field("reason", loss.reason);
    if (loss.lines != 0) json.field("events", loss.lines);
    json.maybe("host", loss.host.text());
    write_time(json, loss.time);
    write_place(json, loss.place, sources);
    json.end_object();
  }
  json.end_array();
  json.end_object();
}

void write_diagnostics(JsonWriter& json, const Summary& summary, const base::Sources& sources) {
  json.key("diagnostics");
  json.begin_array();
  for (const base::Diagnostics::Kind& kind : summary.diagnostics.kinds()) {
    json.begin_object();
    json.field("code", kind.code);
    json.field("severity", to_text(kind.severity));
    json.field("count", kind.count);
    json.key("first");
    json.begin_array();
    for (const base::Diagnostic& diagnostic : kind.first) {
      json.begin_object();
      json.field("severity", to_text(diagnostic.severity));
      json.maybe("place", sources.print(diagnostic.place));
      json.field("message", diagnostic.message);
      json.key("hints");
      json.begin_array();
      for (const std::string& hint : diagnostic.hints) json.value(hint);
      json.end_array();
      json.maybe("line", diagnostic.line);
      json.end_object();
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
}

}  // namespace

void write_json(base::Output& out, const Journey& journey, const base::Sources& sources) {
  write_line(out, "journey", [&](JsonWriter& json) {
    json.field("serial", journey.serial);
    if (journey.copy_of != 0) json.field("copy_of", journey.copy_of);
    json.field("dialect", journey.live ? "live" : to_text(journey.dialect));
    json.maybe("family", to_text(journey.family));
    json.maybe("host", journey.host.text());
    if (!journey.steps.empty()) {
      write_time(json, journey.steps.front().time);
      write_place(json, journey.steps.front().place, sources);
    }
    write_outcome(json, journey, sources);
    json.field("complete",
               !journey.starts_late && !journey.ends_early && !journey.overlaps_loss && !journey.damaged);
    json.field("starts_late", journey.starts_late);
    json.maybe("starts_late_why", journey.starts_late_why);
    json.field("ends_early", journey.ends_early);
    json.field("overlaps_loss", journey.overlaps_loss);
    json.field("damaged", journey.damaged);
    json.field("looped", journey.looped);
    if (journey.live) {
      json.field("armed_here", journey.armed);
      json.field("armed_late", journey.armed_late);
      if (journey.answers != 0) json.field("answers", journey.answers);
    }
    json.key("forms");
    json.begin_array();
    for (const packet::Packet& form : journey.forms) write_packet(json, form);
    json.end_array();
    json.key("steps");
    json.begin_array();
    for (const Step& step : journey.steps) write_step(json, journey, step, sources);
    json.end_array();
    write_rewrites(json, journey);
  });
}

void write_json(base::Output& out, const Summary& summary, const base::Sources& sources) {
  write_line(out, "summary", [&](JsonWriter& json) {
    json.field("packets", summary.journeys);
    json.field("shown", summary.shown);
    write_outcomes(json, summary);
    json.field("starts_late", summary.starts_late);
    json.field("ends_early", summary.ends_early);
    json.field("overlaps_loss", summary.overlap_loss);
    json.field("damaged", summary.damaged);
    if (summary.live) {
      json.key("live");
      json.begin_object();
      json.field("matched", summary.matched);
      json.field("armed", summary.armed);
      json.field("seen_from_start", summary.started);
      json.field("seen_without_start", summary.unstarted);
      json.field("wholly_lost", summary.wholly_lost());
      json.field("foreign", summary.foreign);
      json.end_object();
    }
    write_deciders(json, summary);
    write_input(json, summary);
    write_losses(json, summary, sources);
    write_diagnostics(json, summary, sources);
  });
}

}  // namespace fwtrace::report
