#include "host/nft_rule.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string_view>

#include "base/check.h"
#include "host/test_of.h"

namespace fwtrace::host {

using packet::Family;
using packet::IpVersion;
using Field = Test::Field;
using Bytes = std::vector<std::uint8_t>;

namespace {

constexpr std::uint32_t kRegister = NFT_REG_1;

// Appends expressions to one rule.
class Expressions {
 public:
  explicit Expressions(nftnl_rule* rule) : rule_(rule) {}

  void meta(std::uint32_t key) {
    nftnl_expr* e = make("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, kRegister);
  }
  void payload(std::uint32_t base, std::uint32_t offset, std::uint32_t length, std::uint32_t to = kRegister) {
    nftnl_expr* e = make("payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, length);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, to);
  }
  void extension(std::uint8_t type, std::uint32_t offset, std::uint32_t length, std::uint32_t flags) {
    nftnl_expr* e = make("exthdr");
    nftnl_expr_set_u8(e, NFTNL_EXPR_EXTHDR_TYPE, type);
    nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_LEN, length);
    nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_FLAGS, flags);
    nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_IPV6);
    nftnl_expr_set_u32(e, NFTNL_EXPR_EXTHDR_DREG, kRegister);
  }
  void mask(std::span<const std::uint8_t> mask) {
    if (std::ranges::all_of(mask, [](std::uint8_t byte) { return byte == 0xff; })) return;
    const Bytes zero(mask.size(), 0);
    const auto size = static_cast<std::uint32_t>(mask.size());
    nftnl_expr* e = make("bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, kRegister);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, kRegister);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, size);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask.data(), size);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero.data(), size);
  }
  void compare(std::uint32_t operation, std::span<const std::uint8_t> value) {
    nftnl_expr* e = make("cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, kRegister);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, operation);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, value.data(), static_cast<std::uint32_t>(value.size()));
  }
  void equal(std::initializer_list<std::uint8_t> value) { compare(NFT_CMP_EQ, Bytes(value)); }
  // `width` bytes in network order between low and high.
  void between(std::uint32_t low, std::uint32_t high, std::size_t width) {
    if (low == high) return compare(NFT_CMP_EQ, big_endian(low, width));
    compare(NFT_CMP_GTE, big_endian(low, width));
    compare(NFT_CMP_LTE, big_endian(high, width));
  }
  void device(const Test& test) {
    Bytes name(test.name.begin(), test.name.end());
    if (!test.name_prefix) name.resize(IFNAMSIZ);  // with the zeros: the whole name
    compare(NFT_CMP_EQ, name);
  }
  void ct(std::uint32_t key, bool original) {
    nftnl_expr* e = make("ct");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, kRegister);
    if (original) nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
  }
  // The packet's tuple, or that of its reply, in registers as the sets `learned4` and `learned6` have it for a key:
  // protocol . source . source port . destination . destination port, each on a boundary of four bytes.
  void tuple(bool v6, bool of_reply) {
    constexpr std::uint32_t kNetwork = NFT_PAYLOAD_NETWORK_HEADER, kTransport = NFT_PAYLOAD_TRANSPORT_HEADER;
    const std::uint32_t size = v6 ? 16 : 4, words = size / 4;
    const std::uint32_t source = v6 ? 8 : 12, destination = source + size;
    std::uint32_t to = NFT_REG32_00;
    nftnl_expr* e = make("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, to);
    payload(kNetwork, of_reply ? destination : source, size, to += 1);
    payload(kTransport, of_reply ? 2 : 0, 2, to += words);
    payload(kNetwork, of_reply ? source : destination, size, to += 1);
    payload(kTransport, of_reply ? 0 : 2, 2, to + words);
  }
  void update(const char* set) {
    nftnl_expr* e = make("dynset");
    nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, set);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG32_00);
  }
  void lookup_tuple(const char* set) {
    nftnl_expr* e = make("lookup");
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG32_00);
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
  }
  void lookup(const char* set) {
    nftnl_expr* e = make("lookup");
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, kRegister);
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
  }
  void object(std::uint32_t type, const std::string& name) {
    nftnl_expr* e = make("objref");
    nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, type);
    nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, name.c_str());
  }
  void set_nftrace() {
    const std::uint8_t one = 1;
    nftnl_expr* value = make("immediate");
    nftnl_expr_set_u32(value, NFTNL_EXPR_IMM_DREG, kRegister);
    nftnl_expr_set(value, NFTNL_EXPR_IMM_DATA, &one, sizeof one);
    nftnl_expr* e = make("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_NFTRACE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, kRegister);
  }
  void verdict(int code, const std::string& target = {}) {
    nftnl_expr* e = make("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(code));
    if (!target.empty()) nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, target.c_str());
  }

  static Bytes big_endian(std::uint32_t value, std::size_t width) {
    Bytes bytes;
    for (std::size_t i = width; i-- > 0;) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return bytes;
  }

 private:
  nftnl_expr* make(const char* kind) {
    nftnl_expr* e = nftnl_expr_alloc(kind);
    CHECK(e != nullptr);
    nftnl_rule_add_expr(rule_, e);
    return e;
  }
  nftnl_rule* rule_;
};

