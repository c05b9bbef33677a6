#include "report/words.h"

#include <charconv>

#include "base/text.h"

namespace fwtrace::report {

using journey::Did;
using journey::Journey;
using journey::OutcomeKind;
using journey::Step;

bool is_open(OutcomeKind kind) {
  return kind == OutcomeKind::Lost || kind == OutcomeKind::Undecided || kind == OutcomeKind::Incomplete;
}

std::string_view mark_of(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::Dropped:
    case OutcomeKind::Rejected: return "✗";
    case OutcomeKind::Delivered:
    case OutcomeKind::Forwarded:
    case OutcomeKind::Sent: return "✓";
    case OutcomeKind::Queued:
    case OutcomeKind::Stolen: return "→";
    case OutcomeKind::Lost:
    case OutcomeKind::Undecided:
    case OutcomeKind::Incomplete: return "?";
  }
  return "?";
}

std::string_view verdict_word(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::Dropped: return "DROPPED";
    case OutcomeKind::Rejected: return "REJECTED";
    case OutcomeKind::Delivered: return "DELIVERED";
    case OutcomeKind::Forwarded: return "FORWARDED";
    case OutcomeKind::Sent: return "SENT";
    case OutcomeKind::Queued: return "QUEUED";
    case OutcomeKind::Stolen: return "STOLEN";
    case OutcomeKind::Lost: return "LOST";
    case OutcomeKind::Undecided: return "UNDECIDED";
    case OutcomeKind::Incomplete: return "INCOMPLETE";
  }
  return "";
}

std::string_view json_word(Did did) {
  switch (did) {
    case Did::Unknown: return "unknown";
    case Did::Continue: return "continue";
    case Did::Jump: return "jump";
    case Did::Goto: return "goto";
    case Did::Return: return "return";
    case Did::ChainEnd: return "chain_end";
    case Did::Accept: return "accept";
    case Did::Drop: return "drop";
    case Did::Reject: return "reject";
    case Did::Queue: return "queue";
    case Did::Stolen: return "stolen";
    case Did::PolicyAccept: return "policy_accept";
    case Did::PolicyDrop: return "policy_drop";
    case Did::PolicyUnknown: return "policy_unknown";
    case Did::Headers: return "headers";
  }
  return "";
}

void append_printable(std::string& out, std::string_view text) {
  if (base::is_printable(text)) out += text;
  else out += base::to_printable(text);
}

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  if (error == std::errc()) out.append(digits, end);
}

void append_hex(std::string& out, std::uint64_t number, int digits) {
  char text[16];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number, 16);
  if (error != std::errc()) return;
  const int size = static_cast<int>(end - text);
  if (size < digits) out.append(static_cast<std::size_t>(digits - size), '0');
  out.append(text, end);
}

std::string_view rule_text(const Step& step) {
  return step.rule != nullptr && !step.rule->text.empty() ? std::string_view(step.rule->text)
                                                          : step.rule_text;
}

