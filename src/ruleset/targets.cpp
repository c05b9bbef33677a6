// The extension targets of iptables and xtables-addons, one row each: what becomes of the packet.
//
// A row says what the target's kernel function returns. XT_CONTINUE is Continue; NF_ACCEPT ends the walk of this
// table only, so the NAT targets are Accept. A target that returns one thing or another depending on what we do
// not see (a listening socket, a cluster node's hash, a TCP handshake) is Unknown, with the reason beside it:
// saying Accept for TPROXY would be a guess.
#include <algorithm>
#include <array>

#include "ruleset/model.h"

namespace fwtrace::ruleset {
namespace {

struct TargetRow {
  std::string_view name;
  Effect effect;
  bool nat = false;
};

// Sorted by name (checked below); searched by halves.
constexpr auto kTargets = std::to_array<TargetRow>({
    {"ACCEPT", Effect::Accept},
    {"ACCOUNT", Effect::Continue},  // xtables-addons
    {"AUDIT", Effect::Continue},
    {"BALANCE", Effect::Accept, true},  // patch-o-matic, before 2.6
    {"CHAOS", Effect::Reject},          // xtables-addons: TARPIT, DELUDE or REJECT by chance, always NF_DROP
    {"CHECKSUM", Effect::Continue},
    {"CLASSIFY", Effect::Continue},
    {"CLUSTERIP", Effect::Unknown},  // clusterip_tg: NF_DROP on the nodes that are not responsible
    {"CONNMARK", Effect::Continue},
    {"CONNSECMARK", Effect::Continue},
    {"CT", Effect::Continue},
    {"DELUDE", Effect::Reject},     // xtables-addons: answers SYN with SYN-ACK, then NF_DROP
    {"DHCPMAC", Effect::Continue},  // xtables-addons
    {"DNAT", Effect::Accept, true},
    {"DNETMAP", Effect::Accept, true},  // xtables-addons
    {"DNPT", Effect::Continue, true},   // ip6t_NPT.c: stateless, goes on
    {"DROP", Effect::Drop},
    {"DSCP", Effect::Continue},
    {"ECHO", Effect::Reject},  // xtables-addons: sends the packet back, then NF_DROP
    {"ECN", Effect::Continue},
    {"FLOWOFFLOAD", Effect::Continue},  // OpenWrt
    {"FULLCONENAT", Effect::Accept, true},
    {"HL", Effect::Continue},
    {"HMARK", Effect::Continue},
    {"IDLETIMER", Effect::Continue},
    {"IMQ", Effect::Continue},
    {"IPMARK", Effect::Continue},  // xtables-addons
    {"LED", Effect::Continue},
    {"LOG", Effect::Continue},
    {"LOGMARK", Effect::Continue},  // xtables-addons
    {"MARK", Effect::Continue},
    {"MASQUERADE", Effect::Accept, true},
    {"MIRROR", Effect::Drop},  // removed in 2.6: swaps addresses and sends back, NF_DROP
    {"NETMAP", Effect::Accept, true},
    {"NFLOG", Effect::Continue},
    {"NFQUEUE", Effect::Queue},
    {"NOTRACK", Effect::Continue},
    {"QUEUE", Effect::Queue},
    {"RATEEST", Effect::Continue},
    {"RAWDNAT", Effect::Continue, true},  // xtables-addons: stateless, goes on
    {"RAWSNAT", Effect::Continue, true},
    {"REDIRECT", Effect::Accept, true},
    {"REJECT", Effect::Reject},
    {"RETURN", Effect::Return},
    {"SAME", Effect::Accept, true},  // removed in 2.6.24
    {"SECMARK", Effect::Continue},
    {"SET", Effect::Continue},
    {"SNAT", Effect::Accept, true},
    {"SNPT", Effect::Continue, true},
    {"STEAL", Effect::Drop},        // xtables-addons
    {"SYNPROXY", Effect::Unknown},  // synproxy_tg4: takes SYN and ACK of a handshake, lets the rest go on
    {"SYSRQ", Effect::Unknown},     // xtables-addons: NF_ACCEPT or NF_DROP by whether it is a request
    {"TARPIT", Effect::Reject},     // xtables-addons: holds the connection, NF_DROP
    {"TCPMSS", Effect::Continue},
    {"TCPOPTSTRIP", Effect::Continue},
    {"TEE", Effect::Continue},
    {"TOS", Effect::Continue},
    {"TPROXY", Effect::Unknown},  // tproxy_tg4: NF_ACCEPT if a socket listens, else NF_DROP
    {"TRACE", Effect::Continue},
    {"TTL", Effect::Continue},
    {"ULOG", Effect::Continue},
});
static_assert(std::ranges::is_sorted(kTargets, {}, &TargetRow::name));

const TargetRow* find_target(std::string_view name) {
  const auto row = std::ranges::lower_bound(kTargets, name, {}, &TargetRow::name);
  return row == kTargets.end() || row->name != name ? nullptr : &*row;
}

}  // namespace

Effect effect_of_target(std::string_view target) {
  const TargetRow* row = find_target(target);
  return row ? row->effect : Effect::Unknown;
}

bool is_nat_target(std::string_view target) {
  const TargetRow* row = find_target(target);
  return row && row->nat;
}

}  // namespace fwtrace::ruleset
