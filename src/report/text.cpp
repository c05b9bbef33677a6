#include "report/text.h"

#include <algorithm>

#include "base/text.h"
#include "report/fold.h"
#include "report/path.h"
#include "report/text_summary.h"
#include "report/words.h"
#include "report/wrap.h"

namespace fwtrace::report {
namespace {

using journey::Journey;
using journey::OutcomeKind;
using journey::Step;

constexpr std::size_t kIndent = 2, kLabel = 10;  // "near miss "

// "filter FORWARD rule 7", "filter INPUT policy DROP".
void append_where(std::string& out, const Step& step) {
  append_printable(out, print_where(step));
  if (!is_policy(step.did)) return;
  if (const std::string word = final_word(step); !word.empty()) out += ' ' + word;
}

// The first line without its verdict: end points, kind and devices.
void append_packet(std::string& out, const Journey& journey, std::string_view before_devices) {
  const packet::Packet* form = journey.first_form();
  if (form == nullptr) {
    out += "  (headers not seen)";
    return;
  }
  if (const std::string text = print_endpoints(*form); !text.empty())
    out += "  ", append_printable(out, text);
  if (const std::string text = print_kind(*form); !text.empty()) out += "  ", append_printable(out, text);
  const std::size_t size = out.size();
  out += before_devices;
  const std::size_t with = out.size();
  append_devices(out, journey);
  if (out.size() == with) out.resize(size);
}

void append_host(std::string& out, const Journey& journey) {
  if (journey.host.empty()) return;
  out += "  on ";
  append_printable(out, journey.host.text());
}

// One line a journey. A gigabyte of log may pass here: it is formatted in place.
void append_quiet(std::string& out, const Journey& journey, Paint paint) {
  if (paint.color) {
    std::string verdict;
    append_verdict(verdict, journey);
    paint.outcome(out, journey.outcome.kind, verdict);
  } else {
    append_verdict(out, journey);
  }
  append_packet(out, journey, "  ");
  if (const Step* step = deciding_step(journey);
      step != nullptr && journey.outcome.kind != OutcomeKind::Lost) {
    out += is_open(journey.outcome.kind) ? "  last seen " : "  ";
    append_where(out, *step);
  }
  append_host(out, journey);
  out += '\n';
}

// The facts of the headers as first seen, for -v: "len 60, ttl 59, id 41936, DF, seq 135659756, window 64240".
std::string print_headers(const packet::Packet& form) {
  std::string out;
  const auto name = [&](std::string_view text) {
    if (!out.empty()) out += ", ";
    out += text;
  };
  const auto number = [&](std::string_view text, const auto& value) {
    if (value) name(text), out += ' ', append_number(out, *value);
  };
  const auto hex = [&](std::string_view text, const auto& value) {
    if (value) name(text), out += " 0x", append_hex(out, *value, 2);
  };
  if (form.link.source) name("from "), out += packet::print_mac(*form.link.source);
  if (form.link.destination) name("to "), out += packet::print_mac(*form.link.destination);
  number("vlan", form.link.vlan);
  number("len", form.length);
  hex("tos", form.tos);
  hex("prec", form.precedence);
  hex("tc", form.traffic_class);
  number("flow label", form.flow_label);
  number(form.version() == packet::IpVersion::V6 ? "hop limit" : "ttl", form.ttl);
  number("id", form.id);
  if (form.df) name("DF");
  if (form.mf) name("MF");
  number("fragment offset", form.fragment_offset);
  if (const packet::Tcp* tcp = find_tcp(form)) {
    number("seq", tcp->seq);
    number("ack", tcp->ack_seq);
    number("window", tcp->window);
  }
  if (const packet::Icmp* icmp = find_icmp(form)) {
    number("icmp id", icmp->id);
    number("icmp seq", icmp->sequence);
    number("mtu", icmp->mtu);
    if (icmp->inner)
      name("about "), append_printable(out, print_endpoints(*icmp->inner) + " " + print_kind(*icmp->inner));
  }
  hex("mark", form.mark);
  number("uid", form.uid);
  number("gid", form.gid);
  return out;
}

}  // namespace

struct TextReport::Impl {
  base::Output& out;
  const base::Sources& sources;
  TextStyle style;
  Paint paint;
  RetransmitFold fold;

  Impl(base::Output& o, const base::Sources& s, TextStyle t) : out(o), sources(s), style(t), paint{t.color} {}

  void labelled(std::string& to, std::string_view label, std::string_view text) const {
    std::string head(kIndent, ' ');
    paint.dim(head, label);
    head.append(kLabel - label.size(), ' ');
    to += head;
    append_wrapped(to, text, kIndent + kLabel, kIndent + kLabel + 2, style.width);
    to += '\n';
  }