std::string short_rule_text(const Step& step) {
  constexpr std::size_t kColumns = 40;
  std::string text;
  const auto words = base::split_words(rule_text(step));
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "counter" && i + 4 < words.size() && words[i + 1] == "packets") {
      i += 4;
      continue;
    }
    if (!text.empty()) text += ' ';
    text += words[i];
    if (text.size() > 4 * kColumns) break;
  }
  text = base::to_printable(text);
  if (base::display_width(text) <= kColumns) return text;
  while (base::display_width(text) >= kColumns) {
    while ((static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
    text.pop_back();
  }
  return text + "…";
}

std::string_view target_of(const Step& step) {
  if (!step.target_chain.empty() || step.rule == nullptr) return step.target_chain.text();
  return step.rule->target;
}

bool is_iptables(const Step& step) {
  if (step.number != 0) return true;  // only iptables' own trace counts rules
  if (step.family != packet::Family::None && step.family != packet::Family::Ip &&
      step.family != packet::Family::Ip6)
    return false;
  return packet::hook_of_chain(step.chain.text()) != packet::Hook::None || rule_text(step).starts_with("-A ");
}

bool is_policy(Did did) {
  return did == Did::PolicyAccept || did == Did::PolicyDrop || did == Did::PolicyUnknown;
}

std::string final_word(const Step& step) {
  const bool upper = is_iptables(step);
  const auto word = [&](std::string_view iptables, std::string_view nft) {
    // The target says more than what it does: MASQUERADE, REDIRECT, TARPIT, NFQUEUE.
    if (upper && step.rule != nullptr && !step.rule->target.empty() && !is_policy(step.did))
      return base::to_printable(step.rule->target);
    return std::string(upper ? iptables : nft);
  };
  switch (step.did) {
    case Did::Accept:
    case Did::PolicyAccept: return word("ACCEPT", "accept");
    case Did::Drop:
    case Did::PolicyDrop: return word("DROP", "drop");
    case Did::Reject: return word("REJECT", "reject");
    case Did::Queue: return word("QUEUE", "queue");
    case Did::Stolen: return word("STOLEN", "stolen");
    case Did::Unknown:
    case Did::Continue:
    case Did::Jump:
    case Did::Goto:
    case Did::Return:
    case Did::ChainEnd:
    case Did::PolicyUnknown:
    case Did::Headers: return {};
  }
  return {};
}

std::string_view backend_word(const Journey& journey, const Step& step) {
  if (!journey.live || step.marker || !packet::is_iptables_table(step.table.text())) return {};
  bool legacy = false, nft = false;
  for (const Step& one : journey.steps) {
    if (one.marker || !packet::is_iptables_table(one.table.text())) continue;
    (one.dialect == trace::Dialect::KernelLog ? legacy : nft) = true;
  }
  if (!legacy || !nft) return {};
  return step.dialect == trace::Dialect::KernelLog ? " legacy" : " nft";
}

const Step* deciding_step(const Journey& journey) {
  if (!journey.outcome.step || *journey.outcome.step >= journey.steps.size()) return nullptr;
  return &journey.steps[*journey.outcome.step];
}

std::string print_endpoint(const packet::IpAddress& address, packet::Maybe<std::uint16_t> port) {
  if (address.empty()) return {};
  std::string out = packet::print_ip(address);
  if (!port) return out;
  if (address.version == packet::IpVersion::V6) out = '[' + out + ']';
  out += ':';
  append_number(out, *port);
  return out;
}

void append_devices(std::string& out, const Journey& journey) {
  const packet::Packet* came = nullptr;
  const packet::Packet* left = nullptr;
  for (const packet::Packet& form : journey.forms) {
    if (came == nullptr && !form.in.empty()) came = &form;
    if (!form.out.empty()) left = &form;
  }
  const auto device = [&out](base::Name name, base::Name port) {
    append_printable(out, name.text());
    if (port.empty() || port == name) return;
    out += " port ";
    append_printable(out, port.text());
  };
  const auto in = [&] { device(came->in, came->physin); };
  const auto leave = [&] { device(left->out, left->physout); };
  switch (journey.outcome.kind) {
    case OutcomeKind::Delivered:
      if (came != nullptr) out += "in ", in(), out += ", ";
      out += "to this machine";
      return;
    case OutcomeKind::Forwarded:
      if (came != nullptr) out += "in ", in(), out += left != nullptr ? ", " : "";
      if (left != nullptr) out += "out ", leave();
      return;
    case OutcomeKind::Sent:
      if (left != nullptr) out += "out ", leave();
      return;
    case OutcomeKind::Dropped:
    case OutcomeKind::Rejected:
    case OutcomeKind::Queued:
    case OutcomeKind::Stolen:
    case OutcomeKind::Lost:
    case OutcomeKind::Undecided:
    case OutcomeKind::Incomplete: break;
  }
  if (came != nullptr && left != nullptr) in(), out += " → ", leave();
  else if (came != nullptr) out += "in ", in();
  else if (left != nullptr) out += "out ", leave();
}

namespace {

// "nat PREROUTING": the base chain in which the packet was seen last, whatever user chain it was in.
void append_base_chain(std::string& out, const Journey& journey) {
  const Step* step = deciding_step(journey);
  if (step == nullptr) {
    if (journey.live && !journey.steps.empty() && journey.steps.back().hook != packet::Hook::None)
      out += " after ", out += packet::to_text(journey.steps.back().hook);
    return;
  }
  base::Name chain = step->chain;
  for (const Step* s = step; s >= journey.steps.data(); --s) {
    if (!(s->table == step->table) || s->hook != step->hook || s->family != step->family) break;
    if (s->depth != 0) continue;
    chain = s->chain;
    break;
  }
  out += " after ";
  append_printable(out, step->table.text());
  out += ' ';
  append_printable(out, chain.text());
}

}  // namespace

void append_verdict(std::string& out, const Journey& journey) {
  const OutcomeKind kind = journey.outcome.kind;
  out += mark_of(kind);
  out += ' ';
  out += verdict_word(kind);
  if (kind == OutcomeKind::Lost) append_base_chain(out, journey);
  std::string_view separator = " (";
  const auto remark = [&](std::string_view text) {
    out += separator;
    out += text;
    separator = ", ";
  };
  if (kind == OutcomeKind::Incomplete) {
    if (journey.starts_late) remark("log starts late");
    if (journey.overlaps_loss) remark("events lost");
    if (journey.ends_early) remark("stops early");
    if (journey.damaged) remark("damaged line");
  } else {
    if (journey.starts_late) remark("starts late");
    if (journey.overlaps_loss) remark("events lost");
  }
  if (journey.outcome.likely && is_open(kind) && !journey.ends_early) {
    remark("most likely ");
    out += to_text(*journey.outcome.likely);
  }
  if (separator == ", ") out += ')';
}

std::string print_interval(std::int64_t us) {
  std::string out;
  if (us < 0) return out;
  const auto number = static_cast<std::uint64_t>(us);
  if (number < 1000) {
    append_number(out, number);
    return out + " µs";
  }
  const std::uint64_t unit = number < 999'500 ? 1000 : 1'000'000;
  // One decimal below ten, none above: a person compares these, nobody computes with them.
  std::uint64_t tenths = (number * 10 + unit / 2) / unit;
  if (tenths >= 100) tenths = (number + unit / 2) / unit * 10;
  append_number(out, tenths / 10);
  if (tenths % 10 != 0) out += '.', append_number(out, tenths % 10);
  return out + (unit == 1000 ? " ms" : " s");
}

}  // namespace fwtrace::report
