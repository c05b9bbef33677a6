#include "journey/join.h"

#include "packet/netfilter.h"

namespace fwtrace::journey {
namespace {

using packet::Hook;
using packet::Verdict;
using ruleset::Effect;
using ruleset::Rule;
using trace::Dialect;
using trace::EventKind;

Did did_of(Effect effect) {
  switch (effect) {
    case Effect::Continue: return Did::Continue;
    case Effect::Accept: return Did::Accept;
    case Effect::Drop: return Did::Drop;
    case Effect::Reject: return Did::Reject;
    case Effect::Queue: return Did::Queue;
    case Effect::Return: return Did::Return;
    case Effect::Jump: return Did::Jump;
    case Effect::Goto: return Did::Goto;
    case Effect::Unknown: return Did::Unknown;
  }
  return Did::Unknown;
}

Did did_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::Accept: return Did::Accept;
    case Verdict::Drop: return Did::Drop;
    case Verdict::Stolen: return Did::Stolen;
    case Verdict::Queue: return Did::Queue;
    case Verdict::Jump: return Did::Jump;
    case Verdict::Goto: return Did::Goto;
    case Verdict::Return: return Did::Return;
    case Verdict::Continue:
    case Verdict::Break:
    case Verdict::Repeat: return Did::Continue;
    case Verdict::None: return Did::Unknown;
  }
  return Did::Unknown;
}

std::string quoted(base::Name table, base::Name chain) {
  return "chain \"" + std::string(chain.text()) + "\" of table \"" + std::string(table.text()) + "\"";
}

bool same_walk(const Step& a, const Step& b) {
  return a.hook == b.hook && a.table.is(b.table) && a.dialect == b.dialect;
}

// Where nat chains of each kind stand (kernel: nf_nat_ipv4_ops).
bool can_rewrite_at(packet::Hook hook, bool destination) {
  using packet::Hook;
  return destination ? hook == Hook::Prerouting || hook == Hook::Output
                     : hook == Hook::Postrouting || hook == Hook::Input;
}

std::string drop_name(const Step& step) {
  return step.rule != nullptr ? "\"" + step.rule->text + "\""
                              : "the policy of " + quoted(step.table, step.chain);
}

// Some logs lack policy and return lines.
bool shows_ends(const Journey& journey) {
  for (const Step& step : journey.steps) {
    if (step.kind != EventKind::Rule) return !journey.overlaps_loss && !journey.damaged;
  }
  return false;
}

// "reject" as a statement of an nft rule, not a part of a comment or a chain's name.
bool has_reject_statement(std::string_view text) {
  bool quote = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quote = !quote;
    if (quote || !text.substr(i).starts_with("reject")) continue;
    const bool begins = i == 0 || text[i - 1] == ' ';
    const std::size_t end = i + 6;
    if (begins && (end == text.size() || text[end] == ' ')) return true;
  }
  return text.find("-j REJECT") != std::string_view::npos;
}

}  // namespace

std::size_t Joiner::KeyHash::operator()(const Key& key) const {
  const auto table = reinterpret_cast<std::uintptr_t>(key.table);
  const auto chain = reinterpret_cast<std::uintptr_t>(key.chain);
  return (table * 31 + chain) ^ (reinterpret_cast<std::uintptr_t>(key.ruleset) >> 3);
}

Joiner::Place Joiner::find(const ruleset::Ruleset& ruleset, const Step& step) {
  const Key key{step.table.address(), step.chain.address(), &ruleset};
  if (const auto known = places_.find(key); known != places_.end()) return known->second;
  static constexpr std::size_t kMaxPlaces = 1U << 16;  // hostile logs name endless chains
  if (places_.size() >= kMaxPlaces) places_.clear();
  Place place;
  place.table = ruleset.find_table(step.table.text());
  if (place.table != nullptr) place.chain = place.table->find_chain(step.chain.text());
  places_.emplace(key, place);
  return place;
}

void Joiner::does_not_fit(const Step& step, std::string_view reason, std::string message) {
  misfit_ = true;
  std::string key(step.table.text());
  key += ' ';
  key += step.chain.text();
  key += ' ';
  key += reason;
  if (told_.size() > 1000 || !told_.emplace(std::move(key), true).second) return;
  base::Diagnostic d;
  d.severity = base::Severity::Warning;
  d.code = "ruleset-does-not-fit";
  d.place = step.place;
  d.message = "the ruleset does not fit the log: " + std::move(message);
  d.hints = {
      "was it saved on this machine, at the time of the log? (rules or backend may have changed since)"};
  complain_(std::move(d));
}

