// Journeys made by hand, for the tests of the reports: what group, join and decide would have made of a log.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "journey/journey.h"
#include "journey/summary.h"

namespace fwtrace::report {

class JourneyMaker {
 public:
  journey::Journey journey;
  base::Sources sources;

  JourneyMaker() {
    source_ = sources.add("kern.log");
    journey.serial = 1;
    journey.family = packet::Family::Ip;
  }

  base::Name name(std::string_view text) { return names_.intern(text); }

  const ruleset::Rule* rule(std::uint32_t number, std::string text, std::string target,
                            ruleset::Effect effect) {
    ruleset::Rule& made = rules_.emplace_back();
    made.number = number;
    made.text = std::move(text);
    made.target = std::move(target);
    made.effect = effect;
    return &made;
  }

  // The first form; later ones are copies of the last one for the caller to change.
  packet::Packet& form() {
    if (!journey.forms.empty()) {
      journey.forms.push_back(journey.forms.back());
      return journey.forms.back();
    }
    packet::Packet& packet = journey.forms.emplace_back();
    packet.in = name("em1");
    packet.source = *packet::parse_ip("10.36.7.11");
    packet.destination = *packet::parse_ip("10.32.105.30");
    packet.length = 60;
    packet.ttl = 59;
    packet.protocol = packet::proto::kTcp;
    packet.ports = {54451, 80};
    packet::Tcp tcp;
    tcp.seq = 135659756;
    tcp.ack_seq = 0;
    tcp.window = 64240;
    tcp.flags = packet::kSyn;
    packet.transport = tcp;
    return packet;
  }

  journey::Step& step(packet::Hook hook, std::string_view table, std::string_view chain, std::uint16_t depth,
                      journey::Did did, std::uint32_t number, const ruleset::Rule* of = nullptr) {
    using journey::Did;
    journey::Step& made = journey.steps.emplace_back();
    made.hook = hook;
    made.family = packet::Family::Ip;
    made.table = name(table);
    made.chain = name(chain);
    made.depth = depth;
    made.did = did;
    made.number = number;
    made.rule = of;
    made.kind = did == Did::ChainEnd ? trace::EventKind::Return
                : did == Did::PolicyAccept || did == Did::PolicyDrop || did == Did::PolicyUnknown
                    ? trace::EventKind::Policy
                    : trace::EventKind::Rule;
    made.form = journey.forms.empty() ? 0 : static_cast<std::uint32_t>(journey.forms.size() - 1);
    made.place = {source_, static_cast<std::uint32_t>(journey.steps.size() + 6), 0};
    made.time.uptime_us = 1'153'695'590 + 6 * static_cast<std::int64_t>(journey.steps.size());
    return made;
  }

  std::uint32_t last() const { return static_cast<std::uint32_t>(journey.steps.size() - 1); }

 private:
  base::Names names_;
  std::deque<ruleset::Rule> rules_;
  std::uint32_t source_ = 0;
};

// The SYN of the demo: sent to a virtual machine by DNAT, then rejected by filter FORWARD rule 7.
inline void make_rejected(JourneyMaker& m) {
  using journey::Did;
  using packet::Hook;
  using ruleset::Effect;
  const auto* jump = m.rule(1, "-A PREROUTING -j PRE_public", "PRE_public", Effect::Jump);
  const auto* dnat =
      m.rule(1, "-A PREROUTING_direct -d 10.32.105.30/32 -p tcp -j DNAT --to-destination 192.168.101.10:80",
             "DNAT", Effect::Accept);
  const auto* reject = m.rule(7, "-A FORWARD -o virbr1 -j REJECT --reject-with icmp-port-unreachable",
                              "REJECT", Effect::Reject);
  m.form();
  m.step(Hook::Prerouting, "raw", "PREROUTING", 0, Did::PolicyAccept, 3);
  m.step(Hook::Prerouting, "mangle", "PREROUTING", 0, Did::Jump, 1, jump).target_chain = m.name("PRE_public");
  m.step(Hook::Prerouting, "mangle", "PRE_public", 1, Did::Jump, 3).target_chain = m.name("PRE_public_allow");
  m.step(Hook::Prerouting, "mangle", "PRE_public_allow", 2, Did::ChainEnd, 1);
  m.step(Hook::Prerouting, "mangle", "PRE_public", 1, Did::ChainEnd, 4);
  m.step(Hook::Prerouting, "mangle", "PREROUTING", 0, Did::PolicyAccept, 4);
  m.step(Hook::Prerouting, "nat", "PREROUTING", 0, Did::Jump, 1).target_chain = m.name("PREROUTING_direct");
  m.step(Hook::Prerouting, "nat", "PREROUTING_direct", 1, Did::Accept, 1, dnat);
  journey::Rewrite rewrite;
  rewrite.destination = true;
  rewrite.to_form = 1;
  rewrite.after_step = rewrite.by_step = m.last();
  rewrite.by_known = true;
  m.journey.rewrites.push_back(rewrite);
  packet::Packet& routed = m.form();
  routed.out = m.name("virbr1");
  routed.destination = *packet::parse_ip("192.168.101.10");
  routed.ttl = 58;
  m.step(Hook::Forward, "mangle", "FORWARD", 0, Did::Jump, 1).target_chain = m.name("FORWARD_direct");
  m.step(Hook::Forward, "mangle", "FORWARD_direct", 1, Did::ChainEnd, 1);
  m.step(Hook::Forward, "mangle", "FORWARD", 0, Did::PolicyAccept, 2);
  m.step(Hook::Forward, "filter", "FORWARD", 0, Did::Reject, 7, reject);
  m.journey.outcome.kind = journey::OutcomeKind::Rejected;
  m.journey.outcome.step = m.last();
  m.journey.outcome.because = "rejects everything that goes out virbr1 and was not accepted by rules 1 to 6";
}

}  // namespace fwtrace::report