std::size_t size_of(IpVersion version) { return version == IpVersion::V4 ? 4 : 16; }

void version(Expressions& to, Family family, IpVersion wanted) {
  if (family == Family::Bridge) {  // there the family of every packet is "bridge"
    to.meta(NFT_META_PROTOCOL);
    return wanted == IpVersion::V4 ? to.equal({0x08, 0x00}) : to.equal({0x86, 0xdd});
  }
  if (family != Family::Inet) return;  // ip, ip6: it has no others
  to.meta(NFT_META_NFPROTO);
  to.equal({static_cast<std::uint8_t>(wanted == IpVersion::V4 ? NFPROTO_IPV4 : NFPROTO_IPV6)});
}

// The register holds an address.
void compare_address(Expressions& to, const packet::IpPrefix& prefix) {
  const std::size_t size = size_of(prefix.address.version);
  const auto mask = std::span(prefix.mask.bytes).first(size);
  to.mask(mask);
  Bytes wanted(prefix.address.bytes.begin(),
               prefix.address.bytes.begin() + static_cast<std::ptrdiff_t>(size));
  for (std::size_t i = 0; i < size; ++i) wanted[i] &= mask[i];
  to.compare(NFT_CMP_EQ, wanted);
}

void address(Expressions& to, std::uint32_t base, std::uint32_t offset, const packet::IpPrefix& prefix) {
  to.payload(base, offset, static_cast<std::uint32_t>(size_of(prefix.address.version)));
  compare_address(to, prefix);
}

void add_test(Expressions& to, Family family, const Test& test) {
  constexpr std::uint32_t kNetwork = NFT_PAYLOAD_NETWORK_HEADER, kTransport = NFT_PAYLOAD_TRANSPORT_HEADER;
  const bool v6 = test.version == IpVersion::V6;
  // Where in an ICMP error the quoted packet stands: after eight bytes; its transport header after 20 or 40 more.
  constexpr std::uint32_t kQuote = 8;
  const std::uint32_t quoted_transport = kQuote + (v6 ? 40 : 20);
  const auto ports = [&](std::uint32_t offset) {
    to.payload(kTransport, offset, 2);
    to.between(test.low, test.high, 2);
  };
  switch (test.field) {
    case Field::Version: return version(to, family, test.version);
    case Field::Protocol: to.meta(NFT_META_L4PROTO); return to.equal({static_cast<std::uint8_t>(test.low)});
    case Field::Source: return address(to, kNetwork, v6 ? 8 : 12, test.prefix);
    case Field::Destination: return address(to, kNetwork, v6 ? 24 : 16, test.prefix);
    case Field::SourcePort: return ports(0);
    case Field::DestinationPort: return ports(2);
    case Field::InName: to.meta(NFT_META_IIFNAME); return to.device(test);
    case Field::OutName: to.meta(NFT_META_OIFNAME); return to.device(test);
    case Field::InKind: to.meta(NFT_META_IIFKIND); return to.device(test);
    case Field::IcmpType: to.payload(kTransport, 0, 1); return to.between(test.low, test.high, 1);
    case Field::IcmpCode: to.payload(kTransport, 1, 1); return to.between(test.low, test.high, 1);
    case Field::Mark: {
      // A mark is a number of the host's order, not of the network's.
      std::array<std::uint8_t, 4> value{}, mask{};
      std::memcpy(value.data(), &test.low, 4);
      std::memcpy(mask.data(), &test.high, 4);
      to.meta(NFT_META_MARK);
      to.mask(mask);
      return to.compare(NFT_CMP_EQ, value);
    }
    case Field::LaterFragment: {
      const std::array<std::uint8_t, 2> none{0, 0};
      version(to, family, test.version);
      if (v6) {
        to.extension(IPPROTO_FRAGMENT, 2, 2, 0);
        to.mask(std::array<std::uint8_t, 2>{0xff, 0xf8});
      } else {
        to.payload(kNetwork, 6, 2);
        to.mask(std::array<std::uint8_t, 2>{0x1f, 0xff});
      }
      return to.compare(NFT_CMP_NEQ, none);
    }
    case Field::AuthenticationHeader:
      to.extension(IPPROTO_AH, 0, 1, NFT_EXTHDR_F_PRESENT);
      return to.equal({1});
    case Field::InnerProtocol:
      to.payload(kTransport, kQuote + (v6 ? 6 : 9), 1);
      return to.equal({static_cast<std::uint8_t>(test.low)});
    case Field::InnerSource: return address(to, kTransport, kQuote + (v6 ? 8 : 12), test.prefix);
    case Field::InnerDestination: return address(to, kTransport, kQuote + (v6 ? 24 : 16), test.prefix);
    case Field::InnerSourcePort: return ports(quoted_transport);
    case Field::InnerDestinationPort: return ports(quoted_transport + 2);
    case Field::CtDirection:
      to.ct(NFT_CT_DIRECTION, false);
      return to.equal({static_cast<std::uint8_t>(test.low)});
    case Field::CtTranslated: {
      constexpr std::uint32_t kStatus = IPS_SRC_NAT | IPS_DST_NAT;
      std::array<std::uint8_t, 4> mask{};
      std::memcpy(mask.data(), &kStatus, 4);
      to.ct(NFT_CT_STATUS, false);
      to.mask(mask);
      return to.compare(NFT_CMP_NEQ, std::array<std::uint8_t, 4>{});
    }
    case Field::CtProtocol:
      to.ct(NFT_CT_PROTOCOL, true);
      return to.equal({static_cast<std::uint8_t>(test.low)});
    // NFT_CT_SRC would have the length of the table's family, which inet has not.
    case Field::CtSource:
      to.ct(v6 ? NFT_CT_SRC_IP6 : NFT_CT_SRC_IP, true);
      return compare_address(to, test.prefix);
    case Field::CtDestination:
      to.ct(v6 ? NFT_CT_DST_IP6 : NFT_CT_DST_IP, true);
      return compare_address(to, test.prefix);
    case Field::CtSourcePort: to.ct(NFT_CT_PROTO_SRC, true); return to.between(test.low, test.high, 2);
    case Field::CtDestinationPort: to.ct(NFT_CT_PROTO_DST, true); return to.between(test.low, test.high, 2);
    case Field::Learned:
      version(to, family, test.version);
      to.tuple(v6, false);
      return to.lookup_tuple(learned_set(test.version));
  }
}

