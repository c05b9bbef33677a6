#include "ruleset/model.h"

#include <algorithm>

namespace fwtrace::ruleset {

std::string_view to_text(Backend backend) {
  switch (backend) {
    case Backend::Unknown: return "unknown";
    case Backend::Legacy: return "iptables-legacy";
    case Backend::NftCompat: return "iptables-nft";
    case Backend::Nft: return "nft";
  }
  return "";
}

std::string_view to_text(Effect effect) {
  switch (effect) {
    case Effect::Continue: return "continue";
    case Effect::Accept: return "accept";
    case Effect::Drop: return "drop";
    case Effect::Reject: return "reject";
    case Effect::Queue: return "queue";
    case Effect::Return: return "return";
    case Effect::Jump: return "jump";
    case Effect::Goto: return "goto";
    case Effect::Unknown: return "unknown";
  }
  return "";
}

void Table::index_chains() {
  by_name.resize(chains.size());
  for (std::uint32_t i = 0; i < by_name.size(); ++i) by_name[i] = i;
  std::ranges::stable_sort(by_name, {}, [&](std::uint32_t i) -> std::string_view { return chains[i].name; });
}

const Chain* Table::find_chain(std::string_view wanted) const {
  if (by_name.size() != chains.size()) {
    const auto chain = std::ranges::find(chains, wanted, &Chain::name);
    return chain == chains.end() ? nullptr : &*chain;
  }
  const auto name_at = [&](std::uint32_t i) -> std::string_view { return chains[i].name; };
  const auto at = std::ranges::lower_bound(by_name, wanted, {}, name_at);
  return at == by_name.end() || chains[*at].name != wanted ? nullptr : &chains[*at];
}

const Table* Ruleset::find_table(std::string_view name) const {
  const auto table = std::ranges::find(tables, name, &Table::name);
  return table == tables.end() ? nullptr : &*table;
}

std::size_t Ruleset::rule_count() const {
  std::size_t count = 0;
  for (const Table& table : tables) {
    for (const Chain& chain : table.chains) count += chain.rules.size();
  }
  return count;
}

std::size_t Rulebook::rule_count() const {
  std::size_t count = 0;
  for (const Ruleset& ruleset : rulesets) count += ruleset.rule_count();
  return count;
}

const Ruleset* Rulebook::find(packet::Family family) const {
  for (const Backend backend : {Backend::Legacy, Backend::Unknown, Backend::NftCompat}) {
    if (const Ruleset* ruleset = find(family, backend)) return ruleset;
  }
  return nullptr;
}

const Ruleset* Rulebook::find(packet::Family family, Backend backend) const {
  for (const Ruleset& ruleset : rulesets) {
    if (ruleset.family == family && ruleset.backend == backend) return &ruleset;
  }
  return nullptr;
}

}  // namespace fwtrace::ruleset
