// Replies through NAT against the real kernel: which packets are armed, where, and how often they are decided on.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "live/nat_box.h"

namespace fwtrace::live {
namespace {

// A change of the ruleset would make everybody who is reading it begin anew, and would hide real changes from us.
TEST_P(NatTest, PortForwardFromTheFirstPacketOn) {
  port_forward();
  const auto live = arm_for({"-p", "tcp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  const Peer listener = server(SOCK_STREAM, 80);
  {
    const Peer client = dial("10.9.0.1", 8080);
    const Peer accepted = listener.accept();
    ASSERT_TRUE(accepted.send());
    ASSERT_TRUE(client.receive());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  auto chains = met(*live);
  EXPECT_GE(chains["start"], 6U) << "SYN, SYN-ACK, ACK, data, ACK, FINs";
  EXPECT_EQ(chains["start-original"], 0U) << "the SYN had taught what its answer looks like";
  EXPECT_EQ(chains["left"], chains["start"]);
  EXPECT_EQ(chains["original"], chains["start"])
      << "one event for each packet, none of them decided on again";
  EXPECT_EQ(chains["after-conntrack"], 0U) << "'original' says the same";
}

TEST_P(NatTest, PortForwardThatWasThereBefore) {
  port_forward();
  const Peer listener = server(SOCK_STREAM, 80);
  const Peer client = dial("10.9.0.1", 8080);
  const Peer accepted = listener.accept();
  const auto live = arm_for({"-p", "tcp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  ASSERT_TRUE(accepted.send());
  ASSERT_TRUE(client.receive());
  auto chains = met(*live);
  EXPECT_EQ(chains["start-original"], 1U) << "the first data that we see goes in reply direction: armed late";
  EXPECT_EQ(chains["start"], 1U) << "its ACK";
  ASSERT_TRUE(accepted.send());
  ASSERT_TRUE(client.receive());
  chains = met(*live, std::move(chains));
  EXPECT_EQ(chains["start-original"], 1U);
  EXPECT_EQ(chains["start"], 3U) << "the ACK taught it: the second data is armed before raw";
}

TEST_P(NatTest, UdpPortForward) {
  translate("-A PREROUTING -p udp --dport 8080 -j DNAT --to-destination 10.7.0.2:53", "prerouting",
            "udp dport 8080 dnat to 10.7.0.2:53");
  const auto live = arm_for({"-p", "udp", "--dport", "8080"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  Peer asks = client(SOCK_DGRAM);
  const Peer answers = server(SOCK_DGRAM, 53);
  ASSERT_TRUE(asks.connect("10.9.0.1", 8080));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(asks.send());
    ASSERT_TRUE(answers.answer());
    ASSERT_TRUE(asks.receive());
  }
  auto chains = met(*live);
  EXPECT_EQ(chains["start"], 6U);
  EXPECT_EQ(chains["left"], 6U);
}

TEST_P(NatTest, FragmentsOfAPortForwardAreDecidedOnOnce) {
  translate("-A PREROUTING -p udp --dport 8080 -j DNAT --to-destination 10.7.0.2:53", "prerouting",
            "udp dport 8080 dnat to 10.7.0.2:53");
  // The judge sees fragments: here only the datagrams are counted.
  const auto live = arm_for({"-p", "udp", "--dport", "8080"}, "udp dport { 8080, 53 }");
  ASSERT_TRUE(live);
  const Peer listener = server(SOCK_DGRAM, 53);
  box_->send_udp("10.9.0.1", 8080, 5, 4000);
  auto chains = met(*live);
  EXPECT_EQ(chains["start"], 5U);
  EXPECT_EQ(chains["original"], 5U);
}

TEST_P(NatTest, Masquerade) {
  translate("-A POSTROUTING -o vm0 -j MASQUERADE", "postrouting", "oifname \"vm0\" masquerade");
  const auto live = arm_for({"-s", "10.9.0.2", "-p", "udp"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  Peer asks = client(SOCK_DGRAM);
  const Peer answers = server(SOCK_DGRAM, 53);
  ASSERT_TRUE(asks.connect("10.7.0.2", 53));
  ASSERT_TRUE(asks.send());
  ASSERT_TRUE(answers.answer());
  ASSERT_TRUE(asks.receive());
  auto chains = met(*live);
  EXPECT_EQ(chains["start"], 2U) << "the answer goes to the box's own address when it comes in";
  EXPECT_EQ(chains["left"], 2U);
}

// `-d CLIENT`: what the user asks for has that address only when its translation is undone.
TEST_P(NatTest, WhatGoesToAnAddressBehindMasquerade) {
  translate("-A POSTROUTING -o vm0 -j MASQUERADE", "postrouting", "oifname \"vm0\" masquerade");
  Peer asks = client(SOCK_DGRAM);
  const Peer answers = server(SOCK_DGRAM, 53);
  ASSERT_TRUE(asks.connect("10.7.0.2", 53));
  {
    const auto live = arm_for({"-d", "10.9.0.2", "-p", "udp"}, "meta l4proto udp");
    ASSERT_TRUE(live);
    ASSERT_TRUE(asks.send());
    ASSERT_TRUE(answers.answer());
    ASSERT_TRUE(asks.receive());
    auto chains = met(*live);
    EXPECT_EQ(chains["start"], 2U);
    EXPECT_TRUE(live->arming.disarm());
  }
  Box::run("nft delete table inet judge");
  const auto live = arm_for({"-d", "10.9.0.2", "-p", "udp"}, "udp sport 53", false);  // --one-way
  ASSERT_TRUE(live);
  ASSERT_TRUE(asks.send());
  ASSERT_TRUE(answers.answer());
  ASSERT_TRUE(asks.receive());
  EXPECT_EQ(met(*live)["start"], 1U);
}

TEST_P(NatTest, EchoRepliesAreArmedBehindConntrack) {
  translate("-A POSTROUTING -o vm0 -j MASQUERADE", "postrouting", "oifname \"vm0\" masquerade");
  const auto live = arm_for({"--icmp-type", "echo-request", "-s", "10.9.0.2"}, "meta l4proto icmp");
  ASSERT_TRUE(live);
  EXPECT_TRUE(box_->ping(Box::From::Neighbour, "10.7.0.2"));
  EXPECT_TRUE(box_->ping(Box::From::Neighbour, "10.7.0.2"));
  auto chains = met(*live);
  EXPECT_EQ(chains["start"], 2U);
  EXPECT_EQ(chains["start-original"], 2U);
  EXPECT_EQ(chains["left"], 4U);
}

TEST_P(NatTest, IcmpErrorsAboutTranslatedPackets) {
  translate("-A PREROUTING -p udp --dport 8080 -j DNAT --to-destination 10.7.0.2:53", "prerouting",
            "udp dport 8080 dnat to 10.7.0.2:53");
  const auto live = arm_for({"-p", "udp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto { udp, icmp }");
  ASSERT_TRUE(live);
  Peer asks = client(SOCK_DGRAM);
  ASSERT_TRUE(asks.connect("10.9.0.1", 8080));
  ASSERT_TRUE(asks.send());
  EXPECT_FALSE(asks.receive()) << "nobody listens there";
  auto chains = met(*live);
  EXPECT_EQ(chains["start"], 1U);
  EXPECT_EQ(chains["start-original"], 1U)
      << "it quotes the translated packet: only conntrack knows whose it is";
  EXPECT_EQ(chains["left"], 2U);
}

TEST_P(NatTest, RedirectedToTheBoxItself) {
  translate("-A PREROUTING -p udp --dport 8080 -j REDIRECT --to-ports 53", "prerouting",
            "udp dport 8080 redirect to :53");
  const Peer answers(SOCK_DGRAM, "10.9.0.1", 53);
  Peer asks = client(SOCK_DGRAM);
  ASSERT_TRUE(asks.connect("10.9.0.1", 8080));
  {
    const auto live = arm_for({"-p", "udp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto udp");
    ASSERT_TRUE(live);
    ASSERT_TRUE(asks.send());
    ASSERT_TRUE(answers.answer());
    ASSERT_TRUE(asks.receive());
    auto chains = met(*live);
    EXPECT_EQ(chains["start"], 1U);
    EXPECT_EQ(chains["start-sent"], 1U) << "learned when the request was delivered";
    EXPECT_EQ(chains["delivered"], 1U);
    EXPECT_EQ(chains["left"], 1U);
    EXPECT_TRUE(live->arming.disarm());
  }
  Box::run("nft delete table inet judge");
  // A request that went by before we came.
  ASSERT_TRUE(asks.send());
  const auto live = arm_for({"-p", "udp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  ASSERT_TRUE(answers.answer());
  ASSERT_TRUE(asks.receive());
  auto chains = met(*live);
  EXPECT_EQ(chains["start-original-sent"], 1U);
  EXPECT_EQ(chains["left"], 1U);
}

// A filter that says the address behind the port forward is armed wider, and finds the request.
TEST_P(NatTest, AnAddressThatHoldsOnlyAfterNat) {
  port_forward();
  const auto live = arm_for({"-p", "tcp", "-d", "10.7.0.2", "--dport", "80"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  const Peer listener = server(SOCK_STREAM, 80);
  {
    const Peer client = dial("10.9.0.1", 8080);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_GE(met(*live)["start"], 3U);
}

TEST_P(NatTest, WhatTheBoxItselfSendsIsTranslatedOnOutput) {
  translate("-A OUTPUT -p udp -d 10.7.0.99 --dport 8080 -j DNAT --to-destination 10.7.0.2:53", "output",
            "ip daddr 10.7.0.99 udp dport 8080 dnat to 10.7.0.2:53");
  const auto live = arm_for({"-p", "udp", "-d", "10.7.0.99"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  Peer asks(SOCK_DGRAM, "10.7.0.1", 4000);
  const Peer answers = server(SOCK_DGRAM, 53);
  ASSERT_TRUE(asks.connect("10.7.0.99", 8080));
  ASSERT_TRUE(asks.send());
  ASSERT_TRUE(answers.answer());
  ASSERT_TRUE(asks.receive());
  auto chains = met(*live);
  EXPECT_EQ(chains["start-sent"], 1U);
  EXPECT_EQ(chains["start"], 1U);
}

TEST_P(NatTest, Ipv6PortForward) {
  translate("-A PREROUTING -p udp --dport 8080 -j DNAT --to-destination [fd07::2]:53", "prerouting",
            "udp dport 8080 dnat to [fd07::2]:53", true);
  const auto live = arm_for({"-p", "udp", "-d", "fd09::1", "--dport", "8080"}, "meta l4proto udp");
  ASSERT_TRUE(live);
  Peer asks = client(SOCK_DGRAM, 4000, "fd09::2");
  const Peer answers = server(SOCK_DGRAM, 53, "fd07::2");
  ASSERT_TRUE(asks.connect("fd09::1", 8080));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(asks.send());
    ASSERT_TRUE(answers.answer());
    ASSERT_TRUE(asks.receive());
  }
  EXPECT_EQ(met(*live)["start"], 4U);
}

// Our `ct` expressions hold conntrack while they are in, and let go of it with us.
// What is learned is bounded; beyond that, replies are armed behind conntrack.
// Also of the tests in nat_kept_test.cpp.
INSTANTIATE_TEST_SUITE_P(All, NatTest, testing::Values(System::Legacy, System::IptablesNft, System::Nft),
                         print_system);

}  // namespace
}  // namespace fwtrace::live
