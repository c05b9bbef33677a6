#include "journey/seen.h"

namespace fwtrace::journey {
namespace {

using packet::Family;
using packet::Hook;

std::size_t version_of(Family family) { return family == Family::Ip6 ? 1 : 0; }

std::uint8_t table_bit(std::string_view table) {
  for (std::size_t i = 0; i < kLegacyTables.size(); ++i) {
    if (kLegacyTables[i] == table) return static_cast<std::uint8_t>(1U << i);
  }
  return 0;
}

std::uint8_t hook_bit(Hook hook) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(hook)); }

}  // namespace

const Seen::Host* Seen::find(base::Name name) const {
  for (const Host& host : hosts_) {
    if (host.name.is(name)) return &host;
  }
  return nullptr;
}

Seen::Host& Seen::at(base::Name name) {
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (hosts_[i].name.is(name)) {
      // A log speaks of few hosts; the one that spoke last is found first.
      if (i > 0) std::swap(hosts_[i], hosts_[0]);
      return hosts_[0];
    }
  }
  static constexpr std::size_t kMaxHosts = 4096;
  if (hosts_.size() >= kMaxHosts) hosts_.pop_back();
  hosts_.insert(hosts_.begin(), Host{});
  hosts_[0].name = name;
  return hosts_[0];
}

void Seen::see(const trace::Event& event, Hook hook) {
  Host& host = at(event.host);
  if (event.dialect == trace::Dialect::KernelLog) {
    host.tables[version_of(event.family)] |= table_bit(event.table.text());
    host.ends |= event.kind != trace::EventKind::Rule;
  } else {
    host.nft_hooks |= hook_bit(hook);
  }
}

void Seen::see(const ruleset::Rulebook& book) {
  for (const ruleset::Ruleset& ruleset : book.rulesets) {
    for (const ruleset::Table& table : ruleset.tables)
      given_[version_of(ruleset.family)] |= table_bit(table.name);
  }
}

bool Seen::table(base::Name host, Family family, std::string_view table) const {
  const Host* known = find(host);
  const std::size_t v = version_of(family);
  return ((given_[v] | (known != nullptr ? known->tables[v] : 0)) & table_bit(table)) != 0;
}

bool Seen::ends_of_chains(base::Name host) const {
  const Host* known = find(host);
  return known != nullptr && known->ends;
}

void Seen::follows(const Walk& from, const trace::Event& later) {
  static constexpr std::size_t kMaxEdges = 1024;
  if (later.chain.empty() || from.chain.empty() || edges_.size() >= kMaxEdges) return;
  for (const std::string_view name : {later.table.text(), later.chain.text()}) {
    if (name.find("nat") != std::string_view::npos || name.find("NAT") != std::string_view::npos) return;
  }
  if (follower(from) == nullptr) edges_.push_back({from, {from.family, later.table, later.chain}});
}

const Seen::Walk* Seen::follower(const Walk& from) const {
  for (const Edge& edge : edges_) {
    const bool ip = (edge.from.family == Family::Ip || edge.from.family == Family::Ip6) &&
                    (from.family == Family::Ip || from.family == Family::Ip6);
    if ((!ip || edge.from.family == from.family) && edge.from.table.is(from.table) &&
        edge.from.chain.is(from.chain))
      return &edge.to;
  }
  return nullptr;
}

bool Seen::nft_chain_at(base::Name host, Hook hook) const {
  const Host* known = find(host);
  return known != nullptr && (known->nft_hooks & hook_bit(hook)) != 0;
}

std::optional<Seen::Next> Seen::next(base::Name host, Family family, Place from, bool to_lo,
                                     bool met_nat) const {
  const auto first_at = [&](Hook hook, std::optional<int> after) -> std::optional<Place> {
    std::optional<Place> best;
    int best_priority = 0;
    for (const std::string_view name : kLegacyTables) {
      const auto priority = packet::legacy_priority(name, hook);
      if (!priority || (name == "nat" && !(met_nat && hook == Hook::Postrouting)) ||
          (after && *priority <= *after) || !table(host, family, name))
        continue;
      if (!best || *priority < best_priority) {
        best = Place{hook, name};
        best_priority = *priority;
      }
    }
    return best;
  };
  const auto priority = packet::legacy_priority(from.table, from.hook);
  if (priority) {
    if (const auto place = first_at(from.hook, priority)) return Next{*place, false};
  }
  switch (from.hook) {
    case Hook::Prerouting:
      if (const auto place = first_at(Hook::Input, std::nullopt)) return Next{*place, true};
      return std::nullopt;
    case Hook::Forward:
    case Hook::Output:
      if (const auto place = first_at(Hook::Postrouting, std::nullopt)) return Next{*place, false};
      if (!to_lo) return std::nullopt;
      [[fallthrough]];
    case Hook::Postrouting:
      if (to_lo) {
        if (const auto place = first_at(Hook::Prerouting, std::nullopt)) return Next{*place, false};
      }
      return std::nullopt;
    default: return std::nullopt;
  }
}

}  // namespace fwtrace::journey
