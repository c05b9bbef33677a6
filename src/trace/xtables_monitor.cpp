// Lines of `xtables-monitor --trace` in, Events out:
//
//   PACKET: 2 e87c0198 OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=60 … SPORT=42806 DPORT=22 SYN
//    TRACE: 2 e87c0198 raw:OUTPUT:rule:0x4:CONTINUE  -4 -t raw -A OUTPUT -p tcp -j TRACE
//    TRACE: 2 e87c0198 raw:OUTPUT:policy:ACCEPT
//
// Since iptables 1.8.7 the packet comes before the rule; before, it followed, on a line of its own or on the
// rule's. A physical line may hold several of these, and a long one may be wrapped over several (monitor_text.h).

#include "trace/xtables_monitor.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"
#include "trace/monitor_text.h"
#include "trace/xtables_headers.h"

namespace fwtrace::trace {
namespace {

using packet::Family;
using packet::Verdict;
constexpr std::size_t kNone = std::string_view::npos;
constexpr std::string_view kTrace = "TRACE: ", kPacket = "PACKET: ";

struct XtLine {
  bool is_packet = false;
  Family family = Family::None;
  std::uint32_t id = 0;
  EventKind kind = EventKind::Rule;
  bool read = false;  // table, chain and kind are known
  std::string_view table, chain, target, rule_text;
  std::uint64_t handle = 0;
  Verdict verdict = Verdict::None;
  bool verdict_read = false;
  std::size_t payload = 0;  // offset behind the id
  bool bare = false;        // nothing follows the verdict
};

Family family_of(std::string_view digits) {
  static constexpr std::array<Family, 6> kFamilies{Family::Inet,   Family::Ip,     Family::Arp,
                                                   Family::Netdev, Family::Bridge, Family::Ip6};
  const auto number = base::parse_number<std::uint8_t>(digits);
  const auto family =
      std::ranges::find_if(kFamilies, [&](Family f) { return number == static_cast<std::uint8_t>(f); });
  return family == kFamilies.end() ? Family::None : *family;
}

// Offset behind "TRACE: 2 e87c0198" at `at`, or npos: the kernel's own "TRACE: raw:PREROUTING…" is not ours.
std::size_t skip_start(std::string_view text, std::size_t at) {
  std::size_t end = at + (text.substr(at).starts_with(kTrace) ? kTrace.size() : kPacket.size());
  const std::size_t family = end;
  while (end < text.size() && base::is_digit(text[end])) ++end;
  if (end == family || end - family > 3 || end == text.size() || text[end] != ' ') return kNone;
  const std::size_t id = ++end;
  while (end < text.size() && base::is_hex(text[end])) ++end;
  if (end == id || end - id > 8 || (end < text.size() && text[end] != ' ')) return kNone;
  return end;
}

// In windows, so that a long line with one of the two words many times is not searched for the other each time.
std::size_t find_start(std::string_view text, std::size_t from) {
  static constexpr std::size_t kWindow = 4096;
  while (from < text.size()) {
    const std::string_view window = text.substr(0, std::min(text.size(), from + kWindow + kPacket.size()));
    const std::size_t at = std::min(find_text(window, kTrace, from), find_text(window, kPacket, from));
    if (at == kNone) from += kWindow;
    else if (skip_start(text, at) != kNone) return at;
    else from = at + 1;
  }
  return kNone;
}

// "ACCEPT", "JUMP:svc", "0xfffffffb" (what 1.8.9 prints for RETURN).
bool read_verdict(std::string_view word, XtLine& line) {
  const std::size_t colon = word.find(':');
  if (colon != kNone) line.target = word.substr(colon + 1);
  word = word.substr(0, colon);
  if (word.starts_with("0x")) {
    const auto code = base::parse_unsigned(word);
    if (!code || *code > 0xffffffffU) return false;
    static constexpr std::array<Verdict, 5> kNegative{Verdict::Continue, Verdict::Break, Verdict::Jump,
                                                      Verdict::Goto, Verdict::Return};
    static constexpr std::array<Verdict, 5> kPositive{Verdict::Drop, Verdict::Accept, Verdict::Stolen,
                                                      Verdict::Queue, Verdict::Repeat};
    const std::uint64_t negative = 0xffffffffU - *code;
    if (negative < kNegative.size()) line.verdict = kNegative[negative];
    else if ((*code & 0xffU) < kPositive.size()) line.verdict = kPositive[*code & 0xffU];
    return true;
  }
  std::string lower(word);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  const auto verdict = packet::parse_verdict(lower);
  if (!verdict) return false;
  line.verdict = *verdict;
  return (*verdict != Verdict::Jump && *verdict != Verdict::Goto) || !line.target.empty();
}

// "raw:OUTPUT:rule:0x4:CONTINUE"
void read_step(std::string_view word, XtLine& line) {
  struct Row {
    std::string_view mark;
    EventKind kind;
  };
  static constexpr auto kRows = std::to_array<Row>(
      {{":rule:", EventKind::Rule}, {":return:", EventKind::Return}, {":policy:", EventKind::Policy}});
  const std::size_t table = word.find(':');
  if (table == kNone) return;
  std::size_t mark = kNone;
  const Row* row = nullptr;
  for (const Row& candidate : kRows) {
    const std::size_t at = word.find(candidate.mark, table + 1);
    if (at >= mark) continue;
    mark = at;
    row = &candidate;
  }
  if (!row) return;
  line.read = true;
  line.kind = row->kind;
  line.table = word.substr(0, table);
  line.chain = word.substr(table + 1, mark - table - 1);
  std::string_view rest = word.substr(mark + row->mark.size());
  if (row->kind == EventKind::Return) {
    line.target = rest;  // the verdict is not said
    line.verdict_read = true;
    return;
  }
  if (row->kind == EventKind::Rule) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const auto handle = base::parse_unsigned(rest.substr(0, colon));
    if (handle) line.handle = *handle;
    rest = colon < rest.size() ? rest.substr(colon + 1) : std::string_view();
    line.verdict_read = handle && read_verdict(rest, line);
    return;
  }
  line.verdict_read = read_verdict(rest, line);
}

// Does the rule end in an option, or one value behind it, or inside a string?
bool wants_value(std::string_view rule) {
  if (std::ranges::count(rule, '"') % 2 != 0) return true;
  const std::size_t last = rule.rfind(' ');
  if (last == kNone) return true;
  if (rule.substr(last + 1).starts_with("-")) return true;
  const std::size_t before = rule.substr(0, last).rfind(' ');
  return before != kNone && rule.substr(before + 1).starts_with("--");
}

// Behind "-4 -t raw ".
std::string_view without_table(std::string_view text, Family& family) {
  std::size_t at = 0;
  const std::string_view version = take_word(text, at);
  if (version == "-4" || version == "-6" || version == "-0") {
    if (family == Family::None)
      family = version == "-4" ? Family::Ip : version == "-6" ? Family::Ip6 : Family::Arp;
    text = base::trim(text.substr(at));
  }
  at = 0;
  if (take_word(text, at) == "-t" && !take_word(text, at).empty()) text = base::trim(text.substr(at));
  return text;
}

XtLine read_line(std::string_view text) {
  XtLine line;
  line.is_packet = text.starts_with(kPacket);
  std::size_t at = line.is_packet ? kPacket.size() : kTrace.size();
  line.family = family_of(take_word(text, at));
  line.id = base::parse_number<std::uint32_t>(take_word(text, at), 16).value_or(0);
  while (at < text.size() && text[at] == ' ') ++at;
  line.payload = std::min(at, text.size());
  if (line.is_packet) return line;
  read_step(take_word(text, at), line);
  line.bare = base::trim(text.substr(at)).empty();
  line.rule_text = without_table(base::trim(text.substr(at)), line.family);
  return line;
}

}  // namespace

