// The places where a packet meets the firewall, and what can be said to it there: families, hooks, verdicts.
// Words are the kernel's own (include/uapi/linux/netfilter.h, nf_tables.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fwtrace::packet {

// The family of a table or chain. Values are the kernel's NFPROTO_*.
enum class Family : std::uint8_t { None = 0, Inet = 1, Ip = 2, Arp = 3, Netdev = 5, Bridge = 7, Ip6 = 10 };
std::string_view to_text(Family family);                    // "inet", "ip", …, "" for None
std::optional<Family> parse_family(std::string_view text);  // nft's words: ip ip6 inet arp bridge netdev

// Where in the packet's way a base chain is attached.
enum class Hook : std::uint8_t { None, Ingress, Prerouting, Input, Forward, Output, Postrouting, Egress };
std::string_view to_text(Hook hook);                    // nft's words: "prerouting" …, "" for None
std::optional<Hook> parse_hook(std::string_view text);  // either case: "PREROUTING", "prerouting"

// What a rule, a chain's end or a policy said. Values carry no meaning; see trace/ for wire values.
enum class Verdict : std::uint8_t {
  None,  // not said (a legacy log line never says it)
  Accept,
  Drop,
  Stolen,
  Queue,
  Repeat,
  Continue,
  Break,
  Jump,
  Goto,
  Return,
};
std::string_view to_text(Verdict verdict);  // nft's words, "" for None
std::optional<Verdict> parse_verdict(std::string_view text);

// Where a legacy or iptables-nft base chain is attached, by its fixed name ("FORWARD"); None for user chains.
Hook hook_of_chain(std::string_view chain);

// The order in which legacy tables are met at a hook (kernel: enum nf_ip_hook_priorities): raw -300,
// mangle -150, nat -100 (prerouting, output) or 100 (input, postrouting), filter 0, security 50.
// Nothing for a table iptables does not have, or one that has no chain at that hook.
std::optional<int> legacy_priority(std::string_view table, Hook hook);

// Is it one of the tables that iptables has: raw, mangle, nat, filter, security?
bool is_iptables_table(std::string_view table);

}  // namespace fwtrace::packet
