#include "trace/kernel_line.h"

#include <cstring>

#include "base/text.h"
#include "trace/wrapper.h"

namespace fwtrace::trace {
namespace {

constexpr std::string_view kTrace = "TRACE:";
constexpr std::size_t kNone = std::string_view::npos;

bool starts_with_table(std::string_view text) {
  const std::size_t colon = text.substr(0, 16).find(':');
  return colon != kNone && packet::is_iptables_table(text.substr(0, colon));
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
  std::string_view word =
      space == nullptr ? text : text.substr(0, static_cast<std::size_t>(space - text.data()));
  // A blank that got lost behind the number: "policy:2IN=eth0".
  if (const std::size_t in = word.find("IN="); in != kNone && in > 0 && base::is_digit(word[in - 1]))
    word = word.substr(0, in);
  std::size_t i = word.size();
  std::uint32_t number = 0, scale = 1;
  while (i > 0 && base::is_digit(word[i - 1]) && word.size() - i < 10) {
    number += static_cast<std::uint32_t>(word[--i] - '0') * scale;
    scale *= 10;
  }
  if (i == word.size() || i == 0 || word[i - 1] != ':') return false;
  const std::size_t kind_end = i - 1;
  const std::size_t kind_colon = word.rfind(':', kind_end - 1);
  if (kind_colon == kNone || kind_end == 0 ||
      !read_kind(word.substr(kind_colon + 1, kind_end - kind_colon - 1), head.kind))
    return false;
  const std::size_t table_colon = word.find(':');
  if (word.front() == '&') return false;  // a web page's "&nbsp;raw:": the log reader takes that out first
  if (table_colon == 0 || table_colon >= kind_colon || table_colon + 1 == kind_colon) return false;
  head.table = word.substr(0, table_colon);
  head.chain = word.substr(table_colon + 1, kind_colon - table_colon - 1);
  head.number = number;
  head.end = word.size();
  return true;
}

const KernelLine::KnownHead* KernelLine::find_head(std::string_view text) {
  const char* space = static_cast<const char*>(std::memchr(text.data(), ' ', text.size()));
  const std::string_view word =
      space == nullptr ? text : text.substr(0, static_cast<std::size_t>(space - text.data()));
  std::size_t hash = word.size();
  for (std::size_t i = 0; i < word.size(); i += 3)
    hash = hash * 31 + static_cast<unsigned char>(word[word.size() - 1 - i]);
  KnownHead& known = heads_[hash % heads_.size()];
  if (known.text == word && !word.empty() && known.head.end == word.size()) return &known;
  Head head;
  if (!read_head(word, head)) return nullptr;
  known.text = word;
  known.head = head;
  known.iptables_table = packet::is_iptables_table(head.table);
  known.table = names_.intern(head.table);
  known.chain = names_.intern(head.chain);
  return &known;
}

KernelLine::Found KernelLine::find(std::string_view text, std::size_t from) {
  const bool first = from == 0;
  while (from < text.size()) {
    const void* hit = ::memmem(text.data() + from, text.size() - from, kTrace.data(), kTrace.size());
    if (hit == nullptr) break;
    const auto begin = static_cast<std::size_t>(static_cast<const char*>(hit) - text.data());
    std::size_t head = begin + kTrace.size();
    while (head < text.size() && text[head] == ' ') ++head;
    const std::string_view behind = text.substr(head);
    Head unused;
    if (starts_with_table(behind) || read_head(behind, unused)) return {begin, head};
    from = begin + kTrace.size();
  }
  if (!first) return {};
  // "raw:PREROUTING:policy:2 IN=eth0 …" without the word: a column of a log, or sed's work.
  for (std::size_t in = text.find(" IN="); in != kNone; in = text.find(" IN=", in + 1)) {
    std::string_view before = text.substr(0, in);  // a column may be padded
    while (!before.empty() && base::is_space(before.back())) before.remove_suffix(1);
    const std::size_t blank = before.find_last_of(" \t");
    const std::size_t head = blank == kNone ? 0 : blank + 1;
    Head unused;
    if (starts_with_table(text.substr(head)) && read_head(text.substr(head), unused)) return {head, head};
  }
  return {};
}

bool KernelLine::is_cut_in_head(std::string_view text) {
  while (!text.empty() && base::is_space(text.back())) text.remove_suffix(1);
  const std::size_t at = text.rfind(kTrace);
  if (at == kNone) return false;
  const std::string_view head = base::trim(text.substr(at + kTrace.size()));
  Head unused;
  return head.find(' ') == kNone && head.size() < 300 && !read_head(head, unused) &&
         (head.empty() || head.find(':') == kNone || starts_with_table(head));
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

void KernelLine::emit(const Line& line, const KnownHead& known, const packet::Packet& packet,
                      std::uint64_t form) {
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
  if (event.family == packet::Family::None) {  // the addresses are masked or missing: other fields tell
    if (packet.tos || packet.precedence) event.family = packet::Family::Ip;
    if (packet.traffic_class || packet.flow_label) event.family = packet::Family::Ip6;
  }
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
  const std::string_view behind = line.text.substr(line.body);
  const KnownHead* head = find_head(behind);
  if (head != nullptr && !head->iptables_table && !told_tables_.contains(std::string(head->table.text()))) {
    if (told_tables_.size() < 64) told_tables_.insert(std::string(head->table.text()));
    complain(
        line, line.body, base::Severity::Note, "unknown-table",
        "\"" + std::string(head->table.text()) +
            "\" is no table of iptables: these are nft rules of a Linux before 4.18, or the line is damaged");
  }
  if (head == nullptr) {
    read = false;
    complain(line, line.body, base::Severity::Warning, "damaged-line",
             "the line is cut or damaged before its table:chain:rule:number is whole");
    return find(line.text, line.body + 1).head;
  }
  read = true;
  const std::size_t packet_at = line.body + head->head.end;
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
  static constexpr std::size_t kFar = 8192;  // the kernel's line has at most 1,020 characters
  Found next;
  bool searched = false;
  while (scan.end < rest.size()) {
    if (!searched || (next && next.begin < scan.end)) next = find(rest, std::max<std::size_t>(scan.end, 1));
    searched = true;
    if (!next && scan.end > kFar) break;
    const std::size_t limit = next ? next.begin : rest.size();
    const std::string_view between = rest.substr(scan.end, limit > scan.end ? limit - scan.end : 0);
    if (next && (base::trim(between).empty() || begins_like_log_line(between))) break;
    if (scan.complete && !scan.damaged) break;  // words of a person or a tool behind it
    if (!scan.damaged) scan.damage_at = scan.end;
    std::size_t from = scan.end;
    while (from < limit && !base::is_space(rest[from])) ++from;
    const PacketScan more = resume_packet(rest.substr(0, limit), std::min(from, limit), names_, fresh.packet);
    scan.end = more.end;
    scan.damaged = true;
    scan.complete = more.complete;
    scan.abbreviated |= more.abbreviated;
    scan.masked |= more.masked;
    if (next && scan.end >= limit) break;
  }
  const bool at_line_end = !next;

  if (!scan.complete && !scan.abbreviated && at_line_end && may_hold) {
    pending_ = true;
    held_text_ = line.text;
    held_ = line;
    held = true;
    return kNone;
  }
  if (!scan.complete) forget_cut_fields(rest, at_line_end && !scan.abbreviated, fresh.packet);
  tell(line, packet_at, rest, scan, fresh.packet);
  fresh.packet.damaged = scan.damaged || (!scan.complete && !scan.abbreviated);
  fresh.packet.shortened = scan.abbreviated;
  const std::uint64_t form = ++forms_;
  if (fresh.packet.whole() && at_line_end) {
    fresh.text = rest;
    fresh.form = form;
  }
  emit(line, *head, fresh.packet, form);
  return at_line_end ? kNone : packet_at + next.head;
}

// A cut line's last word may be the half of a number, and its flags may be half of the flags.
void KernelLine::forget_cut_fields(std::string_view text, bool at_line_end, packet::Packet& packet) {
  const std::size_t last = text.find_last_of(" \t");
  if (at_line_end && last != kNone && last + 1 < text.size()) {
    packet = packet::Packet{};
    PacketScan scan = scan_packet(text.substr(0, last), names_, packet);
    while (scan.end < last) {
      std::size_t from = scan.end;
      while (from < last && !base::is_space(text[from])) ++from;
      scan = resume_packet(text.substr(0, last), from, names_, packet);
    }
  }
  if (auto* tcp = std::get_if<packet::Tcp>(&packet.transport); tcp != nullptr && !tcp->urgent)
    tcp->flags.reset();
}

// Says what is not whole about a record.
void KernelLine::tell(const Line& line, std::size_t packet_at, std::string_view rest, const PacketScan& scan,
                      const packet::Packet& packet) {
  const auto* tcp = packet::find_tcp(packet);
  const bool has_end = packet.uid || packet.mark || (tcp != nullptr && tcp->urgent);
  if (scan.damaged) {
    complain(line, packet_at + scan.damage_at, base::Severity::Warning, "damaged-line",
             "the line is damaged at " + quoted_word(rest, scan.damage_at) +
                 ": a field is missing or not readable; the other fields are used");
  } else if (scan.abbreviated) {
    complain(line, packet_at, base::Severity::Note, "shortened-line",
             "somebody shortened this line: packets cannot be told apart by the fields that are missing");
  } else if (!scan.complete && has_end) {
    complain(line, packet_at, base::Severity::Warning, "damaged-line",
             "a part of the line is missing in its middle; the other fields are used");
  } else if (!scan.complete) {
    complain(line, packet_at + rest.size(), base::Severity::Warning, "cut-line",
             "the line ends before the packet's headers do; the fields before the cut are used");
  } else if (scan.masked) {
    complain(line, packet_at, base::Severity::Note, "masked-field",
             "somebody masked a field of this line; packets are told apart by the others");
  }
}

LineKind KernelLine::line(const Line& line) {
  Line one = line;
  bool any = false;
  while (true) {
    bool held = false, read = false;
    const std::size_t next = record(one, true, held, read);
    any |= read;
    if (next == kNone) return any ? LineKind::Trace : LineKind::Damaged;
    const std::string_view gap = line.text.substr(one.body, next - one.body);
    one.body = next;
    // A joined line brings its own date, if any stands right before it.
    const std::size_t fields_end = gap.rfind('=');
    std::string_view tail = fields_end == kNone ? gap : gap.substr(fields_end + 1);
    if (const std::size_t blank = tail.find(' '); blank != kNone) {
      tail = tail.substr(blank);
      while (!tail.empty() && !begins_like_log_line(tail)) {
        const std::size_t word = tail.find(' ', 1);
        tail = word == kNone ? std::string_view() : tail.substr(word);
      }
      if (!tail.empty()) {
        const Wrapper wrapper = read_wrapper(tail.substr(0, tail.rfind(kTrace)));
        one.time = wrapper.time;
        if (!wrapper.host.empty()) one.host = names_.intern(wrapper.host);
      }
    }
  }
}

bool KernelLine::continues(std::string_view text) const {
  if (!pending_ || begins_like_log_line(text) || find(text)) return false;
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
  // Long wraps take several lines; a bounded number of them.
  read_held(held_text_.size() < held_.body + 4096);
}

void KernelLine::finish() {
  if (pending_) read_held(false);
}

void KernelLine::read_held(bool may_hold) {
  pending_ = false;
  const std::string whole = std::move(held_text_);
  Line line = held_;
  line.text = whole;
  bool held = false, read = false;
  record(line, may_hold, held, read);
}

}  // namespace fwtrace::trace
