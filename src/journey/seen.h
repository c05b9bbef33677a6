// What a log has shown of the firewall so far: which tables and chains speak, and at which hooks.
//
// A legacy table that is registered in a namespace is met by every packet at each of its hooks, and a traced
// packet logs at least its policy there. So once a table has been seen, its silence is evidence: the packet did
// not get that far. (nat is the exception: only packets that begin a connection meet it.)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/names.h"
#include "packet/netfilter.h"
#include "ruleset/model.h"
#include "trace/event.h"

namespace fwtrace::journey {

// The tables iptables has, in the order in which PREROUTING meets them.
inline constexpr std::array<std::string_view, 5> kLegacyTables = {"raw", "mangle", "nat", "filter",
                                                                  "security"};

class Seen {
 public:
  void see(const trace::Event& event, packet::Hook hook);
  // Tables that a given ruleset holds count as seen for every host.
  void see(const ruleset::Rulebook& book);

  bool table(base::Name host, packet::Family family, std::string_view table) const;
  // Did this log print "policy" and "return" lines at all? Some are filtered to rule lines.
  bool ends_of_chains(base::Name host) const;
  // nft: a packet went on from a step's base chain to this event's, so the former is not the last one.
  struct Walk {
    packet::Family family = packet::Family::None;  // of the packet
    base::Name table, chain;
    bool operator==(const Walk&) const = default;
  };
  void follows(const Walk& from, const trace::Event& later);
  // A chain that packets have been seen to go on to from this one, other than nat (which only new ones meet).
  const Walk* follower(const Walk& from) const;
  // Has any base chain of nft been seen at that hook?
  bool nft_chain_at(base::Name host, packet::Hook hook) const;

  struct Place {
    packet::Hook hook = packet::Hook::None;
    std::string_view table;
  };
  // Where a packet that passed (hook, table) must be logged next if nothing stops it; nothing if nowhere.
  // nat counts only for a packet that has met it (`met_nat`), and there only behind routing, at postrouting.
  // After prerouting that is input or forward; `hook` then says Input, and `either` is set.
  struct Next {
    Place place;
    bool either = false;
  };
  std::optional<Next> next(base::Name host, packet::Family family, Place from, bool to_lo,
                           bool met_nat) const;

 private:
  struct Host {
    base::Name name;
    std::array<std::uint8_t, 2> tables{};  // bit per kLegacyTables; [0] IPv4, [1] IPv6
    std::uint8_t nft_hooks = 0;            // bit per Hook
    bool ends = false;
  };
  const Host* find(base::Name name) const;
  Host& at(base::Name name);
  struct Edge {
    Walk from, to;
  };
  std::vector<Edge> edges_;  // one for each chain, at most kMaxEdges
  std::vector<Host> hosts_;
  std::array<std::uint8_t, 2> given_{};
};

}  // namespace fwtrace::journey