void Joiner::read_legacy(Journey& journey, std::size_t i) {
  Step& step = journey.steps[i];
  // The running machine's own rules are known by backend; a file may not say whose it is.
  const ruleset::Ruleset* ruleset =
      journey.live ? book_.find(journey.family, ruleset::Backend::Legacy) : book_.find(journey.family);
  if (ruleset == nullptr) return infer(journey, i);
  const Place place = find(*ruleset, step);
  if (place.chain == nullptr) {
    if (place.table != nullptr) {
      does_not_fit(step, "no such chain", "it has no " + quoted(step.table, step.chain));
    }  // a table that was not given at all is not a contradiction: people save one table only
    return infer(journey, i);
  }
  // Printed numbers count: an excerpt of a listing need not begin at 1.
  const Rule* rule = nullptr;
  const auto& rules = place.chain->rules;
  if (step.number >= 1 && step.number <= rules.size() && rules[step.number - 1].number == step.number) {
    rule = &rules[step.number - 1];
  } else {
    for (const Rule& candidate : rules) {
      if (candidate.number == step.number) rule = &candidate;
    }
  }
  const std::uint32_t last = rules.empty() ? 0 : rules.back().number;
  const std::string asks = std::string(to_text(step.kind)) + " " + std::to_string(step.number);

  if (step.kind == EventKind::Rule) {
    if (rule == nullptr) {
      does_not_fit(step, "number",
                   "the log says " + asks + " of " + quoted(step.table, step.chain) + ", which has " +
                       std::to_string(rules.size()) + (rules.size() == 1 ? " rule" : " rules"));
      return infer(journey, i);
    }
    step.rule = rule;
    step.did = did_of(rule->effect);
    if (step.did == Did::Unknown) infer(journey, i);
    return;
  }
  if (rule != nullptr) {  // an entry without any condition
    const bool verdict = rule->effect == Effect::Accept || rule->effect == Effect::Drop ||
                         rule->effect == Effect::Return || rule->effect == Effect::Queue;
    if (!verdict || rule->conditional.value_or(false)) {
      does_not_fit(step, "kind",
                   "the log says " + asks + " of " + quoted(step.table, step.chain) + ", so rule " +
                       std::to_string(step.number) +
                       " would be an unconditional ACCEPT, DROP or RETURN, or the chain's end; it is \"" +
                       rule->text + "\"");
      return infer(journey, i);
    }
    step.rule = rule;
    step.did = did_of(rule->effect);
    return;
  }
  if (step.number != last + 1) {
    does_not_fit(step, "number",
                 "the log says " + asks + " of " + quoted(step.table, step.chain) + ", which has " +
                     std::to_string(rules.size()) + (rules.size() == 1 ? " rule" : " rules"));
    return infer(journey, i);
  }
  if (step.kind == EventKind::Return) {
    step.did = Did::ChainEnd;
    return;
  }
  switch (place.chain->policy) {
    case Verdict::Accept: step.did = Did::PolicyAccept; return;
    case Verdict::Drop: step.did = Did::PolicyDrop; return;
    default: return infer(journey, i);
  }
}

Joiner::Known& Joiner::known_at(const Entry& entry) {
  const auto table = reinterpret_cast<std::uintptr_t>(entry.table);
  const auto chain = reinterpret_cast<std::uintptr_t>(entry.chain);
  const std::uint64_t hash =
      ((table >> 4) * 31 + (chain >> 4)) * 31 + entry.number_kind_family * 0x9E3779B97F4A7C15ULL;
  // Names are hashed by address, so which entries meet in one slot is chance: a few neighbours keep it from deciding.
  static constexpr std::size_t kProbes = 8;
  const std::size_t first = hash ^ hash >> 29;
  for (std::size_t i = 0; i < kProbes; ++i) {
    Known& known = seen_to_do_[(first + i) % seen_to_do_.size()];
    if (known.did == Did::Unknown || known.entry == entry) return known;
  }
  return seen_to_do_[first % seen_to_do_.size()];
}

Joiner::Entry Joiner::entry_of(const Journey& journey, const Step& step) {
  return {journey.host.address(), step.table.address(), step.chain.address(),
          std::uint64_t{step.number} << 16 | static_cast<std::uint64_t>(step.kind) << 8 |
              static_cast<std::uint64_t>(journey.family)};
}

