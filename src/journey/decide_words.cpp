#include "journey/decide_words.h"

namespace fwtrace::journey {

using packet::Hook;
using trace::EventKind;

std::string text(base::Name name) { return std::string(name.text()); }
std::string upper(Hook hook) {
  std::string out(packet::to_text(hook));
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

// "rule 7", "the policy of FORWARD", "rule handle 12"
std::string entry_name(const Step& step) {
  if (step.kind == EventKind::Policy && step.rule == nullptr) return "the policy of " + text(step.chain);
  if (step.number != 0) return "rule " + std::to_string(step.number) + " of " + text(step.chain);
  return "a rule of " + text(step.chain);
}

std::string next_name(const Seen::Next& next) {
  std::string out = std::string(next.place.table) + " " + upper(next.place.hook);
  if (next.either) out += " or FORWARD";
  return out;
}

// The chains a packet fell out of on its way to the policy: "no rule of FORWARD, FORWARD_direct decided".
std::string fell_out_of(const Journey& journey, const Step& policy) {
  std::vector<base::Name> chains;
  for (const Step& step : journey.steps) {
    if (!(step.table == policy.table) || step.hook != policy.hook) continue;
    bool known = step.chain == policy.chain;
    for (const base::Name& name : chains) known |= name == step.chain;
    if (!known) chains.push_back(step.chain);
  }
  std::string out = text(policy.chain);
  for (std::size_t i = 0; i < chains.size() && i < 6; ++i) out += ", " + text(chains[i]);
  if (chains.size() > 6) out += " and " + std::to_string(chains.size() - 6) + " more";
  return out;
}

bool hardly_filters(std::string_view table) { return table != "filter" && packet::is_iptables_table(table); }

}  // namespace fwtrace::journey