struct XtablesMonitor::Impl {
  base::Names& names;
  Sink& sink;
  HeaderMemo memo;
  UnknownWords words;
  WrapWidths widths;
  HeldLine held;
  // A PACKET line names no chain: its event waits for the TRACE line that follows and takes the chain from there.
  struct Waiting {
    Event event;
    packet::Packet packet;
  };
  std::optional<Waiting> waiting;
  Event last_step;  // the newest TRACE event; before 1.8.7 its PACKET line came behind it

  void give_headers(const Event* step) {
    if (!waiting) return;
    const Event& named = step != nullptr ? *step : last_step;
    if (named.has_trace_id && named.trace_id == waiting->event.trace_id) {
      waiting->event.table = named.table;
      waiting->event.chain = named.chain;
    }
    waiting->event.packet = &waiting->packet;
    sink.event(waiting->event);
    waiting.reset();
  }

  // How the continuation is joined; "" if it is none.
  struct Joint {
    std::string text;
    bool proven = false;  // only this joint, without a blank, can be read
  };

  Joint choose_joint(std::string_view text) {
    if (held.empty() || held.closed || held.full()) return {};
    const std::string_view tail = base::trim(without_quoting(text));
    if (tail.empty() || begins_log_line(tail)) return {};
    // The tool's own complaints stand between its lines.
    if (tail.starts_with("Error:") || tail.starts_with("xtables-monitor ") || tail.starts_with("Perhaps "))
      return {};
    auto [spaced, tight] = held.joints(text);
    const bool hard = widths.hard(held.width);
    const XtLine line = read_line(held.text);
    if (line.is_packet) return choose_headers(line, std::move(spaced), std::move(tight), hard);
    if (held.width < kNarrowestWrap) return {};
    if (line.read && line.verdict_read && line.kind != EventKind::Rule) return {};
    if (hard && widths.seen() && !tight.empty()) return {std::move(tight)};
    if (line.bare && line.verdict_read) return {tail.starts_with("-") ? std::move(spaced) : std::string()};
    if (!line.verdict_read && !tight.empty() && read_line(tight).verdict_read &&
        !read_line(spaced).verdict_read) {
      return {std::move(tight), true};
    }
    if (hard && !tight.empty() && !tail.starts_with("-")) return {std::move(tight)};
    const bool option = tail.starts_with("-") || tail.starts_with("! ") || !line.verdict_read;
    return {option || wants_value(line.rule_text) ? std::move(spaced) : std::string()};
  }

