// The conditions of a filter as rules at one place of arming, for one direction. Within this room only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/arming_rules.h"
#include "host/test_of.h"

namespace fwtrace::host {

bool contradicts(packet::IpVersion a, packet::IpVersion b);
bool carries_ports(std::uint8_t protocol);

// The rules of one direction at one place, as a whole: what must hold, and what must not.
struct Direction {
  std::vector<ArmingRule> required;  // alternatives; empty: this direction is not armed here
  std::vector<ArmingRule> excluded;  // each ends in Return
  bool tests_nothing = false;        // every packet would be armed
  bool unspecific = false;           // an interface was left out, and no address, port or type is left
};

// What the positive conditions of a filter say of version and protocol together.
struct Frame {
  packet::IpVersion version = packet::IpVersion::None;
  std::optional<std::uint8_t> protocol;
  bool needs_ports = false, contradiction = false;

  void require(packet::IpVersion wanted);
  void require(std::uint8_t wanted);
};
Frame frame_of(const packet::Filter& filter, const std::vector<std::size_t>& ignored);

// The conditions of `filter` as rules for `place` that arm in the chain `target`.
Direction direction_of(const packet::Filter& filter, const std::vector<std::size_t>& ignored, Place place,
                       const std::string& target);

// ICMP errors that quote a packet of the filter: REJECT's answer, "fragmentation needed", "time exceeded".
std::vector<ArmingRule> errors_about(const packet::Filter& filter, const std::vector<std::size_t>& ignored,
                                     const std::string& target);

}  // namespace fwtrace::host
