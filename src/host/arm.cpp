#include "host/arm.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "base/check.h"
#include "host/nft_rule.h"
#include "host/proc.h"
#include "host/test_of.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;
using packet::Family;

namespace {

constexpr std::uint32_t kOwnerFlag = 0x2;  // NFT_TABLE_F_OWNER, since 5.12
constexpr std::string_view kTablePrefix = "fwtrace-";
// The set holds the protocols of which packets may be armed: `meta protocol` is the one key that nft can print and
// read back in every family.
constexpr std::uint32_t kEtherType = 10;  // nft's TYPE_ETHERTYPE
// The keys of the sets `learned4` and `learned6`, as nft writes a concatenation: six bits for each type.
constexpr std::uint32_t kIpAddress = 7, kIp6Address = 8, kInetProtocol = 12, kInetService = 13;
constexpr std::uint32_t tuple_type(std::uint32_t address) {
  std::uint32_t type = 0;
  for (const std::uint32_t part : {kInetProtocol, address, kInetService, address, kInetService}) {
    type = type << 6 | part;
  }
  return type;
}
// A request renews what was learned of its reply. When the set is full, replies are armed behind conntrack only.
constexpr std::uint32_t kLearnedSize = 4096;
constexpr std::chrono::seconds kLearnedLifetime{60};
constexpr const char* kLearnedLabel = "set of learned tuples";
constexpr auto kInetProtocols = std::to_array<std::uint16_t>({0x0800, 0x86dd});
constexpr auto kBridgeProtocols = std::to_array<std::uint16_t>({0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8});

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Table = std::unique_ptr<nftnl_table, Freed<nftnl_table_free>>;
using Chain = std::unique_ptr<nftnl_chain, Freed<nftnl_chain_free>>;
using Set = std::unique_ptr<nftnl_set, Freed<nftnl_set_free>>;
using Object = std::unique_ptr<nftnl_obj, Freed<nftnl_obj_free>>;

std::uint16_t to_number(Family family) { return static_cast<std::uint16_t>(family); }

std::uint32_t hook_number(packet::Hook hook) {
  switch (hook) {
    case packet::Hook::Prerouting: return NF_INET_PRE_ROUTING;
    case packet::Hook::Input: return NF_INET_LOCAL_IN;
    case packet::Hook::Forward: return NF_INET_FORWARD;
    case packet::Hook::Output: return NF_INET_LOCAL_OUT;
    case packet::Hook::Postrouting: return NF_INET_POST_ROUTING;
    case packet::Hook::None:
    case packet::Hook::Ingress:
    case packet::Hook::Egress: break;
  }
  CHECK(!"no hook that we arm at");
  return 0;
}

// One table being written into a request.
class Writer {
 public:
  Writer(NetlinkRequest& request, Family family, std::string table)
      : request_(request), family_(family), table_(std::move(table)) {}

