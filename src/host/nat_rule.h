// What a NAT rule can make of a packet, read from its text (iptables or nft words). Within this room only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "packet/address.h"
#include "packet/netfilter.h"
#include "ruleset/model.h"

namespace fwtrace::host {

struct Translation {
  enum class Address : std::uint8_t {
    Kept,
    Own,    // one of this machine's (masquerade, redirect; the latter on output: loopback)
    Range,  // low to high
    Any,    // not known
  };
  bool source = false;                                  // else the destination
  packet::IpVersion version = packet::IpVersion::None;  // None: either
  std::optional<std::uint8_t> protocol = std::nullopt;  // the only one that can meet the rule, if it says so
  Address address = Address::Kept;
  packet::IpAddress low = {}, high = {};  // of Range
  bool ports_kept = true;
  std::uint16_t low_port = 0, high_port = 0xffff;  // if not kept
  // What the rule asks of the same end before it translates it, if it says so: a packet that meets it had these.
  std::optional<packet::IpPrefix> asked_address = std::nullopt;
  std::optional<std::uint16_t> asked_low_port = std::nullopt, asked_high_port = std::nullopt;
};

// Nothing if the rule translates nothing.
std::vector<Translation> read_nat_rule(const ruleset::Rule& rule, packet::Family family);

}  // namespace fwtrace::host