  Joint choose_headers(const XtLine& line, std::string spaced, std::string tight, bool hard) {
    const auto read = [&](const std::string& text) {
      return read_xtables_headers(std::string_view(text).substr(line.payload), names);
    };
    const HeaderText before = read(held.text);
    std::string* best = nullptr;
    std::size_t best_bad = 0;
    for (std::string* candidate : {hard ? &tight : &spaced, hard ? &spaced : &tight}) {
      if (candidate->empty()) continue;
      const HeaderText after = read(*candidate);
      const bool more = after.fields > before.fields || (before.cut() && !after.cut()) ||
                        (hard && candidate == &tight && after.fields == before.fields && !after.cut());
      if (!more || after.unreadable() > before.unreadable()) continue;
      if (best && after.unreadable() >= best_bad) continue;
      best = candidate;
      best_bad = after.unreadable();
    }
    if (!best) return {};
    const bool proven = best == &tight && read(spaced).unreadable() > best_bad;
    return {std::move(*best), proven};
  }

  void deliver() {
    if (held.empty()) return;
    const HeldLine whole = std::move(held);
    held = HeldLine();
    XtLine line = read_line(whole.text);
    Event event;
    event.dialect = Dialect::XtablesMonitor;
    event.family = line.family;
    event.place = whole.place_at(0);
    event.time = whole.time;
    event.host = whole.host;
    event.trace_id = line.id;
    event.has_trace_id = true;
    if (line.is_packet) return deliver_packet(whole, line, event);
    if (!line.read) {
      report(sink, whole, base::Severity::Warning, "cut-line", line.payload,
             "this xtables-monitor line does not say what happened: it is cut or damaged");
      return;
    }
    event.kind = line.kind;
    event.verdict = line.verdict;
    event.table = names.intern(line.table);
    event.chain = names.intern(line.chain);
    event.target_chain = names.intern(line.target);
    event.handle = line.handle;
    event.rule_text = line.rule_text;
    // Linux since 6.12 reports the end of a chain as a rule without a handle.
    if (line.kind == EventKind::Rule && line.handle == 0 && line.verdict_read && line.rule_text.empty()) {
      event.kind = EventKind::Return;
      event.continues_at_end = line.verdict == Verdict::Continue;
    }
    if (!line.verdict_read) {
      report(sink, whole, base::Severity::Warning, "damaged-line", line.payload,
             "the verdict is missing or cannot be read");
    }
    give_headers(waiting && waiting->event.trace_id == event.trace_id ? &event : nullptr);
    sink.event(event);
    last_step = event;
    last_step.rule_text = {};
  }

