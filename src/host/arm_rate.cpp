// Changing the rate while armed.
//
// A limit object cannot be changed: the kernel answers "done" and does nothing (kernel: nf_tables_newobj, a type
// without `update`). So a second object is made, and in the same batch every arming rule is replaced by one that spends
// the new object; a packet meets either the old rule or the new one, never both and never none. The old object, which
// no rule names any more, is deleted behind that, because older kernels count the use of a replaced rule until the
// batch is done.
//
// This is called in a flood, when an acknowledgement may not find a place in our socket's queue. So nothing here waits
// for one: the kernel has worked a request off before send() returns, and what stands now is read through a socket of
// its own.
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <libnftnl/expr.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <string_view>

#include "host/arm.h"
#include "host/nft_rule.h"

namespace fwtrace::host {

using packet::Family;

namespace {

struct ArmingRuleThere {
  Family family = Family::None;
  std::string chain;
  std::uint64_t handle = 0;
  std::string limit;
};

std::uint16_t to_number(Family family) { return static_cast<std::uint16_t>(family); }

// The limit object that the rule spends; "" if it spends none.
std::string limit_of(const nftnl_rule* rule) {
  std::string name;
  nftnl_expr_iter* all = nftnl_expr_iter_create(rule);
  while (nftnl_expr* e = all ? nftnl_expr_iter_next(all) : nullptr) {
    if (std::string_view(nftnl_expr_get_str(e, NFTNL_EXPR_NAME)) != "objref") continue;
    if (nftnl_expr_get_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE) != NFT_OBJECT_LIMIT) continue;
    if (const char* named = nftnl_expr_get_str(e, NFTNL_EXPR_OBJREF_IMM_NAME)) name = named;
  }
  if (all) nftnl_expr_iter_destroy(all);
  return name;
}

// The arming rules of our tables as they stand; nothing if they could not be read.
std::vector<ArmingRuleThere> find_arming_rules(const std::string& table,
                                               const std::vector<Family>& families) {
  std::vector<ArmingRuleThere> found;
  auto socket = NetlinkSocket::open();
  if (!socket) return found;
  for (const Family family : families) {
    const NftRule wanted(nftnl_rule_alloc());
    nftnl_rule_set_str(wanted.get(), NFTNL_RULE_TABLE, table.c_str());
    NetlinkRequest request = socket->request();
    char* place = request.next("rules");
    nlmsghdr* header =
        nftnl_nlmsg_build_hdr(place, NFT_MSG_GETRULE, to_number(family), NLM_F_DUMP, request.sequence());
    nftnl_rule_nlmsg_build_payload(header, wanted.get());
    request.finish();
    const auto read = [&](const void* message) {
      const NftRule rule(nftnl_rule_alloc());
      if (nftnl_rule_nlmsg_parse(static_cast<const nlmsghdr*>(message), rule.get()) != 0) return;
      // Kernels before 4.? give the rules of all tables.
      if (table != nftnl_rule_get_str(rule.get(), NFTNL_RULE_TABLE)) return;
      if (std::string limit = limit_of(rule.get()); !limit.empty()) {
        found.push_back({.family = family,
                         .chain = nftnl_rule_get_str(rule.get(), NFTNL_RULE_CHAIN),
                         .handle = nftnl_rule_get_u64(rule.get(), NFTNL_RULE_HANDLE),
                         .limit = std::move(limit)});
      }
    };
    if (!socket->transact(request, read).ok()) return {};
  }
  return found;
}

template <class Build>
void add(NetlinkRequest& request, const char* label, std::uint16_t type, Family family, std::uint16_t flags,
         Build build) {
  char* place = request.next(label);
  build(nftnl_nlmsg_build_hdr(place, type, to_number(family), flags, request.sequence()));
  request.finish();
}

}  // namespace

bool Arming::set_rate(std::uint32_t packets_per_second) {
  const auto before = find_arming_rules(table_, families_);
  if (packets_per_second == 0 || before.empty()) return false;
  const std::string fresh = fmt::format("{}-{}", kRateLimit, ++changes_of_rate_ + 1);
  // A new object begins with its whole burst: in proportion, so that going down does not first let more through.
  const std::uint64_t share = std::uint64_t{burst_} * packets_per_second / std::max(rate_, 1U);
  const auto burst = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, 1, packets_per_second));
  {
    NetlinkRequest request = socket_->request();
    request.begin_batch();
    for (const Family family : families_) {
      const NftObject limit = limit_object(family, table_, fresh, packets_per_second, burst);
      add(request, "rate limit", NFT_MSG_NEWOBJ, family, NLM_F_CREATE,
          [&](nlmsghdr* header) { nftnl_obj_nlmsg_build_payload(header, limit.get()); });
    }
    for (const ArmingRuleThere& rule : before) {
      const NftRule with = arming_rule(rule.family, table_, rule.chain, fresh);
      nftnl_rule_set_u64(with.get(), NFTNL_RULE_HANDLE, rule.handle);
      add(request, "arming rule", NFT_MSG_NEWRULE, rule.family, NLM_F_REPLACE,
          [&](nlmsghdr* header) { nftnl_rule_nlmsg_build_payload(header, with.get()); });
    }
    request.end_batch();
    if (socket_->send(request) != 0) return false;
  }
  const auto after = find_arming_rules(table_, families_);
  const bool all_fresh =
      after.size() == before.size() &&
      std::ranges::all_of(after, [&](const ArmingRuleThere& rule) { return rule.limit == fresh; });
  if (!all_fresh) return false;
  for (const Family family : families_) {
    const NftObject old = limit_object(family, table_, before.front().limit, 1, 1);
    NetlinkRequest request = socket_->request();
    request.begin_batch();
    add(request, "old rate limit", NFT_MSG_DELOBJ, family, 0,
        [&](nlmsghdr* header) { nftnl_obj_nlmsg_build_payload(header, old.get()); });
    request.end_batch();
    socket_->send(request);
  }
  return true;
}

}  // namespace fwtrace::host
