#include "trace/kernel_line.h"

#include <cstring>

#include "base/text.h"
#include "trace/wrapper.h"

namespace fwtrace::trace {
namespace {

constexpr std::string_view kTrace = "TRACE: ";
constexpr std::size_t kNone = std::string_view::npos;

bool starts_with_table(std::string_view text) {
  for (const std::string_view table : {"raw:", "mangle:", "nat:", "filter:", "security:"}) {
    if (text.starts_with(table)) return true;
  }
  return false;
}

bool read_kind(std::string_view text, EventKind& kind) {
  if (text == "rule") kind = EventKind::Rule;
  else if (text == "return") kind = EventKind::Return;
  else if (text == "policy") kind = EventKind::Policy;
  else return false;
  return true;
}

// The word of `text` that begins at `at`, for messages.
std::string quoted_word(std::string_view text, std::size_t at) {
  std::string_view rest = text.substr(std::min(at, text.size()));
  rest = rest.substr(0, std::min<std::size_t>(rest.find(' '), 40));
  return "\"" + std::string(rest) + "\"";
}

}  // namespace

// table:chain:kind:number, and a blank or the end. A chain's name may itself hold colons: the first and the last
// two count.
bool KernelLine::read_head(std::string_view text, Head& head) {
  const char* space = static_cast<const char*>(std::memchr(text.data(), ' ', text.size()));
  const std::string_view word = space == nullptr ? text : text.substr(0, static_cast<std::size_t>(space - text.data()));
  std::size_t i = word.size();
  std::uint32_t number = 0, scale = 1;
  while (i > 0 && base::is_digit(word[i - 1]) && word.size() - i < 10) {
    number += static_cast<std::uint32_t>(word[--i] - '0') * scale;
    scale *= 10;
  }
  if (i == word.size() || i == 0 || word[i - 1] != ':') return false;
  const std::size_t kind_end = i - 1;
  const std::size_t kind_colon = word.rfind(':', kind_end - 1);
  if (kind_colon == kNone || kind_end == 0 || !read_kind(word.substr(kind_colon + 1, kind_end - kind_colon - 1), head.kind))
    return false;
  const std::size_t table_colon = word.find(':');
  if (table_colon == 0 || table_colon >= kind_colon || table_colon + 1 == kind_colon) return false;
  head.table = word.substr(0, table_colon);
  head.chain = word.substr(table_colon + 1, kind_colon - table_colon - 1);
  head.number = number;
  head.end = word.size();
  return true;
}

const KernelLine::KnownHead* KernelLine::find_head(std::string_view text) {
  const char* space = static_cast<const char*>(std::memchr(text.data(), ' ', text.size()));
  const std::string_view word = space == nullptr ? text : text.substr(0, static_cast<std::size_t>(space - text.data()));
  std::size_t hash = word.size();
  for (std::size_t i = 0; i < word.size(); i += 3) hash = hash * 31 + static_cast<unsigned char>(word[word.size() - 1 - i]);
  KnownHead& known = heads_[hash % heads_.size()];
  if (known.text == word && !word.empty()) return &known;
  Head head;
  if (!read_head(word, head)) return nullptr;
  known.text = word;
  known.head = head;
  known.table = names_.intern(head.table);
  known.chain = names_.intern(head.chain);
  return &known;
}

std::size_t KernelLine::find(std::string_view text, std::size_t from) {
  while (from < text.size()) {
    const void* hit = ::memmem(text.data() + from, text.size() - from, kTrace.data(), kTrace.size());
    if (hit == nullptr) return kNone;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(hit) - text.data());
    Head head;
    const std::string_view behind = text.substr(at + kTrace.size());
    if (read_head(behind, head) || starts_with_table(behind)) return at;
    from = at + kTrace.size();
  }
  return kNone;
}

