// Lines of `nft monitor trace` in, Events out.
//
// A physical line may hold several of nft's lines (a paste that lost its line ends) or a part of one (a paste
// that was wrapped). So each of nft's lines is first a HeldLine. One that shows its end, "(verdict accept)", is
// read at once; one that does not is kept until the next line begins or a line comes that cannot continue it.
//
// "conntrack:" lines (nft 1.1.4, Linux 6.16) stand before the "packet:" line of the same chain and are read
// together with it, as one Headers event.

#include "trace/nft_monitor.h"

#include <algorithm>

#include "base/text.h"
#include "trace/monitor_text.h"
#include "trace/nft_headers.h"
#include "trace/nft_line.h"

namespace fwtrace::trace {
namespace {

using Kind = NftLine::Kind;
constexpr std::size_t kNone = std::string_view::npos;

bool is_headers(const NftLine& line) { return line.kind == Kind::Packet || line.kind == Kind::Conntrack; }

// Can nothing follow it in a next physical line?
bool is_whole(const HeldLine& held, const NftLine& line) {
  if (line.kind == Kind::Rule) return line.complete;
  return !is_headers(line) && line.complete && held.width < kNarrowestWrap;  // else "meta mark" may follow
}

}  // namespace

struct NftMonitor::Impl {
  base::Names& names;
  Sink& sink;
  HeaderMemo memo;
  UnknownWords words;
  WrapWidths widths;
  HeldLine held;
  HeldLine conntrack;  // a "conntrack:" line that waits for its "packet:" line

  HeaderText read(std::string_view text) { return read_nft_headers(text, names); }

  // How the continuation is joined; "" if it is none.
  struct Joint {
    std::string text;
    bool proven = false;  // only this joint, without a blank, can be read
  };

  Joint choose_joint(std::string_view text) {
    if (held.empty() || held.closed || held.full()) return {};
    const std::string_view tail = base::trim(without_quoting(text));
    if (tail.empty() || begins_log_line(tail)) return {};
    auto [spaced, tight] = held.joints(text);
    const bool hard = widths.hard(held.width);
    const NftLine line = read_nft_line(held.text);
    if (is_headers(line)) return choose_headers(line, std::move(spaced), std::move(tight), hard);
    const auto better = [&](const std::string& joined) {
      if (joined.empty()) return false;
      const NftLine after = read_nft_line(joined);
      if (line.kind == Kind::None)
        return after.kind != Kind::None && (after.complete || held.width >= kNarrowestWrap);
      return after.complete && !line.complete;
    };
    if (hard && better(tight)) return {std::move(tight)};
    if (better(spaced)) return {std::move(spaced)};
    if (better(tight)) return {std::move(tight), true};
    if (line.complete) {  // only a mark can follow a verdict
      const bool mark = tail.starts_with("meta mark ") || tail.starts_with("mark ");
      return {mark && line.kind != Kind::Rule ? std::move(spaced) : std::string()};
    }
    if (line.kind != Kind::Rule || held.width < kNarrowestWrap) return {};
    std::size_t at = 0;
    if (hard && !tight.empty()) return {std::move(tight)};
    if (std::ranges::count(held.text, '"') % 2 != 0) return {std::move(spaced)};  // inside a comment
    return {is_nft_rule_word(take_word(tail, at)) ? std::move(spaced) : std::string()};
  }

  Joint choose_headers(const NftLine& line, std::string spaced, std::string tight, bool hard) {
    const auto payload = [&](const std::string& text) {
      return std::string_view(text).substr(std::min(read_nft_line(text).payload, text.size()));
    };
    const HeaderText before =
        read(std::string_view(held.text).substr(std::min(line.payload, held.text.size())));
    std::string* best = nullptr;
    std::size_t best_bad = 0;
    for (std::string* candidate : {hard ? &tight : &spaced, hard ? &spaced : &tight}) {
      if (candidate->empty()) continue;
      const HeaderText after = read(payload(*candidate));
      const bool more = after.fields > before.fields || (before.cut() && !after.cut());
      // A terminal may have cut a last number in two, which nobody can see in the first half.
      const bool longer = candidate == &tight && hard && after.fields == before.fields && !after.cut();
      if ((!more && !longer) || after.unreadable() > before.unreadable()) continue;
      if (best && after.unreadable() >= best_bad) continue;
      best = candidate;
      best_bad = after.unreadable();
    }
    if (!best) return {};
    const bool proven = best == &tight && read(payload(spaced)).unreadable() > best_bad;
    return {std::move(*best), proven};
  }

  void hold(const Line& source, std::string_view first, std::string_view text, std::size_t offset,
            bool exact) {
    held = HeldLine();
    held.text = text;
    held.first = first.substr(0, base::Diagnostic::kMaxLine);
    held.offset = offset;
    held.exact = exact;
    held.place = source.place;
    held.time = source.time;
    held.host = source.host;
    held.width = first.size();
  }

  Event make_event(const HeldLine& from, const NftLine& line) {
    Event event;
    event.dialect = Dialect::NftMonitor;
    event.family = line.family;
    event.verdict = line.verdict;
    event.place = from.place_at(0);
    event.time = from.time;
    event.host = from.host;
    event.table = names.intern(line.table);
    event.chain = names.intern(line.chain);
    event.target_chain = names.intern(line.target);
    event.handle = line.handle;
    event.trace_id = line.id;
    event.has_trace_id = line.has_id;
    return event;
  }

