// What is armed: the chains of our own nft table, worked out from the user's FILTER; no kernel is asked here.
//
//   prerouting INT_MIN+1 "first"           every packet that enters, but not the later fragments of a datagram
//   prerouting -350      "fragments"       the later fragments, where no one has reassembled them (defrag is -400)
//   output     INT_MIN+1 "sent"            what this machine sends
//   prerouting -199      "original"        replies that only conntrack knows, where conntrack is on
//   output     -199      "original-sent"   the same of what this machine sends
//   …                    markers           one unconditional `accept` each: "a traced packet was here, and looked so"
//
// Each packet is decided on once. nftrace can be set but not read, so two chains that match the same packet would
// spend the rate limit twice. "first" and "fragments" share no packet: a later fragment that is still alone at -350
// was not reassembled, and one that was reassembled carries the bit of its first fragment, decided on at "first".
// What comes in by `lo` was decided on at "sent"; what comes from a bridge device, in the bridge table, if armed.
//
// Replies through NAT. The mirrored filter finds a reply only if nobody translated the request. Where conntrack is
// on (ArmingWish::conntrack; a `ct` expression would switch it on, so nowhere else):
// - "left" and "delivered", behind every chain, see the request's last form. If its flow was translated and its
//   original tuple fits the filter, they put the tuple that the reply will have into the sets `learned4` and
//   `learned6`, and "first" and "sent" arm what is in them: replies are armed before raw, the first SYN-ACK included.
//   The kernel does it by itself, in the packet's path: adding elements from here would be a change of the ruleset for
//   every connection, and would come too late for the first reply.
// - "original" arms the rest by conntrack's original tuple: flows whose request went by before we came, ICMP echo, ICMP
//   errors. Such a journey begins behind raw: its chain is "start-original".
// "original" first asks again what "first" asked (the headers are the same there: defragmentation joins them, NAT
// comes later) and passes by whatever was decided on there, armed or over the rate. Stateless NAT in raw could make
// the two answers differ; the packet then spends the rate twice, or is missed.
// While such rules are in, they hold conntrack on: if the last other user of it goes meanwhile, it stays on until we
// end. Where it is on for one IP version only, there is a table of family ip and one of family ip6 instead of inet, for
// a `ct` expression in inet holds it on for both.
//
// A condition can be tested here only if it is about the packet's first form. A positive condition that may hold
// later (-o before routing, a mark, an address behind NAT) is left out and told in `wider`; a negated one must hold
// for every form, so testing it on the first form is right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "packet/address.h"
#include "packet/filter.h"
#include "packet/netfilter.h"

namespace fwtrace::host {

// One comparison of one field. Which members are used depends on the field.
struct Test {
  enum class Field : std::uint8_t {
    Version,   // version
    Protocol,  // low
    Source,
    Destination,  // prefix; implies the version
    SourcePort,
    DestinationPort,  // low to high
    InName,
    OutName,  // name, name_prefix
    InKind,   // name: "bridge"
    IcmpType,
    IcmpCode,              // low to high
    Mark,                  // (mark & high) == low
    LaterFragment,         // version: a fragment that does not begin its datagram
    AuthenticationHeader,  // IPv6, which calls it an extension
    // The same of the packet that an ICMP error quotes; IPv4 without options.
    InnerProtocol,
    InnerSource,
    InnerDestination,
    InnerSourcePort,
    InnerDestinationPort,
    // What conntrack says of the packet's flow. Source to DestinationPort are of the original direction.
    CtDirection,   // low: 0 original, 1 reply
    CtTranslated,  // SNAT or DNAT was done to it
    CtProtocol,    // low
    CtSource,
    CtDestination,
    CtSourcePort,
    CtDestinationPort,  // of ICMP: type << 8 | code
    Learned,            // version: the packet's tuple is in our set of that version
  };
  Field field = Field::Version;
  packet::IpVersion version = packet::IpVersion::None;
  packet::IpPrefix prefix = {};
  std::uint32_t low = 0, high = 0;
  std::string name = {};
  bool name_prefix = false;
  bool operator==(const Test&) const = default;
};

struct ArmingRule {
  enum class End : std::uint8_t {
    Accept,
    Return,
    Jump,
    Arm,    // goto the chain that spends the rate limit
    Learn,  // put the tuple of the packet's reply into the set of the version in `tests`; then Accept
  };
  std::vector<Test> tests = {};  // all must hold
  End end = End::Accept;
  std::string target = {};  // of Jump and Arm
  bool needs_conntrack() const;
  bool operator==(const ArmingRule&) const = default;
};

struct ArmingChain {
  std::string name;
  packet::Hook hook = packet::Hook::None;  // None: a chain to jump to
  std::int32_t priority = 0;
  bool arms = false;  // it is a target of End::Arm: alive? rate? count, set nftrace, accept
  std::vector<ArmingRule> rules = {};
};

struct ArmingTable {
  packet::Family family = packet::Family::Inet;
  std::vector<ArmingChain> chains = {};  // a chain stands before those that jump to it
  bool learns = false;                   // it has the sets `learned4` and `learned6`
};

// One TCP connection that must never be traced: the one the user types in.
struct Connection {
  packet::IpAddress local, remote;
  std::uint16_t local_port = 0, remote_port = 0;
  bool operator==(const Connection&) const = default;
};

// Where connection tracking is on in this namespace (host/conntrack.h finds out).
struct Conntrack {
  bool v4 = false, v6 = false;
  bool operator==(const Conntrack&) const = default;
};

struct ArmingWish {
  packet::Filter filter;
  bool replies = true;  // the mirrored tuple too, and ICMP errors about such packets
  bool bridge = false;  // arm in a second table of family bridge as well
  std::vector<Connection> excluded;
  // Indices of conditions (addresses, ports) that may hold only after NAT: not tested when arming.
  std::vector<std::size_t> after_nat;
  Conntrack conntrack = {};
};

struct ArmingPlan {
  std::vector<ArmingTable> tables;
  std::vector<std::string> wider;     // conditions left out: "-o virbr1 (decided by routing)"
  std::vector<std::string> narrower;  // what is not armed: "replies: nothing tells them from other packets"
  bool everything = false;            // nothing is tested: every packet is armed, within the rate limit
  bool nothing = false;               // the conditions contradict each other: -4 -s fd00::1
};

ArmingPlan plan_arming(const ArmingWish& wish);

// "ip saddr 10.0.0.0/8 meta l4proto 6 goto start": for tests and -v; nearly nft's words.
std::string print_rule(const ArmingRule& rule);

}  // namespace fwtrace::host