// What follows a step may tell what it did, without any ruleset.
void Joiner::infer(Journey& journey, std::size_t i) {
  Step& step = journey.steps[i];
  if (i + 1 == journey.steps.size()) {
    const Entry entry = entry_of(journey, step);
    if (const Known& known = known_at(entry); known.did != Did::Unknown && known.entry == entry)
      step.did = known.did;
    else if (step.kind == EventKind::Policy) step.did = Did::PolicyUnknown;
    return;
  }
  const Step& next = journey.steps[i + 1];
  const bool onwards = !same_walk(step, next);
  const bool base = packet::hook_of_chain(step.chain.text()) != Hook::None;
  switch (step.kind) {
    case EventKind::Rule:
      if (onwards) step.did = Did::Accept;
      else if (next.chain.is(step.chain)) step.did = Did::Continue;
      else if (next.depth > step.depth) step.did = Did::Jump;
      else step.did = Did::Return;
      break;
    case EventKind::Return: step.did = onwards && !base ? Did::Accept : Did::Return; break;
    case EventKind::Policy: step.did = onwards ? Did::PolicyAccept : Did::Return; break;
    case EventKind::Headers: step.did = Did::Headers; return;
  }
  // A lost line could make a rule look as if it had accepted: learn only from whole records.
  if (journey.overlaps_loss || journey.damaged) return;
  const Entry entry = entry_of(journey, step);
  known_at(entry) = {entry, step.did};
}

void Joiner::read_nft(Step& step) {
  switch (step.kind) {
    case EventKind::Headers: step.did = Did::Headers; return;
    case EventKind::Policy:
      step.did = step.verdict == Verdict::Accept ? Did::PolicyAccept
                 : step.verdict == Verdict::Drop ? Did::PolicyDrop
                                                 : Did::PolicyUnknown;
      return;
    case EventKind::Return:
      step.did = step.continues_at_end           ? Did::ChainEnd
                 : step.verdict == Verdict::None ? Did::ChainEnd
                                                 : did_of(step.verdict);
      return;
    case EventKind::Rule:
      step.did = did_of(step.verdict);
      if (step.did == Did::Drop &&
          has_reject_statement(step.rule != nullptr ? step.rule->text : step.rule_text))
        step.did = Did::Reject;
      return;
  }
}

// A rule that trace and ruleset both know must lead where the trace goes next.
void Joiner::check_next(const Journey& journey, std::size_t i) {
  const Step& step = journey.steps[i];
  if (i + 1 == journey.steps.size()) return;
  const Step& next = journey.steps[i + 1];
  if (next.marker) {  // behind the walk: only a drop could contradict it
    if (is_drop(step.did)) does_not_fit(step, "goes on", drop_name(step) + " drops, yet the packet went on");
    return;
  }
  if (is_drop(step.did)) {
    does_not_fit(step, "goes on",
                 drop_name(step) + " drops, yet the packet went on to " + std::string(next.table.text()) +
                     " " + std::string(next.chain.text()));
  } else if ((step.did == Did::Jump || step.did == Did::Goto) && step.rule != nullptr &&
             !(next.chain.text() == step.rule->target && next.table == step.table)) {
    does_not_fit(step, "jump",
                 "\"" + step.rule->text + "\" goes to chain \"" + step.rule->target +
                     "\", yet the next line is in " + quoted(next.table, next.chain));
  } else if (step.did == Did::Continue && step.rule != nullptr && !same_walk(step, next) &&
             shows_ends(journey)) {
    does_not_fit(step, "goes on",
                 "\"" + step.rule->text + "\" does not end the walk of table " +
                     std::string(step.table.text()) + ", yet the next line is in " +
                     quoted(next.table, next.chain));
  } else if (step.did == Did::Accept && same_walk(step, next)) {
    does_not_fit(step, "goes on",
                 "\"" + (step.rule != nullptr ? step.rule->text : std::string()) +
                     "\" ends the walk of table " + std::string(step.table.text()) +
                     ", yet the packet went on in " + quoted(next.table, next.chain));
  }
}

// A LOG rule whose prefix is "TRACE: a:b:rule:1 " writes a line that only the ruleset can tell from a trace line.
void Joiner::remove_imitations(Journey& journey) {
  for (std::size_t i = 1; i < journey.steps.size(); ++i) {
    const Step& step = journey.steps[i];
    const Rule* before = journey.steps[i - 1].rule;
    if (before == nullptr || before->effect != Effect::Continue ||
        before->text.find("TRACE: ") == std::string::npos)
      continue;
    const std::string head = "TRACE: " + std::string(step.table.text()) + ":" +
                             std::string(step.chain.text()) + ":" + std::string(to_text(step.kind)) + ":" +
                             std::to_string(step.number);
    if (before->text.find(head) == std::string::npos) continue;
    journey.steps.erase(journey.steps.begin() + static_cast<std::ptrdiff_t>(i));
    --i;
  }
}