NftRule new_rule(Family family, const std::string& table, const std::string& chain) {
  NftRule rule(nftnl_rule_alloc());
  CHECK(rule != nullptr);
  nftnl_rule_set_u32(rule.get(), NFTNL_RULE_FAMILY, static_cast<std::uint32_t>(family));
  nftnl_rule_set_str(rule.get(), NFTNL_RULE_TABLE, table.c_str());
  nftnl_rule_set_str(rule.get(), NFTNL_RULE_CHAIN, chain.c_str());
  return rule;
}

}  // namespace

NftRule to_nft(Family family, const std::string& table, const std::string& chain, const ArmingRule& rule) {
  NftRule made = new_rule(family, table, chain);
  Expressions to(made.get());
  for (const Test& test : rule.tests) add_test(to, family, test);
  switch (rule.end) {
    case ArmingRule::End::Accept: to.verdict(NF_ACCEPT); break;
    case ArmingRule::End::Return: to.verdict(NFT_RETURN); break;
    case ArmingRule::End::Jump: to.verdict(NFT_JUMP, rule.target); break;
    case ArmingRule::End::Arm: to.verdict(NFT_GOTO, rule.target); break;
    case ArmingRule::End::Learn: {
      // The version's test stands first (reply_rules.cpp): it chooses the set.
      const IpVersion learned = rule.tests.front().version;
      to.tuple(learned == IpVersion::V6, true);
      to.update(learned_set(learned));
      to.verdict(NF_ACCEPT);
      break;
    }
  }
  return made;
}

NftRule arming_rule(Family family, const std::string& table, const std::string& chain,
                    const std::string& limit) {
  NftRule made = new_rule(family, table, chain);
  Expressions to(made.get());
  to.object(NFT_OBJECT_COUNTER, kMatchedCounter);
  to.meta(NFT_META_PROTOCOL);
  to.lookup(kAliveSet);
  to.object(NFT_OBJECT_LIMIT, limit);
  to.object(NFT_OBJECT_COUNTER, kArmedCounter);
  to.set_nftrace();
  to.verdict(NF_ACCEPT);
  return made;
}

NftObject limit_object(Family family, const std::string& table, const std::string& name, std::uint32_t rate,
                       std::uint32_t burst) {
  NftObject limit(nftnl_obj_alloc());
  CHECK(limit != nullptr);
  nftnl_obj_set_str(limit.get(), NFTNL_OBJ_TABLE, table.c_str());
  nftnl_obj_set_str(limit.get(), NFTNL_OBJ_NAME, name.c_str());
  nftnl_obj_set_u32(limit.get(), NFTNL_OBJ_FAMILY, static_cast<std::uint32_t>(family));
  nftnl_obj_set_u32(limit.get(), NFTNL_OBJ_TYPE, NFT_OBJECT_LIMIT);
  nftnl_obj_set_u64(limit.get(), NFTNL_OBJ_LIMIT_RATE, rate);
  nftnl_obj_set_u64(limit.get(), NFTNL_OBJ_LIMIT_UNIT, 1);  // seconds
  nftnl_obj_set_u32(limit.get(), NFTNL_OBJ_LIMIT_BURST, burst);
  nftnl_obj_set_u32(limit.get(), NFTNL_OBJ_LIMIT_TYPE, NFT_LIMIT_PKTS);
  nftnl_obj_set_u32(limit.get(), NFTNL_OBJ_LIMIT_FLAGS, 0);
  return limit;
}

}  // namespace fwtrace::host