  void table(bool owned) {
    const Table made(nftnl_table_alloc());
    nftnl_table_set_str(made.get(), NFTNL_TABLE_NAME, table_.c_str());
    if (owned) nftnl_table_set_u32(made.get(), NFTNL_TABLE_FLAGS, kOwnerFlag);
    // NLM_F_EXCL: a table of that name that is not ours must not be added to.
    message("table", NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL,
            [&](nlmsghdr* header) { nftnl_table_nlmsg_build_payload(header, made.get()); });
  }
  void delete_table() {
    const Table made(nftnl_table_alloc());
    nftnl_table_set_str(made.get(), NFTNL_TABLE_NAME, table_.c_str());
    message("table", NFT_MSG_DELTABLE, 0,
            [&](nlmsghdr* header) { nftnl_table_nlmsg_build_payload(header, made.get()); });
  }
  void alive_set(std::chrono::seconds lifetime) {
    const Set made(nftnl_set_alloc());
    name_set(made.get());
    nftnl_set_set_u32(made.get(), NFTNL_SET_ID, 1);
    nftnl_set_set_u32(made.get(), NFTNL_SET_FLAGS, NFT_SET_TIMEOUT);
    nftnl_set_set_u32(made.get(), NFTNL_SET_KEY_TYPE, kEtherType);
    nftnl_set_set_u32(made.get(), NFTNL_SET_KEY_LEN, 2);
    nftnl_set_set_u64(made.get(), NFTNL_SET_TIMEOUT,
                      static_cast<std::uint64_t>(std::chrono::milliseconds(lifetime).count()));
    message("set with a timeout", NFT_MSG_NEWSET, NLM_F_CREATE,
            [&](nlmsghdr* header) { nftnl_set_nlmsg_build_payload(header, made.get()); });
  }
  // No element named: all of them. It does not fail when they have expired.
  void delete_elements() {
    message("set element", NFT_MSG_DELSETELEM, 0, [&](nlmsghdr* header) {
      mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_TABLE, table_.c_str());
      mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_SET, kAliveSet);
    });
  }
  void add_elements(std::chrono::seconds lifetime) {
    const Set made(nftnl_set_alloc());
    name_set(made.get());
    const auto add = [&](std::uint16_t number) {
      const std::uint16_t protocol = htons(number);
      nftnl_set_elem* element = nftnl_set_elem_alloc();
      nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, &protocol, sizeof protocol);
      nftnl_set_elem_set_u64(element, NFTNL_SET_ELEM_TIMEOUT,
                             static_cast<std::uint64_t>(std::chrono::milliseconds(lifetime).count()));
      nftnl_set_elem_add(made.get(), element);
    };
    if (family_ == Family::Bridge) {
      std::ranges::for_each(kBridgeProtocols, add);
    } else {
      std::ranges::for_each(kInetProtocols, add);
    }
    message("set element", NFT_MSG_NEWSETELEM, NLM_F_CREATE,
            [&](nlmsghdr* header) { nftnl_set_elems_nlmsg_build_payload(header, made.get()); });
  }
  void learned_sets() {
    std::uint32_t id = 1;
    for (const packet::IpVersion version : {packet::IpVersion::V4, packet::IpVersion::V6}) {
      const bool v6 = version == packet::IpVersion::V6;
      const Set made(nftnl_set_alloc());
      nftnl_set_set_str(made.get(), NFTNL_SET_TABLE, table_.c_str());
      nftnl_set_set_str(made.get(), NFTNL_SET_NAME, learned_set(version));
      nftnl_set_set_u32(made.get(), NFTNL_SET_FAMILY, to_number(family_));
      nftnl_set_set_u32(made.get(), NFTNL_SET_ID, ++id);
      nftnl_set_set_u32(made.get(), NFTNL_SET_FLAGS, NFT_SET_TIMEOUT | NFT_SET_EVAL);
      nftnl_set_set_u32(made.get(), NFTNL_SET_KEY_TYPE, tuple_type(v6 ? kIp6Address : kIpAddress));
      nftnl_set_set_u32(made.get(), NFTNL_SET_KEY_LEN, 4 + 2 * (v6 ? 16 : 4) + 2 * 4);
      nftnl_set_set_u32(made.get(), NFTNL_SET_DESC_SIZE, kLearnedSize);
      nftnl_set_set_u64(made.get(), NFTNL_SET_TIMEOUT,
                        static_cast<std::uint64_t>(std::chrono::milliseconds(kLearnedLifetime).count()));
      message(kLearnedLabel, NFT_MSG_NEWSET, NLM_F_CREATE,
              [&](nlmsghdr* header) { nftnl_set_nlmsg_build_payload(header, made.get()); });
    }
  }
  void objects(const ArmingLimits& limits) {
    for (const char* name : {kMatchedCounter, kArmedCounter}) {
      const Object counter = object(NFT_OBJECT_COUNTER, name);
      nftnl_obj_set_u64(counter.get(), NFTNL_OBJ_CTR_PKTS, 0);
      nftnl_obj_set_u64(counter.get(), NFTNL_OBJ_CTR_BYTES, 0);
      message("counter", NFT_MSG_NEWOBJ, NLM_F_CREATE,
              [&](nlmsghdr* header) { nftnl_obj_nlmsg_build_payload(header, counter.get()); });
    }
    const NftObject limit = limit_object(family_, table_, kRateLimit, limits.rate, limits.burst);
    message("rate limit", NFT_MSG_NEWOBJ, NLM_F_CREATE,
            [&](nlmsghdr* header) { nftnl_obj_nlmsg_build_payload(header, limit.get()); });
  }
  void chain(const ArmingChain& chain) {
    const Chain made(nftnl_chain_alloc());
    nftnl_chain_set_str(made.get(), NFTNL_CHAIN_TABLE, table_.c_str());
    nftnl_chain_set_str(made.get(), NFTNL_CHAIN_NAME, chain.name.c_str());
    if (chain.hook != packet::Hook::None) {
      nftnl_chain_set_u32(made.get(), NFTNL_CHAIN_HOOKNUM, hook_number(chain.hook));
      nftnl_chain_set_s32(made.get(), NFTNL_CHAIN_PRIO, chain.priority);
      nftnl_chain_set_str(made.get(), NFTNL_CHAIN_TYPE, "filter");
      nftnl_chain_set_u32(made.get(), NFTNL_CHAIN_POLICY, NF_ACCEPT);
    }
    message(fmt::format("chain '{}'", chain.name), NFT_MSG_NEWCHAIN, NLM_F_CREATE,
            [&](nlmsghdr* header) { nftnl_chain_nlmsg_build_payload(header, made.get()); });
  }
  // `conntrack` false: without the rules that need it.
  void rules(const ArmingChain& chain, bool conntrack) {
    if (chain.arms) {
      rule(arming_rule(family_, table_, chain.name), "the arming rule of chain '" + chain.name + "'");
      rule(to_nft(family_, table_, chain.name, {}), "the last rule of chain '" + chain.name + "'");
    }
    for (const ArmingRule& each : chain.rules) {
      if (each.needs_conntrack() && !conntrack) continue;
      rule(to_nft(family_, table_, chain.name, each), fmt::format("rule '{}'", print_rule(each)));
    }
  }

 private:
  template <class Build>
  void message(std::string label, std::uint16_t type, std::uint16_t flags, Build build) {
    char* place = request_.next(std::move(label));
    build(nftnl_nlmsg_build_hdr(place, type, to_number(family_), flags | NLM_F_ACK, request_.sequence()));
    request_.finish();
  }
  void rule(const NftRule& made, std::string label) {
    message(std::move(label), NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND,
            [&](nlmsghdr* header) { nftnl_rule_nlmsg_build_payload(header, made.get()); });
  }
  void name_set(nftnl_set* set) const {
    nftnl_set_set_str(set, NFTNL_SET_TABLE, table_.c_str());
    nftnl_set_set_str(set, NFTNL_SET_NAME, kAliveSet);
    nftnl_set_set_u32(set, NFTNL_SET_FAMILY, to_number(family_));
  }
  Object object(std::uint32_t type, const char* name) const {
    Object made(nftnl_obj_alloc());
    nftnl_obj_set_str(made.get(), NFTNL_OBJ_TABLE, table_.c_str());
    nftnl_obj_set_str(made.get(), NFTNL_OBJ_NAME, name);
    nftnl_obj_set_u32(made.get(), NFTNL_OBJ_FAMILY, to_number(family_));
    nftnl_obj_set_u32(made.get(), NFTNL_OBJ_TYPE, type);
    return made;
  }

  NetlinkRequest& request_;
  Family family_;
  std::string table_;
};