  void deliver_packet(const HeldLine& whole, const XtLine& line, Event& event) {
    const std::string text(base::trim(std::string_view(whole.text).substr(line.payload)));
    const HeaderText& headers =
        memo.find_or_read(text, [&](const std::string& t) { return read_xtables_headers(t, names); });
    event.kind = EventKind::Headers;
    event.packet = &headers.packet;
    event.form = headers.form;
    if (event.family ==
        Family::None) {  // iptables 1.8.0 to 1.8.6 print the -4 or -6 of the command line, 0 without
      const packet::IpVersion version = headers.packet.version();
      if (version == packet::IpVersion::V4) event.family = Family::Ip;
      if (version == packet::IpVersion::V6) event.family = Family::Ip6;
    }
    report_problems(sink, whole, headers.problems, line.payload, words);
    give_headers(nullptr);
    waiting = Waiting{event, headers.packet};
  }

  LineKind take(const Line& source) {
    std::string buffer;
    const std::string_view text = without_escapes(source.text, buffer);
    const bool exact = text.data() == source.text.data();
    std::size_t at = find_start(text, 0);
    if (at == kNone) {
      Joint joint = choose_joint(text);
      if (joint.text.empty()) return LineKind::Foreign;
      widths.see(held.width, joint.proven);
      held.join(std::move(joint.text), text.size());
      return LineKind::Continuation;
    }
    LineKind kind = LineKind::Damaged;
    while (at != kNone) {
      const std::size_t next = find_start(text, at + 1);
      deliver();
      held = HeldLine();
      held.text = text.substr(at, next == kNone ? kNone : next - at);
      held.first = text.substr(0, base::Diagnostic::kMaxLine);
      held.offset = at;
      held.exact = exact;
      held.place = source.place;
      held.time = source.time;
      held.host = source.host;
      held.width = text.size();
      const XtLine line = read_line(held.text);
      if (line.is_packet || line.read) kind = LineKind::Trace;
      if (next != kNone || (!line.is_packet && held.width < kNarrowestWrap)) deliver();
      at = next;
    }
    return kind;
  }
};

XtablesMonitor::XtablesMonitor(base::Names& names, Sink& sink)
    : impl_(std::make_unique<Impl>(Impl{.names = names,
                                        .sink = sink,
                                        .memo = {},
                                        .words = {},
                                        .widths = {},
                                        .held = {},
                                        .waiting = {},
                                        .last_step = {}})) {}
XtablesMonitor::~XtablesMonitor() = default;

bool XtablesMonitor::claims(std::string_view text) const {
  std::string buffer;
  text = without_escapes(text, buffer);
  if (find_start(text, 0) != kNone) return true;
  Impl& in = *impl_;
  if (in.held.empty() || in.held.closed) return false;
  if (!in.choose_joint(text).text.empty()) return true;
  // A line that we do not claim ends what is held; so text far below cannot become part of it.
  if (!base::trim(without_quoting(text)).empty()) in.held.closed = true;
  return false;
}

LineKind XtablesMonitor::line(const Line& line) { return impl_->take(line); }

void XtablesMonitor::finish() {
  impl_->deliver();
  impl_->give_headers(nullptr);
}

}  // namespace fwtrace::trace
