// One condition of the filter as comparisons at one place of arming. Within this room only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "host/arming_rules.h"
#include "packet/packet.h"

namespace fwtrace::host {

enum class Place : std::uint8_t { First, Fragments, Sent };

struct Tests {
  enum class Answer : std::uint8_t {
    These,       // it holds if all tests of one of the alternatives hold
    Always,      // nothing to test: alternatives is {{}} for a positive condition
    Never,       // it cannot hold here
    Untestable,  // it may come to hold later, or cannot be seen here
  };
  Answer answer = Answer::These;
  std::vector<std::vector<Test>> alternatives;
};
// The condition as if it were positive. Alternatives are complete: version and protocol stand in them.
Tests tests_of(const packet::FilterCondition& condition, Place place);

// The same of the packet that an ICMP error quotes, its version to be filled in; nothing for what is not quoted.
std::optional<Test> quoted_test_of(const packet::FilterCondition& condition);

// Packets of a flow of a protocol with ports: itself, and the ICMP errors that conntrack counts to the flow. Told apart
// by the packet's own protocol, as nft cannot read back a conntrack port of which it does not know what it is.
std::vector<std::vector<Test>> carriers_of(packet::IpVersion version, std::uint8_t protocol);

// The same of conntrack's original tuple, complete alternatives; nothing for what conntrack does not know (interfaces).
std::optional<Tests> original_tests_of(const packet::FilterCondition& condition);

// Protocols whose first four bytes are the ports: tcp, udp, udplite, sctp, dccp.
inline constexpr std::array<std::uint8_t, 5> kPortProtocols{
    packet::proto::kTcp, packet::proto::kUdp, packet::proto::kUdplite, packet::proto::kSctp, 33};

// "learned4", "learned6"
constexpr const char* learned_set(packet::IpVersion version) {
  return version == packet::IpVersion::V6 ? "learned6" : "learned4";
}

Test test_version(packet::IpVersion version);
Test test_number(Test::Field field, std::uint32_t number);
Test test_address(Test::Field field, const packet::IpAddress& address);

}  // namespace fwtrace::host
