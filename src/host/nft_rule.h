// Our arming rules as nft expressions, by libnftnl. Within this room only.
#pragma once

#include <libnftnl/object.h>
#include <libnftnl/rule.h>

#include <memory>
#include <string>

#include "host/arming_rules.h"

namespace fwtrace::host {

struct FreeRule {
  void operator()(nftnl_rule* rule) const { nftnl_rule_free(rule); }
};
using NftRule = std::unique_ptr<nftnl_rule, FreeRule>;
struct FreeObject {
  void operator()(nftnl_obj* object) const { nftnl_obj_free(object); }
};
using NftObject = std::unique_ptr<nftnl_obj, FreeObject>;

// Names inside our table.
inline constexpr const char* kAliveSet = "alive";
inline constexpr const char* kRateLimit = "per-second";
inline constexpr const char* kMatchedCounter = "matched";
inline constexpr const char* kArmedCounter = "armed";

NftRule to_nft(packet::Family family, const std::string& table, const std::string& chain,
               const ArmingRule& rule);
// counter matched · meta protocol @alive · limit per-second · counter armed · meta nftrace set 1 · accept
NftRule arming_rule(packet::Family family, const std::string& table, const std::string& chain,
                    const std::string& limit = kRateLimit);
// The limit that arming rules spend: packets per second, and at once.
NftObject limit_object(packet::Family family, const std::string& table, const std::string& name,
                       std::uint32_t rate, std::uint32_t burst);

}  // namespace fwtrace::host