void Joiner::find_rewrites(Journey& journey) {
  for (std::size_t i = 1; i < journey.steps.size(); ++i) {
    const std::uint32_t from = journey.steps[i - 1].form, to = journey.steps[i].form;
    if (from == to || to >= journey.forms.size()) continue;
    const packet::Packet& a = journey.forms[from];
    const packet::Packet& b = journey.forms[to];
    const auto differ = [](const auto& x, const auto& y) { return x && y && *x != *y; };
    const auto differ_ip = [](const packet::IpAddress& x, const packet::IpAddress& y) {
      return !x.empty() && !y.empty() && !(x == y);
    };
    for (const bool destination : {true, false}) {
      const bool changed =
          destination
              ? differ_ip(a.destination, b.destination) || differ(a.ports.destination, b.ports.destination)
              : differ_ip(a.source, b.source) || differ(a.ports.source, b.ports.source);
      if (!changed) continue;
      Rewrite rewrite;
      rewrite.destination = destination;
      rewrite.from_form = from;
      rewrite.to_form = to;
      rewrite.after_step = static_cast<std::uint32_t>(i - 1);
      // The rule that ended the last nat table's walk before the change did it; a reply has no such step.
      for (std::size_t k = i; k-- > 0;) {
        const Step& step = journey.steps[k];
        if (journey.live && !can_rewrite_at(step.hook, destination)) continue;
        const bool nat = step.rule != nullptr ? ruleset::is_nat_target(step.rule->target)
                                              : step.table.text() == "nat" && step.kind == EventKind::Rule &&
                                                    (step.did == Did::Accept || step.did == Did::Unknown);
        const std::string& text = step.rule != nullptr ? step.rule->text : step.rule_text;
        const bool text_says = text.find(destination ? "dnat" : "snat") != std::string::npos ||
                               text.find(destination ? "redirect" : "masquerade") != std::string::npos;
        if (!nat && !text_says) continue;
        rewrite.by_step = static_cast<std::uint32_t>(k);
        rewrite.by_known = true;
        break;
      }
      journey.rewrites.push_back(rewrite);
    }
  }
}

// nft rules are known by handle, or, where the trace prints iptables' own words, by their text.
void Joiner::find_nft_rule(Step& step, const Journey& journey) {
  const bool has_text = step.rule_text.starts_with("-A ");
  for (const ruleset::Ruleset& ruleset : book_.rulesets) {
    if (ruleset.backend == ruleset::Backend::Legacy) continue;
    if (ruleset.family != step.family && (journey.live || ruleset.family != journey.family)) continue;
    const ruleset::Chain* chain = find(ruleset, step).chain;
    if (chain == nullptr) continue;
    if (step.hook == packet::Hook::None) step.hook = chain->hook;
    if (step.kind != EventKind::Rule || (step.handle == 0 && !has_text)) return;
    for (const Rule& rule : chain->rules) {
      if ((step.handle != 0 && rule.handle == step.handle) || (has_text && rule.text == step.rule_text)) {
        step.rule = &rule;
        step.number = rule.number;
        return;
      }
    }
  }
}

void Joiner::join(Journey& journey) {
  misfit_ = false;
  for (std::size_t i = 0; i < journey.steps.size(); ++i) {
    Step& step = journey.steps[i];
    if (step.marker) {
      step.did = Did::Headers;
    } else if (step.dialect == Dialect::KernelLog) {
      read_legacy(journey, i);
    } else {
      const Step* before = i == 0 ? nullptr : &journey.steps[i - 1];
      find_nft_rule(step, journey);
      // A user chain stands where the base chain does that its walk began in.
      if (step.hook == packet::Hook::None && before != nullptr && before->dialect == step.dialect &&
          !before->marker && before->table == step.table && before->family == step.family &&
          !is_final(before->did) && step.kind != EventKind::Headers)
        step.hook = before->hook;
      read_nft(step);
    }
  }
  if (!journey.live && journey.dialect == Dialect::KernelLog) remove_imitations(journey);
  for (std::size_t i = 0; i < journey.steps.size() && !journey.loss_inside; ++i) {
    if (journey.steps[i].dialect == Dialect::KernelLog && !journey.steps[i].marker) check_next(journey, i);
  }
  find_rewrites(journey);
}

}  // namespace fwtrace::journey