base::Error refused(const Answer& answer) {
  if (answer.error == EPERM || answer.error == EACCES) {
    return {.kind = ErrorKind::Permission,
            .message = "the kernel does not let us arm tracing: " + print_errno(answer.error),
            .hints = {"arming needs CAP_NET_ADMIN: run as root"}};
  }
  if (answer.label == "batch" &&
      answer.error == EOPNOTSUPP) {  // kernel: nfnetlink_rcv_batch, no such subsystem
    return {.kind = ErrorKind::Permission,
            .message = "this kernel has no nf_tables",
            .hints = {"modprobe nf_tables"}};
  }
  return {.kind = ErrorKind::Permission,
          .message = fmt::format("the kernel refused our {}: {}", answer.label, print_errno(answer.error)),
          .hints = {"'fwtrace doctor' says what this kernel lacks"}};
}

}  // namespace

std::string Arming::table_name(int pid) { return std::string(kTablePrefix) + std::to_string(pid); }

Result<Arming> Arming::arm(NetlinkSocket& socket, const ArmingPlan& plan, const ArmingLimits& limits,
                           const std::string& table, bool try_owner,
                           const std::function<Result<void>()>& before_unowned) {
  CHECK(!plan.tables.empty());
  Arming arming(socket, table);
  arming.rate_ = limits.rate;
  arming.burst_ = limits.burst;
  for (const ArmingTable& part : plan.tables) arming.families_.push_back(part.family);
  const bool wants_conntrack = std::ranges::any_of(plan.tables, [](const ArmingTable& part) {
    return std::ranges::any_of(part.chains, [](const ArmingChain& chain) {
      return std::ranges::any_of(chain.rules, &ArmingRule::needs_conntrack);
    });
  });
  const auto attempt = [&](bool owned, bool conntrack) {
    arming.owned_ = owned;
    arming.behind_conntrack_ = conntrack;
    arming.switch_ = limits.dead_mans_switch.value_or(owned ? kOwnedSwitch : kUnownedSwitch);
    NetlinkRequest request = socket.request();
    request.begin_batch();
    for (const ArmingTable& part : plan.tables) {
      Writer writer(request, part.family, table);
      writer.table(owned);
      writer.alive_set(arming.switch_.lifetime);
      writer.add_elements(arming.switch_.lifetime);
      writer.objects(limits);
      if (conntrack && part.learns) writer.learned_sets();
      for (const ArmingChain& chain : part.chains) writer.chain(chain);
      for (const ArmingChain& chain : part.chains) writer.rules(chain, conntrack);
    }
    request.end_batch();
    return socket.transact(request);
  };
  Answer answer;
  bool owner = try_owner;
  if (owner) {
    answer = attempt(true, wants_conntrack);
    // A kernel without the flag says so at the table. (With it, no error of ours has this number there.)
    owner = answer.label != "table" || (answer.error != EINVAL && answer.error != EOPNOTSUPP);
  }
  if (!owner) {
    if (before_unowned) TRY_VOID(before_unowned());
    answer = attempt(false, wants_conntrack);
  }
  // A kernel without nft's ct or dynset, or too old a one for what we ask of them. Permission is another matter.
  if (wants_conntrack && !answer.ok() && answer.error != EPERM && answer.error != EACCES) {
    answer = attempt(owner, false);
  }
  if (!answer.ok()) return std::unexpected(refused(answer));
  return arming;
}

