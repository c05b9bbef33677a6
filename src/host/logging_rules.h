// Rules of the user's that trace or log: -j TRACE, -j LOG, -j NFLOG to group 0, `meta nftrace set 1`, nft's `log`. They
// were there before us, and what they write stands between our events, in the kernel log, or on group 0.
//
// Found in the text of the -save commands and of `nft -t -a list ruleset`; no kernel is asked here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::host {

struct LoggingRule {
  enum class Kind : std::uint8_t {
    Trace,   // sets the bit that we set too: its packets are traced as ours are
    Log,     // writes a line into the kernel log
    Group0,  // sends packets to NFLOG group 0, where our own listener is
  };
  Kind kind = Kind::Trace;
  std::string tool;    // "iptables-legacy", "ip6tables-nft", "nft"
  std::string family;  // "ip", "ip6", "inet" …
  std::string table, chain;
  std::uint32_t number = 0;  // position in its chain, counted from 1
  std::uint64_t handle = 0;  // nft's; 0 = not known
  std::string text;          // in its owner's words
  bool operator==(const LoggingRule&) const = default;
  // The command that removes it: "iptables-legacy -t raw -D PREROUTING -p icmp -j TRACE".
  std::string removal() const;
};

// A flowtable of nft: connections in it pass no hook but ingress.
struct Flowtable {
  std::string family, table, name;
  std::string devices = {};  // "eth0, eth1"
  bool offload = false;      // to the network card
  bool operator==(const Flowtable&) const = default;
};

struct SavedRules {
  std::vector<LoggingRule> logging;
  std::vector<Flowtable> flowtables;
  std::uint64_t rules = 0;          // all of them
  std::vector<std::string> tables;  // "ip filter"
};

// What `tool` ("iptables-legacy", …: the program for -D) prints as its -save.
SavedRules find_in_save(std::string_view text, const std::string& tool, const std::string& family);
// `nft -t -a list ruleset`. Tables in `elsewhere` ("ip filter") are shown in the words of iptables-nft already, and our
// own tables are none of the user's: both are left out.
SavedRules find_in_nft(std::string_view text, const std::vector<std::string>& elsewhere);

}  // namespace fwtrace::host