void KernelLine::complain(const Line& line, std::size_t at, base::Severity severity, std::string_view code,
                          std::string message) {
  base::Diagnostic d;
  d.severity = severity;
  d.code = code;
  d.place = line.place;
  d.place.column = static_cast<std::uint32_t>(at + 1);
  d.message = std::move(message);
  // A record may stand far inside a long line: show the line from near it.
  const std::size_t from = at > 200 ? at - 200 : 0;
  d.line = std::string(line.text.substr(from, base::Diagnostic::kMaxLine));
  if (from > 0) d.place.column = static_cast<std::uint32_t>(at - from + 1);
  sink_.diagnostic(std::move(d));
}

void KernelLine::emit(const Line& line, const KnownHead& known, const packet::Packet& packet, std::uint64_t form) {
  Event event;
  event.dialect = Dialect::KernelLog;
  event.kind = known.head.kind;
  switch (packet.version()) {
    case packet::IpVersion::V4: event.family = packet::Family::Ip; break;
    case packet::IpVersion::V6: event.family = packet::Family::Ip6; break;
    case packet::IpVersion::None:
      if (std::holds_alternative<packet::Arp>(packet.transport)) event.family = packet::Family::Arp;
      break;
  }
  event.place = line.place;
  event.place.column = static_cast<std::uint32_t>(line.body + 1);
  event.time = line.time;
  event.host = line.host;
  event.table = known.table;
  event.chain = known.chain;
  event.number = known.head.number;
  event.packet = &packet;
  event.form = form;
  sink_.event(event);
}

std::size_t KernelLine::record(const Line& line, bool may_hold, bool& held, bool& read) {
  held = false;
  const std::string_view behind = line.text.substr(line.body + kTrace.size());
  const KnownHead* head = find_head(behind);
  if (head == nullptr) {
    read = false;
    complain(line, line.body, base::Severity::Warning, "damaged-line",
             "the line is cut or damaged before its table:chain:rule:number is whole");
    return find(line.text, line.body + kTrace.size());
  }
  read = true;
  const std::size_t packet_at = line.body + kTrace.size() + head->head.end;
  const std::string_view rest = line.text.substr(packet_at);

  for (std::size_t i = 0; i < known_.size(); ++i) {
    const Known& known = known_[(newest_ + i) % known_.size()];
    if (known.text.size() == rest.size() && std::memcmp(known.text.data(), rest.data(), rest.size()) == 0 &&
        known.form != 0) {
      emit(line, *head, known.packet, known.form);
      return kNone;
    }
  }

  newest_ = (newest_ + known_.size() - 1) % known_.size();
  Known& fresh = known_[newest_];
  fresh.form = 0;
  fresh.packet = packet::Packet{};
  PacketScan scan = scan_packet(rest, names_, fresh.packet);

  // Something that is no field: another record joined to this line, words behind a whole packet, or damage.
  std::size_t next = kNone;
  while (scan.end < rest.size()) {
    next = find(rest, scan.end);
    const std::string_view between = rest.substr(scan.end, next == kNone ? kNone : next - scan.end);
    if (next != kNone && (base::trim(between).empty() || begins_like_log_line(between))) break;
    if (scan.complete && !scan.damaged) break;  // words of a person or a tool behind it
    if (!scan.damaged) scan.damage_at = scan.end;
    std::size_t from = scan.end;
    while (from < rest.size() && !base::is_space(rest[from])) ++from;
    const PacketScan more = resume_packet(rest.substr(0, next == kNone ? rest.size() : next), from, names_, fresh.packet);
    scan.end = more.end;
    scan.damaged = true;
    scan.complete = more.complete;
    scan.abbreviated |= more.abbreviated;
    if (next != kNone && scan.end >= next) break;
  }
  const bool at_line_end = next == kNone;

  if (!scan.complete && !scan.abbreviated && at_line_end && may_hold) {
    pending_ = true;
    held_text_ = line.text.substr(line.body);
    held_ = line;
    held = true;
    return kNone;
  }
  if (scan.damaged) {
    complain(line, packet_at + scan.damage_at, base::Severity::Warning, "damaged-line",
             "the line is damaged at " + quoted_word(rest, scan.damage_at) +
                 ": a field is missing or not readable; the other fields are used");
  } else if (scan.abbreviated) {
    complain(line, packet_at, base::Severity::Note, "abbreviated-line",
             "somebody shortened this line: packets cannot be told apart by the fields that are missing");
  } else if (!scan.complete) {
    complain(line, packet_at, base::Severity::Warning, "cut-line",
             "the line ends before the packet's headers do; the fields before the cut are used");
  }
  const bool intact = scan.complete && !scan.damaged && !scan.abbreviated;
  fresh.packet.damaged = !intact;
  const std::uint64_t form = ++forms_;
  if (intact && at_line_end) {
    fresh.text = rest;
    fresh.form = form;
  }
  emit(line, *head, fresh.packet, form);
  return at_line_end ? kNone : packet_at + next;
}

