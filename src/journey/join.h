// Joining: each step is given the rule it speaks of, and what it did (Did) is read.
//
// A legacy line says "rule", "return" or "policy" by the look of the entry, not by its meaning (ip_tables.c
// get_chainname_rulenum): an unconditional -j DROP in a user chain prints "return:N", an unconditional -j ACCEPT
// in a built-in chain prints "policy:N". Only the chain's length and the rule decide:
//
//   line         N <= rules                                   N == rules + 1          N > rules + 1
//   rule:N       rule N matched                               the ruleset does not fit
//   return:N     rule N: unconditional ACCEPT, DROP, RETURN   implicit return         does not fit
//   policy:N     rule N: unconditional ACCEPT, DROP, RETURN   the chain's policy      does not fit
//
// Without a ruleset what follows a step may still tell (the next line is in a chain it can only have jumped to;
// in the next table, so it was accepted); where that does not decide either, Did stays Unknown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "journey/journey.h"
#include "ruleset/model.h"

namespace fwtrace::journey {

class Joiner {
 public:
  // `complain` is told where trace and ruleset do not fit, at most once for each chain and reason.
  using Complain = std::function<void(base::Diagnostic)>;
  Joiner(const ruleset::Rulebook& book, Complain complain) : book_(book), complain_(std::move(complain)) {}

  void join(Journey& journey);
  bool has_rules_for(const Journey& journey) const { return book_.find(journey.family) != nullptr; }
  // Did any step of the last journey not fit its rule?
  bool misfit() const { return misfit_; }

 private:
  struct Place {
    const ruleset::Table* table = nullptr;
    const ruleset::Chain* chain = nullptr;
  };
  Place find(const ruleset::Ruleset& ruleset, const Step& step);
  void read_legacy(Journey& journey, std::size_t i);
  void read_nft(Step& step);
  void find_nft_rule(Step& step, const Journey& journey);
  void infer(Journey& journey, std::size_t i);
  void check_next(const Journey& journey, std::size_t i);
  void remove_imitations(Journey& journey);
  void find_rewrites(Journey& journey);
  void does_not_fit(const Step& step, std::string_view reason, std::string message);

  const ruleset::Rulebook& book_;
  Complain complain_;
  bool misfit_ = false;
  struct Key {
    const void* table;
    const void* chain;
    const ruleset::Ruleset* ruleset;
    bool operator==(const Key&) const = default;
  };
  // What a rule, a policy or a chain's end was seen to do to some packet, it does to all: for the steps of other
  // packets behind which the record ends.
  struct Entry {
    const void* host;
    const void* table;
    const void* chain;
    std::uint64_t number_kind_family;
    bool operator==(const Entry&) const = default;
  };
  struct Known {
    Entry entry{};
    Did did = Did::Unknown;
  };
  static Entry entry_of(const Journey& journey, const Step& step);
  Known& known_at(const Entry& entry);
  // Few slots for each hash: this is asked for every step, and a forgotten entry costs an open verdict at most.
  std::vector<Known> seen_to_do_ = std::vector<Known>(1U << 14);
  struct KeyHash {
    std::size_t operator()(const Key& key) const;
  };
  std::unordered_map<Key, Place, KeyHash> places_;
  std::unordered_map<std::string, bool> told_;
};

}  // namespace fwtrace::journey
