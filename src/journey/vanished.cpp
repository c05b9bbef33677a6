#include "journey/vanished.h"

#include <algorithm>
#include <string>

namespace fwtrace::journey {
namespace {

using packet::Hook;

// Was it seen where DNAT is done and routing comes next?
bool behind_nat(const Journey& journey) {
  return std::ranges::any_of(journey.steps, [](const Step& step) {
    return step.marker == trace::Marker::Passing && step.chain.text() == "after-dnat";
  });
}

std::string place_of(const Step& step) {
  if (step.marker) {
    const auto row = trace::find_marker(step.table.text(), step.chain.text());
    return "behind " + std::string(packet::to_text(step.hook)) +
           (row ? " (" + std::string(row->place) + ")" : "");
  }
  return "behind " + std::string(step.table.text()) + " " + std::string(step.chain.text());
}

std::string what_stands_there(const Journey& journey) {
  switch (journey.steps.back().hook) {
    case Hook::Prerouting:
    case Hook::Ingress:
      return behind_nat(journey)
                 ? "there stand routing (no route, rp_filter, ip_forward off, address not local), "
                   "the TTL, and multicast that nobody here joined"
                 : "there stand conntrack (invalid, table full), NAT, and matches that drop by "
                   "themselves (hotdrop)";
    case Hook::Input:
      return "there stand matches that drop by themselves (hotdrop), and conntrack's last word";
    case Hook::Forward: return "there stand the MTU, and matches that drop by themselves";
    case Hook::Output:
      return "there stands the way out: a new routing decision behind NAT or a mark, the MTU";
    case Hook::None:
    case Hook::Postrouting:
    case Hook::Egress: break;
  }
  return "there stand NAT (no port left), IPsec policy and the neighbour (ARP)";
}

}  // namespace

void decide_vanished(Journey& journey, bool legacy_unheard) {
  Outcome& outcome = journey.outcome;
  const std::string after = place_of(journey.steps.back());
  if (legacy_unheard) {
    outcome.kind = OutcomeKind::Undecided;
    outcome.likely = OutcomeKind::Dropped;
    outcome.because = "it was not seen again " + after +
                      ": a rule of iptables-legacy may have dropped it, whose events cannot be seen here, or "
                      "routing did";
    return;
  }
  outcome.kind = OutcomeKind::Lost;
  outcome.because =
      "no rule dropped it, yet it was not seen again " + after + ": " + what_stands_there(journey);
}

}  // namespace fwtrace::journey
