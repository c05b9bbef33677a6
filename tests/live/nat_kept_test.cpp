// What arming behind conntrack leaves alone: conntrack itself, the ruleset, the other IP version, other packets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <thread>

#include "live/nat_box.h"

namespace fwtrace::live {
namespace {

// nft's generation of the ruleset; 0 if it cannot be read.
std::uint32_t generation() {
  auto socket = host::NetlinkSocket::open();
  if (!socket) return 0;
  host::NetlinkRequest request = socket->request();
  nlmsghdr* header = mnl_nlmsg_put_header(request.next("generation"));
  header->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  header->nlmsg_seq = request.sequence();
  mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg));
  request.finish();
  std::uint32_t found = 0;
  const auto read = [&](const void* message) {
    const auto* reply = static_cast<const nlmsghdr*>(message);
    const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(reply, sizeof(nfgenmsg)));
    if (mnl_attr_get_type(attribute) == NFTA_GEN_ID) found = ntohl(mnl_attr_get_u32(attribute));
  };
  return socket->transact(request, read).ok() ? found : 0;
}

TEST_P(NatTest, LearningIsNoChangeOfTheRuleset) {
  port_forward();
  const auto live = arm_for({"-p", "tcp", "--dport", "8080"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  const std::uint32_t before = generation();
  ASSERT_NE(before, 0U);
  const Peer listener = server(SOCK_STREAM, 80);
  const Peer client = dial("10.9.0.1", 8080);
  const std::string table = Box::run("nft list table ip " + live->arming.table());
  EXPECT_NE(table.find("elements = { tcp . 10.7.0.2 . 80 . 10.9.0.2 . "), std::string::npos) << table;
  EXPECT_EQ(generation(), before);
}

TEST_P(NatTest, ExclusionsHoldBehindConntrackToo) {
  translate("-A POSTROUTING -o vm0 -j MASQUERADE", "postrouting", "oifname \"vm0\" masquerade");
  const auto live = arm_for({"-p", "udp", "-s", "10.9.0.2", "!", "--dport", "53"},
                            "udp sport . udp dport { 4054 . 54, 54 . 4054 }");
  ASSERT_TRUE(live);
  for (const std::uint16_t port : {53, 54}) {
    Peer asks = client(SOCK_DGRAM, static_cast<std::uint16_t>(4000 + port));
    const Peer answers = server(SOCK_DGRAM, port);
    ASSERT_TRUE(asks.connect("10.7.0.2", port));
    ASSERT_TRUE(asks.send());
    ASSERT_TRUE(answers.answer());
    ASSERT_TRUE(asks.receive());
  }
  auto chains = met(*live);
  EXPECT_EQ(chains["start"] + chains["start-original"], 2U);
}

// Replies that nobody translated fit the mirrored filter at "first" and conntrack's tuple at "original".
TEST_P(NatTest, WhatWasDecidedOnBeforeConntrackIsNotDecidedOnAgain) {
  port_forward();  // conntrack is on
  const Peer answers = server(SOCK_DGRAM, 53);
  Peer asks = client(SOCK_DGRAM);
  ASSERT_TRUE(asks.connect("10.7.0.2", 53));
  const std::vector<std::vector<std::string>> filters{{"-p", "udp", "--dport", "53"},
                                                      {"-p", "udp", "-d", "10.7.0.2", "!", "--sport", "9"}};
  for (const auto& words : filters) {
    SCOPED_TRACE(testing::PrintToString(words));
    const auto live = arm_for(words, "meta l4proto udp", true, false, {.rate = 10, .burst = 10});
    ASSERT_TRUE(live);
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(asks.send());
      ASSERT_TRUE(answers.answer());
      ASSERT_TRUE(asks.receive());
    }
    Chains chains;
    for (const Seen& seen : collect(*live)) ++chains[seen.chain];
    const auto counters = live->arming.counters();
    ASSERT_TRUE(counters);
    EXPECT_EQ(counters->matched, judged());
    EXPECT_EQ(counters->matched, 200U);
    EXPECT_LT(counters->armed, 100U) << "what was over the rate got no second chance";
    EXPECT_EQ(chains["start"], counters->armed);
    EXPECT_EQ(chains["start-original"], 0U);
    EXPECT_TRUE(live->arming.disarm());
    Box::run("nft delete table inet judge");
  }
}

TEST_P(NatTest, RepliesThatComeInThroughABridge) {
  // The port stays, so that the mirrored filter finds replies too: at the bridge's port, if that is armed.
  translate("-A PREROUTING -i veth0 -p tcp --dport 80 -j DNAT --to-destination 10.7.0.2", "prerouting",
            "iifname \"veth0\" tcp dport 80 dnat to 10.7.0.2");
  ASSERT_EQ(Box::run("ip link add br0 type bridge; ip addr flush dev vm0; ip link set vm0 master br0;"
                     "ip addr add 10.7.0.1/24 dev br0; ip link set br0 up; sleep 0.1"),
            "");
  const std::vector<std::vector<std::string>> filters{{"-p", "tcp", "--dport", "80"},
                                                      {"-p", "tcp", "--dport", "80", "!", "-s", "10.1.1.1"},
                                                      {"-p", "tcp", "-d", "10.9.0.1", "--dport", "80"}};
  for (const auto& words : filters) {
    for (const bool bridge : {false, true}) {
      SCOPED_TRACE(testing::PrintToString(words) + (bridge ? ", bridge armed" : ""));
      const auto live = arm_for(words, "meta l4proto tcp", true, bridge);
      ASSERT_TRUE(live);
      const Peer listener = server(SOCK_STREAM, 80);
      {
        const Peer client = dial("10.9.0.1", 80);
        const Peer accepted = listener.accept();
        ASSERT_TRUE(accepted.send());
        ASSERT_TRUE(client.receive());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      auto chains = met(*live);
      EXPECT_GE(chains["start"], 6U);
      EXPECT_EQ(chains["start-original"], 0U);
      EXPECT_TRUE(live->arming.disarm());
      Box::run("nft delete table inet judge");
    }
  }
}

TEST_P(NatTest, OneVersionOnly) {
  port_forward();  // conntrack is on for IPv4
  const auto live = arm_for({"-p", "udp"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  EXPECT_EQ(Box::run("nft list tables | grep fwtrace"),
            "table ip " + live->arming.table() + "\ntable ip6 " + live->arming.table() + "\n");
  const auto found = host::find_our_tables();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->size(), 2U);
  box_->send_udp("10.8.0.2", 53, 2);
  box_->send_udp("fd08::2", 53, 3);
  auto chains = met(*live);
  EXPECT_EQ(chains["start"], 5U);
  EXPECT_EQ(chains["left"], 5U);
  EXPECT_EQ(chains["original"], 2U);
  EXPECT_EQ(chains["after-conntrack"], 3U);
  EXPECT_NE(Box::run("cat /proc/thread-self/net/nf_conntrack").find("ipv4"), std::string::npos);
  EXPECT_EQ(Box::run("cat /proc/thread-self/net/nf_conntrack").find("ipv6"), std::string::npos)
      << "we switched conntrack on for IPv6";
}

TEST_P(NatTest, ConntrackIsLeftAsItWas) {
  port_forward();
  const auto entries = [] { return std::stoi(Box::run("cat /proc/sys/net/netfilter/nf_conntrack_count")); };
  auto live = arm_for({"-p", "tcp", "--dport", "8080"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  EXPECT_EQ(
      Box::run(
          "nft list ruleset 2>/dev/null | sed 's/fwtrace-[0-9]*/copy/; s/flags owner//' >/tmp/fwtrace-nat.nft;"
          "nft -c -f /tmp/fwtrace-nat.nft; rm -f /tmp/fwtrace-nat.nft"),
      "")
      << "an admin may save our table, and must be able to load the file";
  // The user's last rule that needs conntrack goes.
  Box::run(GetParam() == System::Legacy        ? "iptables-legacy -t nat -F"
           : GetParam() == System::IptablesNft ? "iptables-nft -t nat -F"
                                               : "nft delete table ip mynat");
  const int before = entries();
  box_->send_udp("10.8.0.2", 53, 1, 16, 4001);
  EXPECT_EQ(entries(), before + 1) << "it stays on as long as we are here";
  live.reset();
  box_->send_udp("10.8.0.2", 53, 1, 16, 4002);
  EXPECT_EQ(entries(), before + 1) << "and is off again without us";
}

TEST_F(NatBox, WhereConntrackIsOffItStaysOff) {
  const auto entries = [] { return Box::run("cat /proc/sys/net/netfilter/nf_conntrack_count"); };
  EXPECT_EQ(entries(), "0\n");
  const auto live = arm_for({"-p", "udp", "--dport", "53"}, "udp dport 53");
  ASSERT_TRUE(live);
  EXPECT_FALSE(live->arming.behind_conntrack());
  EXPECT_EQ(Box::run("nft list table inet " + live->arming.table() + " | grep -w ct"), "(exit 1)");
  box_->send_udp("10.8.0.2", 53, 3);
  box_->send_udp("fd08::2", 53, 3);
  EXPECT_EQ(met(*live)["start"], 6U);
  EXPECT_EQ(entries(), "0\n");
}

TEST_P(NatTest, AFullSetOfLearnedTuplesIsNoHarm) {
  translate("-A POSTROUTING -o vm0 -j MASQUERADE", "postrouting", "oifname \"vm0\" masquerade");
  const auto live = arm_for({"-s", "10.9.0.2", "-p", "udp"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  for (int i = 0; i < 4200; ++i) {
    box_->send_udp("10.7.0.2", 9, 1, 16, static_cast<std::uint16_t>(10'000 + i));
    if (i % 100 == 0) collect(*live, 0);
  }
  collect(*live);
  Peer asks = client(SOCK_DGRAM);
  const Peer answers = server(SOCK_DGRAM, 53);
  ASSERT_TRUE(asks.connect("10.7.0.2", 53));
  ASSERT_TRUE(asks.send());
  ASSERT_TRUE(answers.answer());
  ASSERT_TRUE(asks.receive());
  Chains chains;
  for (const Seen& seen : collect(*live)) ++chains[seen.chain];
  EXPECT_EQ(chains["start-original"], 1U);
  EXPECT_EQ(chains["left"], 2U);
}

}  // namespace
}  // namespace fwtrace::live
