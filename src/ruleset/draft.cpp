#include "ruleset/draft.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace fwtrace::ruleset {

bool is_table_name(std::string_view name) {
  constexpr std::array<std::string_view, 5> kTables = {"filter", "nat", "mangle", "raw", "security"};
  return std::ranges::find(kTables, name) != kTables.end();
}

bool has_chain_at(std::string_view table, packet::Hook hook) {
  return packet::legacy_priority(table, hook).has_value();
}

std::uint32_t Draft::chain(std::string_view name, const base::Place& chain_place, bool declares) {
  std::uint32_t position = last_;
  if (chains_.empty() || chains_[last_].chain.name != name) {
    const auto known = positions_.find(name);
    if (known != positions_.end()) {
      position = known->second;
    } else {
      position = static_cast<std::uint32_t>(chains_.size());
      State& state = chains_.emplace_back();
      state.chain.name = name;
      state.chain.hook = packet::hook_of_chain(name);
      state.chain.place = chain_place;
      state.chain.declared = declares;
      positions_.emplace(name, position);
    }
    last_ = position;
  }
  State& state = chains_[position];
  if (declares && !state.chain.declared) {
    state.chain.declared = true;
    state.chain.place = chain_place;
  }
  state.removed = false;
  return position;
}

const Rule* Draft::any_rule() const {
  for (const State& state : chains_) {
    if (!state.chain.rules.empty()) return &state.chain.rules.front();
    if (!state.inserted_first.empty()) return &state.inserted_first.back();
  }
  return nullptr;
}

void Draft::append(std::uint32_t position, Rule rule) {
  std::vector<Rule>& rules = chains_[position].chain.rules;
  if (rule.number == 0) rule.number = rules.empty() ? 1 : rules.back().number + 1;
  rules.push_back(std::move(rule));
}

void Draft::join_inserted(State& state) {
  if (state.inserted_first.empty()) return;
  std::ranges::reverse(state.inserted_first);
  std::ranges::move(state.chain.rules, std::back_inserter(state.inserted_first));
  state.chain.rules = std::exchange(state.inserted_first, {});
}

bool Draft::insert(std::uint32_t position, std::uint32_t number, Rule rule) {
  State& state = chains_[position];
  state.renumber = true;
  if (number <= 1) {
    state.inserted_first.push_back(std::move(rule));
    return true;
  }
  if (!spend(state.chain.rules.size() + state.inserted_first.size())) return false;
  join_inserted(state);
  std::vector<Rule>& rules = state.chain.rules;
  const std::size_t at = std::min<std::size_t>(number - 1, rules.size());
  rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(at), std::move(rule));
  return true;
}

bool Draft::erase(std::uint32_t position, std::uint32_t number) {
  State& state = chains_[position];
  if (!spend(state.chain.rules.size() + state.inserted_first.size())) return false;
  join_inserted(state);
  if (number == 0 || number > state.chain.rules.size()) return false;
  state.chain.rules.erase(state.chain.rules.begin() + static_cast<std::ptrdiff_t>(number) - 1);
  state.renumber = true;
  return true;
}

// "-I INPUT 2 -p icmp -j ACCEPT" → "-p icmp -j ACCEPT"
static std::string_view behind_chain(std::string_view text) {
  for (int word = 0; word < 2; ++word)
    text = base::trim(text.substr(std::min(text.find_first_of(" \t"), text.size())));
  if (!text.empty() && base::is_digit(text[0]))
    text = base::trim(text.substr(std::min(text.find_first_of(" \t"), text.size())));
  return text;
}

bool Draft::erase(std::uint32_t position, std::string_view text) {
  State& state = chains_[position];
  if (!spend(2 * (state.chain.rules.size() + state.inserted_first.size()))) return false;
  join_inserted(state);
  const std::string_view wanted = behind_chain(text);
  for (std::uint32_t i = 0; i < state.chain.rules.size(); ++i) {
    if (behind_chain(state.chain.rules[i].text) == wanted) return erase(position, i + 1);
  }
  return false;
}

bool Draft::replace(std::uint32_t position, std::uint32_t number, Rule rule) {
  State& state = chains_[position];
  if (!state.inserted_first.empty() && !spend(state.chain.rules.size() + state.inserted_first.size()))
    return false;
  join_inserted(state);
  if (number == 0 || number > state.chain.rules.size()) return false;
  state.chain.rules[number - 1] = std::move(rule);
  state.renumber = true;
  return true;
}

void Draft::flush(std::uint32_t position) {
  chains_[position].chain.rules.clear();
  chains_[position].inserted_first.clear();
}

void Draft::flush_all() {
  for (std::uint32_t i = 0; i < chains_.size(); ++i) flush(i);
}

void Draft::remove(std::uint32_t position) {
  State& state = chains_[position];
  if (state.chain.hook == packet::Hook::None && state.chain.rules.empty() && state.inserted_first.empty())
    state.removed = true;
}

void Draft::remove_empty() {
  for (std::uint32_t i = 0; i < chains_.size(); ++i) remove(i);
}

std::vector<Chain> Draft::take_chains() {
  std::vector<Chain> out;
  out.reserve(chains_.size());
  for (State& state : chains_) {
    if (state.removed) continue;
    join_inserted(state);
    if (state.renumber) {
      for (std::uint32_t number = 0; Rule & rule : state.chain.rules) rule.number = ++number;
    }
    out.push_back(std::move(state.chain));
  }
  chains_.clear();
  positions_.clear();
  last_ = 0;
  return out;
}

}  // namespace fwtrace::ruleset
