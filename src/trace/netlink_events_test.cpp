#include "trace/netlink_events.h"

#include <gtest/gtest.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>

#include <cstring>
#include <map>

#include "packet/decode.h"
#include "trace/netlink_test_support.h"

namespace fwtrace::trace {
namespace {

using packet::Family;
using packet::Hook;
using packet::Verdict;
using Kind = NetlinkEvents::Kind;

using testing::in_words;
using testing::stamp;

struct LossSink : testing::KeepingSink {
  std::vector<Loss> losses;
  void loss(const Loss& loss) override { losses.push_back(loss); }
};

// A recording of tests/record/netlink.py.
struct Recording {
  std::map<std::uint32_t, base::Name> devices;
  std::size_t device_calls = 0;
  LossSink sink;
  NetlinkEvents events;

  Recording()
      : events(testing::shared_names(), sink,
               [this](std::uint32_t index) { return ++device_calls, devices[index]; }) {}

  bool read(const std::string& name) {
    const auto recorded = testing::read_datagrams(name);
    if (!recorded) return false;
    for (const auto& [index, device] : recorded->devices)
      devices[index] = testing::shared_names().intern(device);
    for (const auto& one : recorded->all) events.datagram(one.bytes, one.time);
    return true;
  }
};

TEST(NetlinkEvents, ARecordedRunThroughLegacyIptablesNftAndNft) {
  Recording r;
  ASSERT_TRUE(r.read("netlink/mixed.bin"));
  EXPECT_EQ(r.sink.codes(), "");
  EXPECT_EQ(r.events.count(Kind::LegacyTrace), 32U);
  EXPECT_EQ(r.events.count(Kind::NftTrace), 43U);
  EXPECT_EQ(r.events.count(Kind::UserLog), 1U);
  EXPECT_EQ(r.events.count(Kind::Other),
            1U);  // the end of a batch: a user's NFLOG waits for the trace behind it
  EXPECT_EQ(r.events.count(Kind::Damaged), 0U);
  EXPECT_EQ(r.events.lost(), 0U);
  std::string said;
  for (const testing::Seen& seen : r.sink.seen) said += in_words(seen) + "\n";
  const std::string expected = testing::read_fixture("netlink/mixed.events").value_or("");
  if (std::getenv("FWTRACE_REBASE") != nullptr) {
    std::ofstream(FWTRACE_SOURCE_DIR "/tests/fixtures/netlink/mixed.events") << said;
    GTEST_SKIP() << "rewritten";
  }
  EXPECT_EQ(said, expected);
}

TEST(NetlinkEvents, LegacyAndNftSayTheSameOfOnePacket) {
  Recording r;
  ASSERT_TRUE(r.read("netlink/mixed.bin"));
  const testing::Seen& nft = r.sink.seen.at(0);     // the arming chain's headers
  const testing::Seen& legacy = r.sink.seen.at(2);  // raw PREROUTING
  ASSERT_EQ(nft.event.kind, EventKind::Headers);
  ASSERT_EQ(legacy.event.dialect, Dialect::KernelLog);
  packet::Packet whole = legacy.packet.value();
  auto* tcp = std::get_if<packet::Tcp>(&whole.transport);
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->options.state, packet::Options::State::Bytes);
  tcp->options = {};  // behind nft's 20 bytes
  EXPECT_EQ(whole, nft.packet.value());
  EXPECT_EQ(whole.in.text(), "lan0");
  EXPECT_TRUE(whole.out.empty());
  EXPECT_EQ(whole.link.source, packet::parse_mac("52:54:00:0a:01:02"));
  EXPECT_EQ(whole.link.destination, packet::parse_mac("52:54:00:0a:01:01"));
  EXPECT_EQ(whole.link.header.size, 14);
  EXPECT_EQ(whole.ports.source, 40001);
  EXPECT_EQ(whole.ports.destination, 8401);
  EXPECT_EQ(whole.length, 60U);
  EXPECT_EQ(tcp->flags, packet::kSyn);
  EXPECT_EQ(legacy.event.hook, Hook::Prerouting);
  EXPECT_TRUE(nft.event.has_trace_id);
  EXPECT_EQ(nft.event.trace_id, r.sink.seen.at(1).event.trace_id);
  // The packet's own time and the reader's: the one cannot be later.
  EXPECT_LE(legacy.event.time.wall_us, nft.event.time.wall_us + 1'000);
}

TEST(NetlinkEvents, EqualFormNumbersMeanEqualPackets) {
  Recording r;
  ASSERT_TRUE(r.read("netlink/mixed.bin"));
  std::map<std::uint64_t, packet::Packet> forms;
  std::size_t repeated = 0;
  for (const testing::Seen& seen : r.sink.seen) {
    if (!seen.packet) continue;
    ASSERT_NE(seen.event.form, 0U);
    const auto [known, added] = forms.try_emplace(seen.event.form, *seen.packet);
    if (added) continue;
    ++repeated;
    EXPECT_EQ(known->second, *seen.packet) << in_words(seen);
  }
  EXPECT_GT(repeated, 10U);
  const std::size_t calls = r.device_calls;
  EXPECT_LE(calls, forms.size() * 4);
}

// Messages that no kernel at hand sends.
class Message {
 public:
  Message(std::uint16_t type, std::uint8_t family) {
    put<std::uint32_t>(0);
    put<std::uint16_t>(type);
    bytes.resize(16);
    bytes.insert(bytes.end(), {family, 0, 0, 0});
  }
  Message& attribute(std::uint16_t type, const std::vector<std::uint8_t>& value) {
    put(static_cast<std::uint16_t>(4 + value.size()));
    put(type);
    bytes.insert(bytes.end(), value.begin(), value.end());
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return *this;
  }
  Message& text(std::uint16_t type, const std::string& value) {
    std::vector<std::uint8_t> out(value.begin(), value.end());
    out.push_back(0);
    return attribute(type, out);
  }
  template <class T>
  Message& number(std::uint16_t type, T value) {
    std::vector<std::uint8_t> out;
    for (std::size_t i = sizeof(T); i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return attribute(type, out);
  }
  Message& verdict(std::int32_t code) {
    Message nest(0, 0);
    nest.number(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(code));
    return attribute(NFTA_TRACE_VERDICT, {nest.bytes.begin() + 20, nest.bytes.end()});
  }
  std::vector<std::uint8_t> done() const {
    std::vector<std::uint8_t> out = bytes;
    const auto size = static_cast<std::uint32_t>(out.size());
    std::memcpy(out.data(), &size, sizeof size);
    return out;
  }

 private:
  template <class T>
  void put(T value) {
    std::array<std::uint8_t, sizeof(T)> raw;
    std::memcpy(raw.data(), &value, sizeof value);
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  std::vector<std::uint8_t> bytes;
};

constexpr std::uint16_t kNft = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE,
                        kLog = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET;

Message nft(std::uint32_t type) {
  return Message(kNft, 2)
      .number(NFTA_TRACE_TYPE, type)
      .text(NFTA_TRACE_TABLE, "t")
      .text(NFTA_TRACE_CHAIN, "c")
      .number(NFTA_TRACE_ID, 7U);
}

std::string one(const Message& message, Kind wanted = Kind::NftTrace) {
  Recording r;
  EXPECT_EQ(r.events.message(message.done(), stamp(1)), wanted);
  std::string said;
  for (const testing::Seen& seen : r.sink.seen) said += (said.empty() ? "" : "; ") + in_words(seen);
  return said;
}

TEST(NetlinkEvents, TheEndOfAChainInBothSpellings) {
  EXPECT_EQ(one(nft(NFT_TRACETYPE_RETURN).verdict(NFT_CONTINUE)), "nft ip t:c:return continue at end");
  EXPECT_EQ(one(nft(NFT_TRACETYPE_RULE).verdict(NFT_CONTINUE)), "nft ip t:c:return continue at end");
  const std::uint64_t handle = 9;
  EXPECT_EQ(one(nft(NFT_TRACETYPE_RULE).verdict(NFT_CONTINUE).number(NFTA_TRACE_RULE_HANDLE, handle)),
            "nft ip t:c:rule handle 9 continue");
  EXPECT_EQ(one(nft(NFT_TRACETYPE_RETURN).verdict(NFT_RETURN).number(NFTA_TRACE_RULE_HANDLE, handle)),
            "nft ip t:c:rule handle 9 return");
}

TEST(NetlinkEvents, PolicyInBothByteOrders) {
  EXPECT_EQ(one(nft(NFT_TRACETYPE_POLICY).number(NFTA_TRACE_POLICY, 1U)), "nft ip t:c:policy accept");
  EXPECT_EQ(one(nft(NFT_TRACETYPE_POLICY).number(NFTA_TRACE_POLICY, 0x01000000U)),
            "nft ip t:c:policy accept");
  EXPECT_EQ(one(nft(NFT_TRACETYPE_POLICY).number(NFTA_TRACE_POLICY, 0U)), "nft ip t:c:policy drop");
  EXPECT_EQ(one(nft(NFT_TRACETYPE_POLICY)), "nft ip t:c:policy");
}

TEST(NetlinkEvents, Verdicts) {
  const std::uint64_t handle = 9;
  const auto verdict = [&](std::int32_t code) {
    return one(nft(NFT_TRACETYPE_RULE).number(NFTA_TRACE_RULE_HANDLE, handle).verdict(code)).substr(25);
  };
  EXPECT_EQ(verdict(0), "drop");
  EXPECT_EQ(verdict(2), "stolen");
  EXPECT_EQ(verdict(5 << 16 | 3), "queue");
  EXPECT_EQ(verdict(4), "repeat");
  EXPECT_EQ(verdict(NFT_BREAK), "break");
  Recording r;  // of a stolen packet nothing more is known, of others the absent mark is 0
  r.events.message(nft(NFT_TRACETYPE_RULE).number(NFTA_TRACE_RULE_HANDLE, handle).verdict(2).done(),
                   stamp(1));
  r.events.message(nft(NFT_TRACETYPE_RULE).number(NFTA_TRACE_RULE_HANDLE, handle).verdict(1).done(),
                   stamp(1));
  EXPECT_EQ(r.sink.seen.at(0).event.mark, std::nullopt);
  EXPECT_EQ(r.sink.seen.at(1).event.mark, 0U);
  EXPECT_EQ(r.sink.seen.at(1).event.trace_id, 7U);  // as nft prints it
}

TEST(NetlinkEvents, ABridgedFrameSaysWhatItHolds) {
  const std::vector<std::uint8_t> frame{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 42, 8, 6};
  const std::vector<std::uint8_t> arp{0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0,  0, 0, 2,
                                      10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2};
  Recording r;
  r.devices[3] = testing::shared_names().intern("p1");
  Message message = nft(NFT_TRACETYPE_POLICY);
  message.number(NFTA_TRACE_NFPROTO, 7U)
      .number(NFTA_TRACE_IIF, 3U)
      .number(NFTA_TRACE_IIFTYPE, std::uint16_t{1});
  message.attribute(NFTA_TRACE_LL_HEADER, frame).attribute(NFTA_TRACE_NETWORK_HEADER, arp);
  r.events.message(message.done(), stamp(1));
  ASSERT_EQ(r.sink.seen.size(), 2U);
  const packet::Packet& p = r.sink.seen[0].packet.value();
  EXPECT_EQ(p.in.text(), "p1");
  EXPECT_EQ(p.link.vlan, 42);
  EXPECT_EQ(p.link.ethertype, packet::ethertype::kArp);
  EXPECT_EQ(std::get<packet::Arp>(p.transport).target_ip, packet::parse_ip("10.0.0.2"));
}

TEST(NetlinkEvents, OnlyTracesOfGroup0AreEventsAndEachNumberCounts) {
  Recording r;
  std::vector<std::uint8_t> all;
  const auto add = [&](std::uint32_t sequence, const std::string& prefix) {
    const auto bytes = Message(kLog, 10).number(NFULA_SEQ, sequence).text(NFULA_PREFIX, prefix).done();
    all.insert(all.end(), bytes.begin(), bytes.end());
  };
  add(0xfffffffeU, "TRACE: raw:PREROUTING:policy:2 ");
  add(0xffffffffU, "TRACE: of my own");
  add(0, "drop: ");
  add(3, "TRACE: filter:a:b:c:return:4294967295 ");
  add(4, "TRACE: filter:a:rule:4294967296 ");
  add(5, "TRACE: ::rule:1 ");
  add(6, "");
  r.events.datagram(all, stamp(1));
  EXPECT_EQ(r.events.count(Kind::LegacyTrace), 2U);
  EXPECT_EQ(r.events.count(Kind::UserLog), 5U);
  EXPECT_EQ(r.events.lost(), 2U);
  ASSERT_EQ(r.sink.losses.size(), 1U);
  EXPECT_EQ(r.sink.losses[0].lines, 2U);
  EXPECT_EQ(in_words(r.sink.seen.at(1)),
            "legacy ip6 filter:a:b:c:return:4294967295 " + packet::print_endpoints({}));
  EXPECT_TRUE(r.sink.seen.at(1).packet->damaged);  // no payload
}

TEST(NetlinkEvents, DamagedMessagesAreCountedAndEndNothing) {
  const auto whole = nft(NFT_TRACETYPE_POLICY).number(NFTA_TRACE_POLICY, 1U).done();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Recording r;
    std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    r.events.datagram(cut, stamp(1));
    EXPECT_EQ(r.events.count(Kind::Damaged), size == 0 ? 0U : 1U);
    if (size < 16) continue;
    const auto length = static_cast<std::uint32_t>(size);  // a message that says itself that it is short
    std::memcpy(cut.data(), &length, sizeof length);
    r.events.message(cut, stamp(1));
  }
  EXPECT_EQ(one(nft(9), Kind::Damaged), "");
  EXPECT_EQ(one(Message(kNft, 2).number(NFTA_TRACE_TYPE, 1U), Kind::Damaged), "");
  EXPECT_EQ(one(Message(NLMSG_ERROR, 0), Kind::Other), "");
}

}  // namespace
}  // namespace fwtrace::trace
