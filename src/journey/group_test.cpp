// Grouping: which events are one packet. The laws of group.h, each on a few lines.

#include "journey/group.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "trace/log_reader.h"

namespace fwtrace::journey {
namespace {

// A SYN of one flow; every value differs from every other.
struct Line {
  std::string head;  // "raw:PREROUTING:policy:2"
  std::string devices = "IN=eth0 OUT=";
  std::string source = "10.1.0.2", destination = "10.2.0.3";
  int id = 4711, ttl = 64, sport = 40000, dport = 80;
  unsigned seq = 1000;
  std::string before{};  // wrapper
  std::string text() const {
    return before + "TRACE: " + head + " " + devices + " SRC=" + source + " DST=" + destination +
           " LEN=60 TOS=0x00 PREC=0x00 TTL=" + std::to_string(ttl) + " ID=" + std::to_string(id) +
           " DF PROTO=TCP SPT=" + std::to_string(sport) + " DPT=" + std::to_string(dport) +
           " SEQ=" + std::to_string(seq) + " ACK=0 WINDOW=512 RES=0x00 SYN URGP=0 \n";
  }
};

// The heads of each journey, in order: "raw:PREROUTING:policy filter:INPUT:rule".
std::vector<std::string> group(const std::string& text, GroupLimits limits = {}) {
  base::Names names;
  Seen seen;
  Summary summary;
  std::vector<std::string> out;
  Grouper grouper(
      seen, summary,
      [&](Journey& j) {
        std::string heads;
        for (const Step& s : j.steps) {
          if (!heads.empty()) heads += ' ';
          heads += std::string(s.table.text()) + ":" + std::string(s.chain.text()) + ":" +
                   std::to_string(s.number);
        }
        out.push_back(heads);
      },
      limits);
  trace::LogReader reader(names, grouper);
  reader.begin(1);
  reader.push(text);
  reader.finish();
  grouper.end_of_input();
  grouper.finish();
  EXPECT_EQ(summary.events, reader.line_kinds()[0]);
  return out;
}

using Journeys = std::vector<std::string>;

TEST(Group, OnePacketThroughNatAndRouting) {
  Line a{"raw:PREROUTING:policy:2"}, b{"nat:PREROUTING:rule:1"}, c{"filter:FORWARD:rule:3"};
  c.devices = "IN=eth0 OUT=br0";
  c.destination = "192.168.1.9";
  c.dport = 8080;
  c.ttl = 63;
  EXPECT_EQ(group(a.text() + b.text() + c.text()),
            Journeys{"raw:PREROUTING:2 nat:PREROUTING:1 filter:FORWARD:3"});
}

TEST(Group, BothEndsCannotChangeAtOnce) {
  Line a{"raw:PREROUTING:policy:2"}, b{"filter:FORWARD:rule:3"};
  b.source = "10.9.9.9";
  b.destination = "10.8.8.8";
  EXPECT_EQ(group(a.text() + b.text()).size(), 2U);
}

TEST(Group, WithinATableNothingIsRewritten) {
  Line a{"filter:FORWARD:rule:1"}, b{"filter:FORWARD:rule:3"};
  b.destination = "10.9.9.9";
  EXPECT_EQ(group(a.text() + b.text()).size(), 2U);
}

TEST(Group, ARetransmitWithTheSameIdIsAnotherPacket) {
  std::string text;
  for (int i = 0; i < 3; ++i) {
    Line a{"raw:PREROUTING:policy:2"}, b{"filter:INPUT:rule:3"};
    a.id = b.id = 0;
    text += a.text() + b.text();
  }
  EXPECT_EQ(group(text), (Journeys(3, "raw:PREROUTING:2 filter:INPUT:3")));
}

TEST(Group, TheSameRuleTwiceIsTwoPackets) {
  const Line a{"filter:INPUT:rule:3"};
  EXPECT_EQ(group(a.text() + a.text()).size(), 2U);
}

TEST(Group, InterleavedCpusAreToldApart) {
  Line a{"raw:PREROUTING:policy:2"}, b = a, c{"filter:INPUT:rule:3"}, d = c;
  b.id = d.id = 4712;
  EXPECT_EQ(group(a.text() + b.text() + d.text() + c.text()),
            (Journeys(2, "raw:PREROUTING:2 filter:INPUT:3")));
}

TEST(Group, TwoHostsInOneFileAreTwoPackets) {
  Line a{"raw:PREROUTING:policy:2"}, b{"filter:FORWARD:rule:3"};
  a.before = "Nov 23 12:00:00 one kernel: ";
  b.before = "Nov 23 12:00:00 two kernel: ";
  EXPECT_EQ(group(a.text() + b.text()).size(), 2U);
}

TEST(Group, WhatLeavesByLoComesInAgain) {
  Line a{"raw:OUTPUT:policy:2"}, b{"mangle:POSTROUTING:policy:1"}, c{"raw:PREROUTING:policy:2"},
      d{"filter:INPUT:rule:3"};
  a.devices = b.devices = "IN= OUT=lo";
  c.devices = d.devices = "IN=lo OUT=";
  EXPECT_EQ(group(a.text() + b.text() + c.text() + d.text()).size(), 1U);
  c.devices = d.devices = "IN=eth0 OUT=";  // the same packet, met again by another namespace
  EXPECT_EQ(group(a.text() + b.text() + c.text() + d.text()).size(), 2U);
}

TEST(Group, ALongSilenceEndsAPacket) {
  Line a{"raw:PREROUTING:policy:2"}, b{"filter:INPUT:rule:3"};
  a.before = "[ 100.000000] ";
  b.before = "[ 100.900000] ";
  EXPECT_EQ(group(a.text() + b.text()).size(), 1U);
  b.before = "[ 111.000000] ";
  EXPECT_EQ(group(a.text() + b.text()).size(), 2U);
}

TEST(Group, TheWindowBoundsWhatIsKeptOpen) {
  Line a{"raw:PREROUTING:policy:2"}, b{"filter:INPUT:rule:3"};
  std::string between;
  for (int i = 0; i < 20; ++i) {
    Line other{"raw:PREROUTING:policy:2"};
    other.id = 5000 + i;
    between += other.text();
  }
  EXPECT_EQ(group(a.text() + between + b.text()).size(), 21U);
  GroupLimits narrow;
  narrow.window = 10;
  EXPECT_EQ(group(a.text() + between + b.text(), narrow).size(), 22U);
}

TEST(Group, AUserChainIsEnteredFromARuleOfItsCaller) {
  const Line jump{"filter:INPUT:rule:2"}, inside{"filter:SVC:return:1"}, back{"filter:INPUT:rule:4"};
  EXPECT_EQ(group(jump.text() + inside.text() + back.text()).size(), 1U);
  // The same user chain again without a jump in between is another packet.
  EXPECT_EQ(group(inside.text() + inside.text()).size(), 2U);
  // A caller that a late start had not seen.
  EXPECT_EQ(group(inside.text() + back.text()).size(), 1U);
}

TEST(Group, ADamagedLineJoinsWhatItCanOnlyBelongTo) {
  const Line a{"raw:PREROUTING:policy:2"}, b{"filter:INPUT:rule:3"};
  std::string damaged = b.text();
  damaged.replace(damaged.find("PROTO=TCP"), 9, "PRTCP");
  EXPECT_EQ(group(a.text() + damaged), Journeys{"raw:PREROUTING:2 filter:INPUT:3"});
  EXPECT_EQ(group(damaged + b.text()).size(), 2U);  // the same rule twice
}

std::string nft(const std::string& id, const std::string& chain, const std::string& rest) {
  return "trace id " + id + " ip filter " + chain + " " + rest + "\n";
}
std::string headers(int ip_id) {
  return "packet: iif \"eth0\" ip saddr 10.1.0.2 ip daddr 10.2.0.3 ip dscp cs0 ip ecn not-ect ip ttl 64 ip id " +
         std::to_string(ip_id) +
         " ip protocol tcp ip length 60 tcp sport 4 tcp dport 80 tcp flags == syn tcp window 512";
}

// The reader may sleep long before a packet comes, and be woken when only half of its events are queued.
TEST(Group, APacketIsNotCutBecauseTheLastTickWasLongAgo) {
  base::Names names;
  Seen seen;
  Summary summary;
  std::vector<std::size_t> steps;
  GroupLimits limits;
  limits.live = true;
  Grouper grouper(seen, summary, [&](Journey& j) { steps.push_back(j.steps.size()); }, limits);
  trace::LogReader reader(names, grouper);
  reader.begin(1);
  grouper.tick(1'000'000);
  reader.push(Line{"raw:PREROUTING:policy:2"}.text());
  grouper.tick(1'100'000);
  reader.push(Line{"filter:INPUT:policy:4"}.text());
  grouper.tick(1'103'000);
  EXPECT_TRUE(steps.empty());
  grouper.tick(1'300'000);
  EXPECT_EQ(steps, std::vector<std::size_t>{2});
}

TEST(Group, NftReusesATraceIdForAnotherPacketAtOnce) {
  const std::string one = nft("aa", "pre", headers(1)) + nft("aa", "pre", "policy accept") +
                          nft("aa", "input", headers(1)) + nft("aa", "input", "policy accept");
  std::string two = one;
  for (std::size_t at = 0; (at = two.find("ip id 1", at)) != std::string::npos; ++at)
    two.replace(at, 7, "ip id 2");
  EXPECT_EQ(group(one + two).size(), 2U);
  EXPECT_EQ(group(one + one).size(), 2U);  // even with the same headers: it met "pre" twice
}

TEST(Group, NftChangesTheTraceIdOfOnePacket) {
  EXPECT_EQ(group(nft("aa", "pre", headers(1)) + nft("aa", "pre", "policy accept") +
                  nft("bb", "input", headers(1)) + nft("bb", "input", "policy accept"))
                .size(),
            1U);
}

}  // namespace
}  // namespace fwtrace::journey
