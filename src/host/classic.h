// Classic: how to trace on this machine without fwtrace's own arming, as a shell script that can be run or typed: TRACE
// rules in raw and the kernel log where there is iptables-legacy, else `nft monitor trace` with a table of its own;
// then what to do with what was written; then the undo, with the values found now. No kernel is asked here.
#pragma once

#include <string>
#include <vector>

#include "host/doctor_facts.h"
#include "packet/filter.h"

namespace fwtrace::host {

std::string print_classic(const Facts& facts, const packet::Filter& filter);

// The filter as words of iptables for one chain of raw: "-p tcp --dport 80". What cannot be tested there is left out and
// told in `left_out`; nothing: no such packet meets this chain, or is of this family.
struct ChainWords {
  std::string words;
  std::vector<std::string> left_out;
};
std::optional<ChainWords> to_iptables(const packet::Filter& filter, packet::IpVersion version,
                                      packet::Hook hook);
// The same as nft's words, for a chain of family inet.
std::optional<ChainWords> to_nft_words(const packet::Filter& filter, packet::IpVersion version,
                                       packet::Hook hook);

}  // namespace fwtrace::host