LineKind KernelLine::line(const Line& line) {
  Line one = line;
  bool any = false;
  while (true) {
    bool held = false, read = false;
    const std::size_t next = record(one, true, held, read);
    any |= read;
    if (next == kNone) return any ? LineKind::Trace : LineKind::Damaged;
    const std::size_t gap_from = one.body + kTrace.size();
    one.body = next;
    // A joined line brings its own date, if any stands right before it.
    const std::string_view gap = line.text.substr(gap_from, next - gap_from);
    const std::size_t fields_end = gap.rfind('=');
    std::string_view tail = fields_end == kNone ? gap : gap.substr(fields_end + 1);
    if (const std::size_t blank = tail.find(' '); blank != kNone) {
      tail = tail.substr(blank);
      while (!tail.empty() && !begins_like_log_line(tail)) {
        const std::size_t word = tail.find(' ', 1);
        tail = word == kNone ? std::string_view() : tail.substr(word);
      }
      if (!tail.empty()) {
        const Wrapper wrapper = read_wrapper(tail);
        one.time = wrapper.time;
        if (!wrapper.host.empty()) one.host = names_.intern(wrapper.host);
      }
    }
  }
}

bool KernelLine::continues(std::string_view text) const {
  if (!pending_ || begins_like_log_line(text) || find(text) != kNone) return false;
  std::string_view body = text;
  while (!body.empty() && (base::is_space(body.front()) || body.front() == '>')) body.remove_prefix(1);
  const std::string_view word = body.substr(0, body.find(' '));
  if (word.empty()) return false;
  if (is_packet_word(word)) return true;
  // Cut in the middle of a word by a terminal's edge: the word must make sense glued to the held line's last one.
  const std::size_t last_at = held_text_.find_last_of(' ') + 1;
  const std::string glued = held_text_.substr(last_at) + std::string(word);
  return held_text_.back() != ' ' && is_packet_word(glued);
}

void KernelLine::add_continuation(std::string_view text) {
  while (!text.empty() && (base::is_space(text.front()) || text.front() == '>')) text.remove_prefix(1);
  const std::string_view word = text.substr(0, text.find(' '));
  const bool new_word = is_packet_word(word) || held_text_.back() == ' ';
  if (new_word && held_text_.back() != ' ') held_text_ += ' ';
  held_text_ += text;
  pending_ = false;
  const std::string whole = std::move(held_text_);
  Line line = held_;
  line.text = whole;
  line.body = 0;
  bool held = false, read = false;
  // Long wraps take several lines; a bounded number of them.
  record(line, whole.size() < 4096, held, read);
}

void KernelLine::finish() {
  if (!pending_) return;
  pending_ = false;
  const std::string whole = std::move(held_text_);
  Line line = held_;
  line.text = whole;
  line.body = 0;
  bool held = false, read = false;
  record(line, false, held, read);
}

}  // namespace fwtrace::trace