  // What was held is a logical line: gives its event and diagnostics.
  void deliver() {
    if (held.empty()) return;
    const HeldLine whole = std::move(held);
    held = HeldLine();
    const NftLine line = read_nft_line(whole.text);
    if (line.kind == Kind::Conntrack) {
      deliver_conntrack();
      conntrack = whole;
      return;
    }
    if (!conntrack.empty() && line.kind == Kind::Packet) {
      const NftLine before = read_nft_line(conntrack.text);
      if (before.id == line.id && before.table == line.table && before.chain == line.chain) {
        const std::string ct = conntrack.text.substr(before.payload);
        conntrack = HeldLine();
        deliver_headers(whole, line, ct);
        return;
      }
    }
    deliver_conntrack();
    if (line.kind == Kind::Packet) deliver_headers(whole, line, {});
    else deliver_step(whole, line);
  }

  void deliver_conntrack() {
    if (conntrack.empty()) return;
    const HeldLine alone = std::move(conntrack);
    conntrack = HeldLine();
    deliver_headers(alone, read_nft_line(alone.text), {});
  }

  void deliver_headers(const HeldLine& whole, const NftLine& line, std::string_view ct) {
    const std::string_view own =
        base::trim(std::string_view(whole.text).substr(std::min(line.payload, whole.text.size())));
    std::string text(ct);
    if (!text.empty() && text.back() != ' ') text += ' ';
    const std::size_t before = text.size();
    text += own;
    const HeaderText& headers = memo.find_or_read(text, [&](const std::string& t) { return read(t); });
    Event event = make_event(whole, line);
    event.kind = EventKind::Headers;
    event.packet = &headers.packet;
    event.form = headers.form;
    report_head(whole, line);
    std::vector<TextProblem> problems = headers.problems;
    for (TextProblem& problem : problems) problem.at -= std::min(problem.at, before);
    report_problems(sink, whole, problems, line.payload, words);
    sink.event(event);
  }

  void deliver_step(const HeldLine& whole, const NftLine& line) {
    if (line.kind == Kind::None) {
      report(sink, whole, base::Severity::Warning, "cut-line", line.damaged_at,
             "this nft trace line does not say what happened: it is cut or damaged");
      return;
    }
    Event event = make_event(whole, line);
    switch (line.kind) {
      case Kind::Rule:
        event.kind = EventKind::Rule;
        event.rule_text = line.rule_text;
        break;
      case Kind::Policy: event.kind = EventKind::Policy; break;
      case Kind::Verdict:
        event.kind = EventKind::Return;
        event.continues_at_end = line.verdict == packet::Verdict::Continue;
        break;
      case Kind::None:
      case Kind::Packet:
      case Kind::Conntrack: return;
    }
    report_head(whole, line);
    if (!line.complete) {
      report(sink, whole, base::Severity::Warning, "damaged-line", line.payload,
             line.kind == Kind::Rule ? "the rule's \"(verdict …)\" is missing or cannot be read"
                                     : "the verdict is missing or cannot be read");
    } else if (line.kind != Kind::Rule && line.rest < whole.text.size()) {
      // A mark, as the packet leaves the chain (nft prints it here alone, and never on packet lines).
      const std::string_view rest = base::trim(std::string_view(whole.text).substr(line.rest));
      if (!rest.empty()) report_problems(sink, whole, read(rest).problems, line.rest, words);
    }
    sink.event(event);
  }

  void report_head(const HeldLine& whole, const NftLine& line) {
    if (!line.damaged_head) return;
    report(sink, whole, base::Severity::Warning, "damaged-line", line.damaged_at,
           "family, table and chain are not all there");
  }

  LineKind take(const Line& source) {
    std::string buffer;
    const std::string_view text = without_escapes(source.text, buffer);
    const bool exact = text.data() == source.text.data();
    std::size_t at = find_nft_line(text, 0);
    if (at == kNone) {
      Joint joint = choose_joint(text);
      if (joint.text.empty()) return LineKind::Foreign;
      widths.see(held.width, joint.proven);
      held.join(std::move(joint.text), text.size());
      if (is_whole(held, read_nft_line(held.text))) deliver();
      return LineKind::Continuation;
    }
    LineKind kind = LineKind::Damaged;
    while (at != kNone) {
      const std::size_t next = find_nft_line(text, at + 1);
      deliver();
      hold(source, text, text.substr(at, next == kNone ? kNone : next - at), at, exact);
      const NftLine line = read_nft_line(held.text);
      if (line.kind != Kind::None) kind = LineKind::Trace;
      if (next != kNone || is_whole(held, line)) deliver();
      at = next;
    }
    return kind;
  }
};

NftMonitor::NftMonitor(base::Names& names, Sink& sink)
    : impl_(std::make_unique<Impl>(Impl{.names = names,
                                        .sink = sink,
                                        .memo = {},
                                        .words = {},
                                        .widths = {},
                                        .held = {},
                                        .conntrack = {}})) {}
NftMonitor::~NftMonitor() = default;

bool NftMonitor::claims(std::string_view text) const {
  std::string buffer;
  text = without_escapes(text, buffer);
  if (find_nft_line(text, 0) != kNone) return true;
  Impl& in = *impl_;
  if (in.held.empty() || in.held.closed) return false;
  if (!in.choose_joint(text).text.empty()) return true;
  // A line that we do not claim ends what is held; so text far below cannot become part of it.
  if (!base::trim(without_quoting(text)).empty()) in.held.closed = true;
  return false;
}

LineKind NftMonitor::line(const Line& line) { return impl_->take(line); }

void NftMonitor::finish() {
  impl_->deliver();
  impl_->deliver_conntrack();
}

}  // namespace fwtrace::trace
