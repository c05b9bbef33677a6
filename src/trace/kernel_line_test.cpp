// The kernel log's own lines: fields with two meanings, joined, wrapped, cut and damaged lines.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "trace/log_reader.h"

namespace fwtrace::trace {
namespace {

struct Seen {
  Event event;
  packet::Packet packet;
};

class Collector : public Sink {
 public:
  void event(const Event& event) override {
    events.push_back({event, event.packet != nullptr ? *event.packet : packet::Packet{}});
  }
  void loss(const Loss& loss) override { losses.push_back(loss); }
  void diagnostic(base::Diagnostic diagnostic) override { diagnostics.push_back(std::move(diagnostic)); }
  std::vector<Seen> events;
  std::vector<Loss> losses;
  std::vector<base::Diagnostic> diagnostics;
};

struct Reading {
  base::Names names;
  Collector got;
  LogReader reader{names, got};
  // In chunks of `size` bytes, since nothing may depend on them.
  void read(std::string_view text, std::size_t size = 7) {
    reader.begin(1);
    for (std::size_t i = 0; i < text.size(); i += size) reader.push(text.substr(i, size));
    reader.finish();
  }
  std::uint64_t count(LineKind kind) const { return reader.line_kinds()[static_cast<std::size_t>(kind)]; }
};

constexpr std::string_view kTcp =
    "TRACE: filter:FORWARD:rule:7 IN=em1 OUT=virbr1 MAC=ec:f4:bb:f1:4e:f0:00:25:46:70:2e:41:08:00 SRC=10.36.7.11 "
    "DST=192.168.101.10 LEN=64 TOS=0x02 PREC=0x20 TTL=58 ID=10953 DF PROTO=TCP SPT=54451 DPT=80 SEQ=1779626624 "
    "ACK=17 WINDOW=65535 RES=0x00 ACK SYN URGP=3 OPT (020404D8) UID=1000 GID=100 MARK=0x2a ";

TEST(KernelLine, EveryFieldOfATcpLine) {
  Reading r;
  r.read(std::string(kTcp) + "\n");
  ASSERT_EQ(r.got.events.size(), 1U);
  const Event& e = r.got.events[0].event;
  EXPECT_EQ(e.kind, EventKind::Rule);
  EXPECT_EQ(e.table.text(), "filter");
  EXPECT_EQ(e.chain.text(), "FORWARD");
  EXPECT_EQ(e.number, 7U);
  EXPECT_EQ(e.family, packet::Family::Ip);
  const packet::Packet& p = r.got.events[0].packet;
  EXPECT_EQ(p.in.text(), "em1");
  EXPECT_EQ(p.out.text(), "virbr1");
  EXPECT_EQ(p.link.ethertype, 0x0800);
  EXPECT_EQ(packet::print_mac(*p.link.source), "00:25:46:70:2e:41");
  EXPECT_EQ(p.length, 64U);
  EXPECT_EQ(p.tos, 2);
  EXPECT_EQ(p.precedence, 0x20);
  EXPECT_EQ(p.ttl, 58);
  EXPECT_EQ(p.id, 10953);
  EXPECT_TRUE(p.df);
  EXPECT_EQ(p.ports.source, 54451);
  EXPECT_EQ(p.ports.destination, 80);
  const packet::Tcp* tcp = packet::find_tcp(p);
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->seq, 1779626624U);
  EXPECT_EQ(tcp->ack_seq, 17U);
  EXPECT_EQ(tcp->window, 65535);
  EXPECT_EQ(tcp->flags, packet::kAck | packet::kSyn);
  EXPECT_EQ(tcp->urgent, 3);
  EXPECT_EQ(tcp->options.bytes.size, 4);
  EXPECT_EQ(p.uid, 1000U);
  EXPECT_EQ(p.gid, 100U);
  EXPECT_EQ(p.mark, 0x2aU);
  EXPECT_TRUE(r.got.diagnostics.empty());
}

TEST(KernelLine, TwoMeaningsOfLenAndId) {
  Reading r;
  r.read(
      "TRACE: raw:PREROUTING:policy:3 IN=eth0 OUT= MAC= SRC=1.2.3.4 DST=5.6.7.8 LEN=33 TOS=0x00 PREC=0x00 TTL=255 "
      "ID=61139 PROTO=UDP SPT=1 DPT=2 LEN=13 \n"
      "TRACE: raw:PREROUTING:policy:3 IN=eth0 OUT= SRC=1.2.3.4 DST=5.6.7.8 LEN=84 TOS=0x00 PREC=0x00 TTL=64 ID=7 "
      "PROTO=ICMP TYPE=8 CODE=0 ID=77 SEQ=5 \n");
  ASSERT_EQ(r.got.events.size(), 2U);
  EXPECT_EQ(r.got.events[0].packet.length, 33U);
  EXPECT_EQ(std::get<packet::Udp>(r.got.events[0].packet.transport).length, 13);
  EXPECT_TRUE(r.got.events[0].packet.link.printed);
  EXPECT_EQ(r.got.events[1].packet.id, 7);
  EXPECT_EQ(packet::find_icmp(r.got.events[1].packet)->id, 77);
  EXPECT_EQ(packet::find_icmp(r.got.events[1].packet)->sequence, 5);
}

TEST(KernelLine, AnIcmpErrorCarriesThePacketItIsAbout) {
  Reading r;
  r.read(
      "TRACE: filter:INPUT:policy:1 IN=eth0 OUT= MAC= SRC=9.9.9.9 DST=1.2.3.4 LEN=56 TOS=0x00 PREC=0xC0 TTL=64 ID=5 "
      "PROTO=ICMP TYPE=3 CODE=4 [SRC=1.2.3.4 DST=8.8.8.8 LEN=1500 TOS=0x00 PREC=0x00 TTL=63 ID=6 DF PROTO=UDP SPT=10 "
      "DPT=20 LEN=1480 ] MTU=1400 MARK=0x1 \n");
  ASSERT_EQ(r.got.events.size(), 1U);
  const packet::Packet& p = r.got.events[0].packet;
  const packet::Icmp* icmp = packet::find_icmp(p);
  ASSERT_NE(icmp, nullptr);
  ASSERT_NE(icmp->inner, nullptr);
  EXPECT_EQ(icmp->mtu, 1400U);
  EXPECT_EQ(icmp->inner->id, 6);
  EXPECT_EQ(icmp->inner->ports.destination, 20);
  EXPECT_EQ(p.id, 5);
  EXPECT_EQ(p.mark, 1U);
  EXPECT_TRUE(r.got.diagnostics.empty());
}

TEST(KernelLine, JoinedLinesAreTwoEventsEachWithItsTime) {
  Reading r;
  const std::string one = "[  10.000001] " + std::string(kTcp);
  r.read(one + "[  11.000002] " + std::string(kTcp) + "\n");
  ASSERT_EQ(r.got.events.size(), 2U);
  EXPECT_EQ(r.got.events[0].event.time.uptime_us, 10'000'001);
  EXPECT_EQ(r.got.events[1].event.time.uptime_us, 11'000'002);
  EXPECT_TRUE(r.got.diagnostics.empty());
}

TEST(KernelLine, WrappedAnywhereReadsTheSame) {
  Reading whole;
  whole.read(std::string(kTcp) + "\n");
  const std::string text(kTcp.substr(0, kTcp.find(" UID=")));
  for (std::size_t at = 40; at < text.find(" URGP"); ++at) {
    Reading r;
    r.read(text.substr(0, at) + "\n" + text.substr(at) + "\n" + std::string("[1.000000] eth0: link up\n"));
    ASSERT_EQ(r.got.events.size(), 1U) << at;
    if (r.got.events[0].packet.damaged)
      continue;  // a cut that could be read in two ways is said, not guessed
    EXPECT_EQ(r.got.events[0].packet.ports.destination, 80) << at;
    EXPECT_EQ(r.got.events[0].packet.source, whole.got.events[0].packet.source) << at;
    EXPECT_EQ(r.count(LineKind::Continuation), 1U) << at;
  }
}

TEST(KernelLine, DamageIsNamedAndTheRestIsUsed) {
  Reading r;
  r.read(
      "TRACE: filter:OUTPUT:rule:1 IN= OUT=cali1 SRC=172.16.91.225 DST=172.20.219.80 LEN=84 TOS=0x00 PREC=0x00 TTL=64 "
      "ID=45708 DF PRPE=8 CODE=0 ID=3584 SEQ=1 UID=0 GID=0 \n"
      "TRACE: nat:POSTROUTING:rule:1 IN= OUT=cali1 SRC=172.16.91.225 DST=172.20.\n");
  ASSERT_EQ(r.got.events.size(), 2U);
  EXPECT_TRUE(r.got.events[0].packet.damaged);
  EXPECT_EQ(r.got.events[0].packet.id, 45708);
  EXPECT_EQ(r.got.events[0].packet.uid, 0U);
  EXPECT_TRUE(r.got.events[1].packet.destination.empty());
  ASSERT_EQ(r.got.diagnostics.size(), 2U);
  EXPECT_EQ(r.got.diagnostics[0].code, "damaged-line");
  EXPECT_EQ(r.got.diagnostics[0].place.line, 1U);
  EXPECT_EQ(r.got.diagnostics[1].place.line, 2U);
}

TEST(KernelLine, WordsBehindAWholeLineAreNotDamage) {
  Reading r;
  r.read(std::string(kTcp) + "  <- here it goes wrong\n");
  EXPECT_EQ(r.got.events.size(), 1U);
  EXPECT_TRUE(r.got.diagnostics.empty());
}

TEST(LogReader, AKmsgGapIsACountedLoss) {
  Reading r;
  r.read("4,100,5000000,-;" + std::string(kTcp) + "\n6,101,5000001,-;eth0: up\n4,110,5000002,-;" +
         std::string(kTcp) + "\n");
  ASSERT_EQ(r.got.losses.size(), 1U);
  EXPECT_EQ(r.got.losses[0].lines, 8U);
  EXPECT_EQ(r.got.losses[0].place.line, 3U);
}

TEST(LogReader, LoggersSayWhatTheyLost) {
  Reading r;
  r.read(
      "Nov 23 12:00:00 gw kernel: printk: 57 messages dropped\n"
      "Nov 23 12:00:00 gw systemd-journald[1]: Missed 12 kernel messages\n"
      "[   10.0] ** 99 printk messages dropped **\n");
  ASSERT_EQ(r.got.losses.size(), 3U);
  EXPECT_EQ(r.got.losses[0].lines, 57U);
  EXPECT_EQ(r.got.losses[1].lines, 12U);
  EXPECT_EQ(r.got.losses[2].lines, 99U);
}

TEST(LogReader, KindsAddUpToTheLines) {
  Reading r;
  r.read(std::string(kTcp) +
         "\n\nNov 23 12:00:00 gw sshd[1]: hello\n[UFW BLOCK] IN=eth0 OUT= SRC=1.2.3.4 DST=1.2.3.5\n"
         "-- Logs begin at Tue 2023-02-28 05:48:43 CST. --\nTRACE: filter:INP\nlast line without an end");
  std::uint64_t sum = 0;
  for (const std::uint64_t n : r.reader.line_kinds()) sum += n;
  EXPECT_EQ(sum, r.reader.lines());
  EXPECT_EQ(r.reader.lines(), 7U);
  EXPECT_EQ(r.count(LineKind::Trace), 1U);
  EXPECT_EQ(r.count(LineKind::Log), 1U);
  EXPECT_EQ(r.count(LineKind::Blank), 1U);
  EXPECT_EQ(r.count(LineKind::Header), 1U);
  EXPECT_EQ(r.count(LineKind::Damaged), 1U);
  EXPECT_EQ(r.count(LineKind::Foreign), 2U);
}

TEST(LogReader, AnEndlessLineIsReadInPieces) {
  Reading r;
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += kTcp;
  r.read(text, 65536);
  EXPECT_EQ(r.got.events.size(), 10'000U);
  EXPECT_EQ(r.reader.lines(), 1U);
  ASSERT_EQ(r.got.diagnostics.size(), 1U);
  EXPECT_EQ(r.got.diagnostics[0].code, "long-line");
}

}  // namespace
}  // namespace fwtrace::trace