void Arming::refresh() {
  NetlinkRequest request = socket_->request();
  request.begin_batch();
  for (const Family family : families_) {
    Writer writer(request, family, table_);
    // Adding an element that is there does not renew it before 6.12; in one batch it is never absent.
    writer.delete_elements();
    writer.add_elements(switch_.lifetime);
  }
  request.end_batch();
  socket_->send(request);
}

void Arming::let_go() {
  NetlinkRequest request = socket_->request();
  request.begin_batch();
  for (const Family family : families_) Writer(request, family, table_).delete_elements();
  request.end_batch();
  // What it answers may be lost in a flood; the kernel has done it before send() returns.
  socket_->send(request);
}

Result<void> Arming::disarm() {
  NetlinkRequest request = socket_->request();
  request.begin_batch();
  for (const Family family : families_) Writer(request, family, table_).delete_table();
  request.end_batch();
  const Answer answer = socket_->transact(request);
  if (answer.ok() || answer.error == ENOENT) return {};
  // In a flood the answer itself can be lost: is the table there?
  if (const auto left = find_our_tables();
      left && std::ranges::find(*left, table_, &FoundTable::name) == left->end()) {
    return {};
  }
  return std::unexpected(refused(answer));
}

std::optional<ArmingCounters> Arming::counters() const {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::nullopt;
  ArmingCounters sum;
  NetlinkRequest request = socket->request();
  for (const Family family : families_) {
    for (const char* name : {kMatchedCounter, kArmedCounter}) {
      const Object wanted(nftnl_obj_alloc());
      nftnl_obj_set_str(wanted.get(), NFTNL_OBJ_TABLE, table_.c_str());
      nftnl_obj_set_str(wanted.get(), NFTNL_OBJ_NAME, name);
      nftnl_obj_set_u32(wanted.get(), NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
      char* place = request.next("counter");
      nlmsghdr* header =
          nftnl_nlmsg_build_hdr(place, NFT_MSG_GETOBJ, to_number(family), NLM_F_ACK, request.sequence());
      nftnl_obj_nlmsg_build_payload(header, wanted.get());
      request.finish();
    }
  }
  const auto read = [&](const void* message) {
    const Object got(nftnl_obj_alloc());
    if (nftnl_obj_nlmsg_parse(static_cast<const nlmsghdr*>(message), got.get()) != 0) return;
    const std::string_view name = nftnl_obj_get_str(got.get(), NFTNL_OBJ_NAME);
    (name == kArmedCounter ? sum.armed : sum.matched) += nftnl_obj_get_u64(got.get(), NFTNL_OBJ_CTR_PKTS);
  };
  if (!socket->transact(request, read).ok()) return std::nullopt;
  return sum;
}

Result<void> remove_table(Family family, const std::string& table) {
  TRY(NetlinkSocket socket, NetlinkSocket::open());
  NetlinkRequest request = socket.request();
  request.begin_batch();
  Writer(request, family, table).delete_table();
  request.end_batch();
  const Answer answer = socket.transact(request);
  if (!answer.ok() && answer.error != ENOENT) return std::unexpected(refused(answer));
  return {};
}

Result<std::vector<FoundTable>> find_our_tables() {
  TRY(NetlinkSocket socket, NetlinkSocket::open());
  std::vector<FoundTable> found;
  for (const Family family : {Family::Inet, Family::Ip, Family::Ip6, Family::Bridge}) {
    NetlinkRequest request = socket.request();
    char* place = request.next("tables");
    nftnl_nlmsg_build_hdr(place, NFT_MSG_GETTABLE, to_number(family), NLM_F_DUMP, request.sequence());
    request.finish();
    const auto read = [&](const void* message) {
      const Table table(nftnl_table_alloc());
      if (nftnl_table_nlmsg_parse(static_cast<const nlmsghdr*>(message), table.get()) != 0) return;
      const std::string_view name = nftnl_table_get_str(table.get(), NFTNL_TABLE_NAME);
      if (!name.starts_with(kTablePrefix)) return;
      const std::uint32_t flags = nftnl_table_get_u32(table.get(), NFTNL_TABLE_FLAGS);
      found.push_back({.family = family, .name = std::string(name), .owned = (flags & kOwnerFlag) != 0});
    };
    const Answer answer = socket.transact(request, read);
    if (!answer.ok()) return std::unexpected(refused(answer));
  }
  return found;
}

}  // namespace fwtrace::host
