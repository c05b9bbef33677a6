// The names that nft prints for numbers in packet headers (nft: src/datatype.c, src/proto.c, src/services.c).
// Every function takes numbers as well ("0x1f", "31").
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "packet/address.h"

namespace fwtrace::trace {

std::optional<std::uint64_t> nft_dscp(std::string_view word);
std::optional<std::uint64_t> nft_ecn(std::string_view word);
std::optional<std::uint64_t> nft_ether_type(std::string_view word);
std::optional<std::uint64_t> nft_arp_operation(std::string_view word);
std::optional<std::uint64_t> nft_protocol(std::string_view word);
std::optional<std::uint64_t> nft_service(std::string_view word);  // a port; quoted with `nft -S`
std::optional<std::uint64_t> nft_icmp_type(packet::IpVersion version, std::string_view word);
// nft prints these names for the codes of every type ("net-unreachable" for echo's 0): only the number is meant.
std::optional<std::uint64_t> nft_icmp_code(packet::IpVersion version, std::string_view word);
// Bit sets: "syn", "(syn | ack)", "syn,ack", "syn|ack", "0x12".
std::optional<std::uint64_t> nft_tcp_flags(std::string_view words);
std::optional<std::uint64_t> nft_ct_state(std::string_view words);
std::optional<std::uint64_t> nft_ct_status(std::string_view words);
std::optional<std::uint64_t> nft_ct_direction(std::string_view word);

}  // namespace fwtrace::trace