  void reason(std::string& to, const Journey& journey) const;
  void notes(std::string& to, const Journey& journey) const;
  void block(const Folded& folded);
  void again(const Folded& folded) const;
};

void TextReport::Impl::reason(std::string& to, const Journey& journey) const {
  if (const Step* step = deciding_step(journey)) {
    std::string text;
    append_where(text, *step);
    if (const std::string_view backend = backend_word(journey, *step); !backend.empty())
      text += " (iptables-" + std::string(backend.substr(1)) + ")";
    if (const std::string_view rule = rule_text(*step); !rule.empty() && !is_policy(step->did)) {
      text += "   ";
      append_printable(text, rule);
    }
    labelled(to, is_open(journey.outcome.kind) ? "last seen" : "by", text);
  }
  if (!journey.outcome.because.empty()) labelled(to, "because", base::to_printable(journey.outcome.because));
  for (const std::string& text : journey.outcome.assumes) labelled(to, "assumes", base::to_printable(text));
}

// Facts that weaken the answer. What an INCOMPLETE line has already said is not said again.
void TextReport::Impl::notes(std::string& to, const Journey& journey) const {
  const bool said = journey.outcome.kind == OutcomeKind::Incomplete;
  if (journey.armed_late)
    labelled(to, "note", "armed behind conntrack, as a reply: what raw said of it before was not seen");
  if (std::ranges::any_of(journey.steps, [](const Step& step) { return step.rules_changed; }))
    labelled(to, "note",
             "rules changed while it was on its way: -v shows both texts of the steps it may concern");
  if (journey.starts_late && !(said && journey.starts_late_why.empty())) {
    std::string text = "the log starts late";
    if (!journey.starts_late_why.empty()) text += ": " + base::to_printable(journey.starts_late_why);
    labelled(to, "note", text);
  }
  if (journey.ends_early && !said) labelled(to, "note", "the log stops while this was going on");
  if (journey.overlaps_loss && !said)
    labelled(to, "note", "events were lost while this was going on: steps may be missing");
  if (journey.damaged) labelled(to, "note", "a line of it is damaged: steps or header fields may be missing");
  if (journey.copy_of != 0)
    labelled(to, "note",
             "a copy of packet " + std::to_string(journey.copy_of) + ", made by a bridge for another port");
  if (journey.looped) labelled(to, "note", "went out by lo and came in again: one packet, two passes");
}

// A packet sent again that met the same fate: one line, since its block stands above.
void TextReport::Impl::again(const Folded& folded) const {
  std::string line;
  std::string verdict;
  append_verdict(verdict, folded.journey);
  paint.outcome(line, folded.journey.outcome.kind, verdict);
  append_packet(line, folded.journey, "   ");
  line += "  again: " + print_repetitions(folded);
  append_wrapped(out.buffer(), line, 0, kIndent + 2, style.width);
  out.buffer() += "\n\n";
  out.wrote();
}

void TextReport::Impl::block(const Folded& folded) {
  const Journey& journey = folded.journey;
  std::string verdict, first;
  append_verdict(verdict, journey);
  paint.outcome(first, journey.outcome.kind, verdict);
  append_packet(first, journey, "   ");
  append_host(first, journey);
  if (folded.times > 1) first += "  " + print_repetitions(folded);

  std::string& to = out.buffer();
  append_wrapped(to, first, 0, kIndent + 2, style.width);
  to += '\n';
  reason(to, journey);
  if (journey.answers != 0) labelled(to, "reply to", "packet " + std::to_string(journey.answers));
  notes(to, journey);
  if (!journey.steps.empty() && !(style.live && style.detail != TextStyle::Detail::Verbose)) {
    const Step& step = journey.steps.front();
    std::string at = print_stamp(step.time);
    base::Place place = step.place;
    place.column = 0;
    if (place.line != 0) at += (at.empty() ? "" : ", ") + sources.print(place);
    if (!at.empty()) labelled(to, "at", at);
  }
  const bool every_step = style.detail == TextStyle::Detail::Verbose;
  if (every_step && journey.first_form() != nullptr) {
    if (const std::string headers = print_headers(*journey.first_form()); !headers.empty())
      labelled(to, "headers", headers);
  }
  to += '\n';
  const std::size_t before_path = to.size();
  append_path(to, journey, sources, {every_step, style.width, paint});
  if (to.size() != before_path) to += '\n';
  out.wrote();
}

TextReport::TextReport(base::Output& out, const base::Sources& sources, TextStyle style)
    : impl_(std::make_unique<Impl>(out, sources, style)) {}
TextReport::~TextReport() = default;

void TextReport::journey(const Journey& journey) {
  if (impl_->style.detail == TextStyle::Detail::Quiet) {
    append_quiet(impl_->out.buffer(), journey, impl_->paint);
    impl_->out.wrote();
    return;
  }
  if (impl_->style.live) {
    if (const Folded* repeated = impl_->fold.find_repeated(journey)) impl_->again(*repeated);
    else impl_->block({.journey = journey, .gaps_us = {}});
    return;
  }
  if (const auto folded = impl_->fold.add(journey)) impl_->block(*folded);
}

void TextReport::finish(const journey::Summary& summary) {
  while (const auto folded = impl_->style.live ? std::nullopt : impl_->fold.take()) impl_->block(*folded);
  append_summary(impl_->out.buffer(), summary, impl_->sources, impl_->style);
  impl_->out.wrote();
}

}  // namespace fwtrace::report
