// What a firewall is: rulesets of tables of chains of rules.
//
// This is the part that reading a trace needs: a rule's number, its own text, its target, and whether it has any
// condition. What the conditions mean is analysis/lower's business and not known here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/place.h"
#include "packet/netfilter.h"

namespace fwtrace::ruleset {

// Who holds the rules in the kernel.
enum class Backend : std::uint8_t {
  Unknown,    // the text does not say
  Legacy,     // iptables-legacy (x_tables)
  NftCompat,  // iptables-nft: nft rules written by iptables
  Nft,        // native nft
};
std::string_view to_text(Backend backend);  // "iptables-legacy", "iptables-nft", "nft", "unknown"

struct Counters {
  std::uint64_t packets = 0, bytes = 0;
  bool operator==(const Counters&) const = default;
};

// What happens to a packet that matches a rule, as far as the target's name alone decides it.
enum class Effect : std::uint8_t {
  Continue,  // no target, or one that goes on to the next rule: LOG, MARK, CONNMARK, CT, TEE, TRACE …
  Accept,    // ACCEPT, and the NAT targets, which end the walk of their table
  Drop,      // DROP
  Reject,    // REJECT, TARPIT: dropped, and somebody is told (or held)
  Queue,     // NFQUEUE, QUEUE: user space decides
  Return,    // RETURN
  Jump,      // -j CHAIN
  Goto,      // -g CHAIN
  Unknown,   // a target we have no row for: may end the walk or not
};
std::string_view to_text(Effect effect);

// The row of an extension target ("MASQUERADE" → Accept). Unknown for names without a row. Chains come first:
// whoever asks must have looked whether a chain of that name exists.
Effect effect_of_target(std::string_view target);
// Does the target rewrite addresses or ports: DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP …
bool is_nat_target(std::string_view target);

struct Rule {
  std::uint32_t number = 0;  // position in its chain, counted from 1
  std::uint64_t handle = 0;  // nft handle; 0 = not known
  std::string text;          // in its owner's words: "-A FORWARD -o virbr1 -j REJECT --reject-with …"
  std::string target;        // "REJECT", a chain's name, or "" for none
  Effect effect = Effect::Continue;
  // Has it any match, address, interface or protocol condition? Nothing: the text does not say (iptables -L
  // without -v hides interfaces). Decides how the kernel's trace names it (ip_tables.c get_chainname_rulenum).
  std::optional<bool> conditional;
  std::optional<Counters> counters;
  std::string comment;
  base::Place place;
  bool operator==(const Rule&) const = default;
};

struct Chain {
  std::string name;
  packet::Hook hook = packet::Hook::None;          // None: a user chain
  packet::Verdict policy = packet::Verdict::None;  // base chains: Accept or Drop; None = not known
  std::string type;                                // nft base chains: "filter", "nat", "route"; else ""
  std::optional<std::int32_t> priority;            // nft base chains; named ones ("dstnat") as numbers
  std::uint64_t handle = 0;                        // nft; 0 = not known
  std::optional<Counters> counters;
  std::vector<Rule> rules;
  base::Place place;
  bool declared = true;  // false: only rules of it were seen, no chain line
  bool operator==(const Chain&) const = default;
};

struct Table {
  std::string name;
  std::uint64_t handle = 0;  // nft; 0 = not known
  bool dormant = false;      // nft: "flags dormant": its base chains are attached nowhere
  std::vector<Chain> chains;
  base::Place place;
  // Positions in `chains`, sorted by name: what find_chain searches once index_chains() was called. A table whose
  // chains were added or removed since is searched one by one.
  std::vector<std::uint32_t> by_name;
  void index_chains();
  const Chain* find_chain(std::string_view name) const;
  bool operator==(const Table&) const = default;
};

// The tables of one family and one backend, from one or several files.
struct Ruleset {
  packet::Family family = packet::Family::Ip;  // Ip or Ip6; nft: any
  bool family_said = false;                    // the text said so; else it is a guess from its content
  Backend backend = Backend::Unknown;
  std::vector<Table> tables;
  const Table* find_table(std::string_view name) const;
  std::size_t rule_count() const;
  bool operator==(const Ruleset&) const = default;
};

// Everything a user gave us as rules: at most one Ruleset for each (family, backend).
struct Rulebook {
  std::vector<Ruleset> rulesets;
  bool empty() const { return rulesets.empty(); }
  std::size_t rule_count() const;
  // The ruleset a legacy TRACE line of that family speaks of: Legacy before Unknown before NftCompat. Never native
  // nft rules: they have no numbers in such lines.
  const Ruleset* find(packet::Family family) const;
  const Ruleset* find(packet::Family family, Backend backend) const;
};

}  // namespace fwtrace::ruleset
