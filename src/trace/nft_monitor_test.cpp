#include "trace/nft_monitor.h"

#include <gtest/gtest.h>

#include "trace/monitor_test_support.h"

namespace fwtrace::trace {
namespace {

using testing::read_corpus;
using testing::read_fixture;
using NftReading = testing::Reading<NftMonitor>;
using packet::Family;
using packet::Verdict;

TEST(NftMonitor, ReadsAPacketLine) {
  const NftReading r(
      "trace id 1c241ab8 inet filter input packet: iif \"em1\" oif \"em2\" ether saddr 02:00:00:00:00:01 ether daddr "
      "02:00:00:00:00:02 vlan pcp 3 vlan dei 0 vlan id 5 ip saddr 10.0.0.1 ip daddr 10.0.0.2 ip dscp ef ip ecn ect1 "
      "ip ttl 63 ip id 4711 ip protocol tcp ip length 60 tcp sport 33400 tcp dport 22 tcp flags == 0x12 tcp window "
      "64240 \n");
  ASSERT_EQ(r.sink.seen.size(), 1U);
  EXPECT_EQ(r.sink.codes(), "");
  const Event& e = r.one().event;
  EXPECT_EQ(e.kind, EventKind::Headers);
  EXPECT_EQ(e.family, Family::Inet);
  EXPECT_EQ(e.trace_id, 0x1c241ab8U);
  EXPECT_TRUE(e.has_trace_id);
  EXPECT_EQ(e.table.text(), "filter");
  EXPECT_EQ(e.chain.text(), "input");
  EXPECT_EQ(e.place, (base::Place{1, 1, 1}));
  const packet::Packet& p = r.packet();
  EXPECT_EQ(p.in.text(), "em1");
  EXPECT_EQ(p.out.text(), "em2");
  EXPECT_EQ(p.link.source, packet::parse_mac("02:00:00:00:00:01"));
  EXPECT_EQ(p.link.destination, packet::parse_mac("02:00:00:00:00:02"));
  EXPECT_EQ(p.link.vlan, 5);
  EXPECT_EQ(packet::print_ip(p.source), "10.0.0.1");
  EXPECT_EQ(packet::print_ip(p.destination), "10.0.0.2");
  EXPECT_EQ(p.tos, 0xb9 & 0x1e);
  EXPECT_EQ(p.precedence, 0xb9 & 0xe0);
  EXPECT_EQ(p.ttl, 63);
  EXPECT_EQ(p.id, 4711);
  EXPECT_EQ(p.protocol, packet::proto::kTcp);
  EXPECT_EQ(p.length, 60U);
  EXPECT_EQ(p.ports.source, 33400);
  EXPECT_EQ(p.ports.destination, 22);
  const auto* tcp = std::get_if<packet::Tcp>(&p.transport);
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->flags, packet::kSyn | packet::kAck);
  EXPECT_EQ(tcp->window, 64240);
  EXPECT_FALSE(p.damaged);
}

packet::Packet headers(const std::string& text, const std::string& codes = "") {
  const NftReading r("trace id 1 ip t c packet: " + text + "\n");
  EXPECT_EQ(r.sink.codes(), codes) << text;
  EXPECT_EQ(r.sink.seen.size(), 1U) << text;
  return r.sink.seen.empty() ? packet::Packet() : r.packet();
}

std::optional<std::uint16_t> flags(const std::string& text) {
  const auto p = headers("ip saddr 1.2.3.4 tcp flags " + text + " tcp window 5");
  const auto* tcp = std::get_if<packet::Tcp>(&p.transport);
  EXPECT_TRUE(tcp && tcp->window == 5) << text;
  return tcp ? tcp->flags : std::nullopt;
}

TEST(NftMonitor, ReadsEveryFormOfTcpFlags) {
  for (const char* text :
       {"== 0x12", "== (syn | ack)", "== { syn, ack }", "syn,ack", "== syn|ack", "== syn | ack", "0x12"}) {
    EXPECT_EQ(flags(text), packet::kSyn | packet::kAck) << text;
  }
  EXPECT_EQ(flags("== 0x0"), 0);
  EXPECT_EQ(flags("== cwr"), packet::kCwr);
}

TEST(NftMonitor, ReadsNamesAndNumbers) {
  EXPECT_EQ(headers("tcp dport ssh").ports.destination, 22);
  EXPECT_EQ(headers("tcp dport \"http\"").ports.destination, 80);
  EXPECT_EQ(headers("udp sport domain").protocol, packet::proto::kUdp);
  EXPECT_EQ(headers("iif 2 oif eth0").in.text(), "2");
  EXPECT_EQ(headers("ip protocol 99").protocol, 99);
  EXPECT_EQ(headers("ip protocol ipcomp comp nexthdr icmp comp flags 0x2 comp cpi 772").protocol, 108);
  EXPECT_EQ(headers("ip dscp 0x2e ip ecn 0x0").precedence, 0xa0);
  EXPECT_EQ(headers("ip tos 0x10").tos, 0x10);
  EXPECT_EQ(headers("meta mark 0x0000002a").mark, 0x2aU);
  EXPECT_EQ(headers("mark 42").mark, 42U);
  EXPECT_EQ(headers("sctp sport 258 sctp dport 772 sctp vtag 84281096 @th,96,64 0xd0e0f").protocol, 132);
  EXPECT_TRUE(headers("ip frag-off 0x4000").df);
  EXPECT_EQ(headers("ip frag-off 0x20b9").fragment_offset, 0xb9);
  EXPECT_EQ(std::get<packet::Spi>(headers("esp spi 16909060 esp sequence 5").transport).spi, 16909060U);
  // Machines name ports as they like; that is no damage.
  EXPECT_EQ(headers("tcp dport \"our-own\" tcp sport 5", "unknown-field").ports.source, 5);
  EXPECT_FALSE(headers("tcp dport \"our-own\"", "unknown-field").damaged);
}

TEST(NftMonitor, ReadsIpv6) {
  const auto p = headers(
      "ip6 saddr fd07::2 ip6 daddr fd07::1 ip6 dscp ef ip6 ecn ect0 ip6 hoplimit 64 ip6 flowlabel 694157 ip6 nexthdr "
      "ipv6-icmp ip6 length 16 icmpv6 type echo-request icmpv6 code no-route icmpv6 parameter-problem 305397761 "
      "@th,64,64 0x7878787878787878");
  EXPECT_EQ(p.length, 56U);
  EXPECT_EQ(p.traffic_class, 0xba);
  EXPECT_EQ(p.flow_label, 694157U);
  EXPECT_FALSE(p.tos);
  const auto& icmp = std::get<packet::Icmp>(p.transport);
  EXPECT_EQ(icmp.type, 128);
  EXPECT_EQ(icmp.code, 0);
  EXPECT_EQ(icmp.id, 0x1234);
  EXPECT_EQ(icmp.sequence, 1);
  EXPECT_FALSE(icmp.parameter);
  // Hop-by-hop: what follows it is not said.
  const auto mld = headers("ip6 saddr :: ip6 nexthdr ip ip6 length 56 @th,0,160 0x8f0014d3");
  EXPECT_FALSE(mld.protocol);
  EXPECT_EQ(mld.extensions.size(), 1U);
}

TEST(NftMonitor, ReadsTheRestOfAnIcmpHeaderByItsType) {
  const auto icmp = [](const std::string& text) {
    return std::get<packet::Icmp>(headers("ip protocol icmp " + text).transport);
  };
  EXPECT_EQ(icmp("icmp type echo-request icmp code net-unreachable icmp id 77 icmp sequence 1").id, 77);
  EXPECT_EQ(icmp("icmp type 8 icmp code 0 icmp id 77 icmp sequence 1").sequence, 1);
  const auto redirect = icmp("icmp type redirect icmp code host-unreachable icmp id 2567 icmp sequence 9");
  EXPECT_EQ(packet::print_ip(redirect.gateway), "10.7.0.9");
  EXPECT_FALSE(redirect.id);
  EXPECT_EQ(icmp("icmp type destination-unreachable icmp code frag-needed icmp id 0 icmp sequence 1400").mtu,
            1400U);
  EXPECT_FALSE(
      icmp("icmp type destination-unreachable icmp code port-unreachable icmp id 0 icmp sequence 0").id);
  EXPECT_EQ(icmp("icmp type parameter-problem icmp code 0 icmp id 2560 icmp sequence 0").parameter, 10U);
}

TEST(NftMonitor, ReadsArp) {
  const auto p = headers(
      "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation request arp saddr ip 10.7.0.2 "
      "arp daddr ether 00:00:00:00:00:07 arp daddr ip 10.7.0.1");
  const auto& arp = std::get<packet::Arp>(p.transport);
  EXPECT_EQ(arp.operation, 1);
  EXPECT_EQ(arp.protocol_type, 0x0800);
  EXPECT_EQ(packet::print_ip(arp.sender_ip), "10.7.0.2");
  EXPECT_EQ(packet::print_ip(arp.target_ip), "10.7.0.1");
  EXPECT_TRUE(arp.target_mac);
}

TEST(NftMonitor, LeavesRawPayloadOut) {
  const auto p = headers(
      "@ll,0,112 0x5254009039555254002ace280800 ip saddr 10.0.0.1 udp sport 68 udp dport 67 udp length "
      "308 @th,64,96 310722285859775644960817152");
  EXPECT_EQ(p.ports.destination, 67);
  EXPECT_EQ(std::get<packet::Udp>(p.transport).length, 308);
}

struct RuleRow {
  const char* line;
  const char* text;
  Verdict verdict;
  const char* target = "";
  std::uint64_t handle = 0;
};

TEST(NftMonitor, ReadsRules) {
  const RuleRow rows[] = {
      {"rule tcp dport 22 accept (verdict accept)", "tcp dport 22 accept", Verdict::Accept},
      {"rule  counter packets 1 bytes 2 jump KUBE (verdict jump KUBE)", "counter packets 1 bytes 2 jump KUBE",
       Verdict::Jump, "KUBE"},
      {"rule goto b (verdict goto b)", "goto b", Verdict::Goto, "b"},
      {"rule queue to 5 (verdict queue to 5)", "queue to 5", Verdict::Queue},
      {"rule queue to 5 (verdict queue)", "queue to 5", Verdict::Queue},
      {"rule queue to 5 (verdict unknown verdict value 327683)", "queue to 5", Verdict::Queue},
      {"rule accept comment \"foo (verdict drop) bar\" (verdict accept)",
       "accept comment \"foo (verdict drop) bar\"", Verdict::Accept},
      {"rule log prefix \"trace id 1 ip a b policy drop\" (verdict continue)",
       "log prefix \"trace id 1 ip a b policy drop\"", Verdict::Continue},
      {"rule tcp flags & (syn|ack) == syn drop # handle 14 (verdict drop)",
       "tcp flags & (syn|ack) == syn drop", Verdict::Drop, "", 14},
      {"rule tcp dport { 22, 23 } return (verdict return)", "tcp dport { 22, 23 } return", Verdict::Return},
      {"unknown rule handle 12 (verdict accept)", "", Verdict::Accept, "", 12},
      {"rule accept (verdict accept)   <-- this one", "accept", Verdict::Accept},
  };
  for (const RuleRow& row : rows) {
    const NftReading r(std::string("trace id 8974f599 ip6 nat \"odd name\" ") + row.line + "\n");
    ASSERT_EQ(r.sink.seen.size(), 1U) << row.line;
    EXPECT_EQ(r.sink.codes(), "") << row.line;
    EXPECT_EQ(r.one().event.kind, EventKind::Rule);
    EXPECT_EQ(r.one().event.chain.text(), "odd name");
    EXPECT_EQ(r.one().rule_text, row.text);
    EXPECT_EQ(r.one().event.verdict, row.verdict) << row.line;
    EXPECT_EQ(r.one().event.target_chain.text(), row.target);
    EXPECT_EQ(r.one().event.handle, row.handle);
  }
}

TEST(NftMonitor, ReadsEndsOfChainsAndPolicies) {
  const NftReading r(
      "trace id a62 inet rule policy verdict continue \n"
      "trace id a62 inet rule policy verdict return \n"
      "trace id a62 inet rule policy policy drop meta mark 0x0000002a \n");
  EXPECT_EQ(r.sink.summary(), "rule 0, return 2, policy 1, packet 0, diagnostics 0");
  EXPECT_TRUE(r.sink.seen[0].event.continues_at_end);
  EXPECT_FALSE(r.sink.seen[1].event.continues_at_end);
  EXPECT_EQ(r.sink.seen[1].event.verdict, Verdict::Return);
  EXPECT_EQ(r.sink.seen[2].event.verdict, Verdict::Drop);
  EXPECT_EQ(r.sink.seen[2].event.chain.text(), "policy");
}

TEST(NftMonitor, ReadsConntrackTogetherWithThePacket) {
  const NftReading r(
      "trace id 32 inet t in conntrack: ct direction reply ct state established ct status seen-reply,confirmed,dnat-done "
      "ct id 2641368242 \n"
      "trace id 32 inet t in packet: iif \"eth0\" ip saddr 10.0.0.1 \n"
      "trace id 32 inet t in policy accept \n"
      "trace id 33 inet t in conntrack: ct state new \n");
  EXPECT_EQ(r.sink.summary(), "rule 0, return 0, policy 1, packet 2, diagnostics 0");
  EXPECT_EQ(r.packet().ct_direction, 1);
  EXPECT_EQ(r.packet().ct_state, 2U);
  EXPECT_EQ(r.packet().ct_status, 0x10aU);
  EXPECT_EQ(r.packet().ct_id, 2641368242U);
  EXPECT_EQ(r.packet().in.text(), "eth0");
  EXPECT_EQ(r.one().event.place.line, 2U);
  EXPECT_EQ(r.packet(2).ct_state, 8U);
}

TEST(NftMonitor, NumbersEqualHeadersAlike) {
  const NftReading r(
      "trace id 1 ip a b packet: iif \"eth0\" ip ttl 5\ntrace id 1 ip c d packet: iif \"eth0\" ip ttl 4\n"
      "trace id 2 ip a b packet: iif \"eth0\" ip ttl 5\n");
  EXPECT_EQ(r.sink.seen[0].event.form, 1U);
  EXPECT_EQ(r.sink.seen[1].event.form, 2U);
  EXPECT_EQ(r.sink.seen[2].event.form, 1U);
}

TEST(NftMonitor, JoinsLinesThatMailWrapped) {
  const NftReading r(
      "> trace id 1c241ab8 inet filter forward packet: iif \"vc\" oif \"vs\" ip saddr\n"
      "> 10.9.1.2 ip daddr 10.9.2.2 tcp sport 33400\n"
      ">\n"
      "> tcp dport 22 tcp flags == syn tcp window 64240\n"
      "> trace id 1c241ab8 inet filter forward rule tcp dport 22 counter\n"
      "> packets 5 bytes 300 reject with tcp reset (verdict\n"
      "> drop)\n");
  EXPECT_EQ(r.sink.summary(), "rule 1, return 0, policy 0, packet 1, diagnostics 0");
  EXPECT_EQ(r.packet().ports.destination, 22);
  EXPECT_EQ(r.one().event.place, (base::Place{1, 1, 3}));
  EXPECT_EQ(r.sink.seen[1].rule_text, "tcp dport 22 counter packets 5 bytes 300 reject with tcp reset");
  EXPECT_EQ(r.sink.seen[1].event.verdict, Verdict::Drop);
  EXPECT_EQ(r.kinds.at(LineKind::Continuation), 4U);
}

TEST(NftMonitor, DoesNotSwallowWhatFollows) {
  const NftReading r(
      "trace id 1c241ab8 inet filter forward packet: iif \"vc\" ip saddr 10.9.1.2 tcp dport 22\n"
      "and then I tried ip route\n"
      "tcp flags == syn\n"
      "trace id 1c241ab8 inet filter forward rule tcp dport 22 acc\n"
      "So what does this mean?\n");
  EXPECT_EQ(r.refused, 3U);
  EXPECT_EQ(r.sink.codes(), "damaged-line");
  EXPECT_EQ(r.sink.summary(), "rule 1, return 0, policy 0, packet 1, diagnostics 1");
  EXPECT_EQ(r.sink.seen[1].rule_text, "tcp dport 22 acc");
}

TEST(NftMonitor, FindsLinesInTheMiddleOfOthers) {
  const NftReading r(
      "12:00:01 \x1b[31mtrace id 1\x1b[0m ip a b rule accept (verdict accept)trace id 2 inet c d policy drop\n"
      "Nov 23 12:00:01 host nft[7]: trace id 3 ip a b verdict continue\n");
  EXPECT_EQ(r.sink.summary(), "rule 1, return 1, policy 1, packet 0, diagnostics 0");
  EXPECT_EQ(r.sink.seen[2].event.place.column, 30U);
}

TEST(NftMonitor, ClaimsOnlyItsOwn) {
  base::Names names;
  testing::KeepingSink sink;
  const NftMonitor nft(names, sink);
  for (const char* text : {"", "trace id ", "the trace id 4f of the request is lost", "trace id is unknown",
                           "TRACE: raw:PREROUTING:policy:2 IN=", "trace id 123456789 ip a b policy drop",
                           "nginx: trace id ab inexact"}) {
    EXPECT_FALSE(nft.claims(text)) << text;
  }
  for (const char* text :
       {"trace id 4f ip", "trace id 4f32", "trace id 32 t INPUT packet: iif \"e\"", "x: trace id 1 inet f"}) {
    EXPECT_TRUE(nft.claims(text)) << text;
  }
}

struct DamageRow {
  const char* line;
  const char* codes;
  std::size_t events;
};

TEST(NftMonitor, SaysWhatIsDamaged) {
  const DamageRow rows[] = {
      {"trace id 1c241ab8 inet fil", "cut-line", 0},
      {"trace id 1c241ab8 inet filter input packet:", "cut-line", 1},
      {"trace id 1c241ab8 inet filter input packet: iif \"vc\" ip saddr 10.0.", "cut-line", 1},
      {"trace id 1c241ab8 inet filter input packet: iif \"vc\" ip sa", "cut-line", 1},
      {"trace id 1c241ab8 inet filter input packet: iif \"vc\" ether saddr [..] ip ttl 5", "cut-line", 1},
      {"trace id 1c241ab8 inet filter input packet: iif \"vc\" ...", "cut-line", 1},
      {"trace id 1c241ab8 inet filter input packet: iif \"vc\" ip ttl x5 ip id 7", "damaged-line", 1},
      {"trace id 1c241ab8 inet filter input packet: iif \"vc\" foo bar ip id 7", "unknown-field", 1},
      {"trace id 1c241ab8 inet filter input rule tcp dport 22 accept", "damaged-line", 1},
      {"trace id 1c241ab8 inet filter input rule accept (verdict acc#pt)", "damaged-line", 1},
      {"trace id 1c241ab8 inet filter input policy", "damaged-line", 1},
      {"trace id 1c241ab8 i@et filter input policy drop", "damaged-line", 1},
  };
  for (const DamageRow& row : rows) {
    const NftReading r(row.line);
    EXPECT_EQ(r.sink.codes(), row.codes) << row.line;
    EXPECT_EQ(r.sink.seen.size(), row.events) << row.line;
  }
  const NftReading r("trace id 1c241ab8 inet filter input packet: iif \"vc\" ip ttl x5 ip id 7");
  EXPECT_EQ(r.sink.diagnostics.at(0).place.column, 54U);
  EXPECT_TRUE(r.packet().damaged);
  EXPECT_EQ(r.packet().id, 7);
}

TEST(NftMonitor, ReportsAnUnknownWordOnce) {
  const NftReading r("trace id 1 ip a b packet: foo 5 ip ttl 3\ntrace id 1 ip a b packet: foo 5 ip ttl 2\n");
  EXPECT_EQ(r.sink.codes(), "unknown-field");
}

TEST(NftMonitor, SurvivesGarbage) {
  std::string text;
  std::uint32_t state = 7;
  static constexpr std::string_view kPieces[] = {"trace id ", "1c241ab8 ",  "inet ",      "filter ",
                                                 "input ",    "rule ",      "packet: ",   "ip saddr ",
                                                 "10.0.0.1 ", "(verdict ",  "accept)",    "\"",
                                                 "\n",        "@th,64,96 ", "tcp flags ", "(",
                                                 "{ ",        "\x1b[31m",   "...",        "|"};
  for (int i = 0; i < 20000; ++i) {
    state = state * 1664525U + 1013904223U;
    text += kPieces[(state >> 16) % std::size(kPieces)];
  }
  const NftReading r(text);
  EXPECT_GT(r.sink.seen.size() + r.sink.diagnostics.size(), 0U);
}

// As a terminal of `width` columns is copied; and as mail wraps.
std::string wrap(const std::string& text, std::size_t width, bool at_blanks) {
  std::string out, line;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    while (line.size() > width) {
      const std::size_t blank = at_blanks ? line.rfind(' ', width) : std::string::npos;
      const std::size_t cut = blank == std::string::npos || blank == 0 ? width : blank;
      out += line.substr(0, cut) + "\n";
      line.erase(0, blank == cut ? cut + 1 : cut);
    }
    out += line + "\n";
  }
  return out;
}

// {file, what its lines are}. A paste of it that was wrapped, in either way, gives the same events.
struct FileRow {
  const char* name;
  const char* summary;
};

void expect_same_when_wrapped(const std::string& text, const std::string& name) {
  const NftReading whole(text);
  for (const std::size_t width : {80U, 100U, 97U}) {
    for (const bool at_blanks : {false, true}) {
      const NftReading wrapped(wrap(text, width, at_blanks));
      ASSERT_EQ(wrapped.sink.seen.size(), whole.sink.seen.size()) << name << " " << width << at_blanks;
      for (std::size_t i = 0; i < whole.sink.seen.size(); ++i) {
        EXPECT_EQ(wrapped.sink.seen[i].rule_text, whole.sink.seen[i].rule_text);
        EXPECT_EQ(wrapped.sink.seen[i].event.verdict, whole.sink.seen[i].event.verdict);
        EXPECT_TRUE(wrapped.sink.seen[i].packet.has_value() == whole.sink.seen[i].packet.has_value());
        if (whole.sink.seen[i].packet) {
          EXPECT_EQ(wrapped.sink.seen[i].packet->ports, whole.sink.seen[i].packet->ports);
          EXPECT_EQ(wrapped.sink.seen[i].packet->length, whole.sink.seen[i].packet->length);
        }
      }
    }
  }
}

TEST(NftMonitorCorpus, ReadsEveryLine) {
  const FileRow rows[] = {
      {"nft/01-vyos-ssh-multi-table.trace", "rule 212, return 236, policy 141, packet 211, diagnostics 0"},
      {"nft/02-aojea-kind-iptables-nft.trace", "rule 3, return 4, policy 2, packet 3, diagnostics 0"},
      {"nft/09-firewalld-calico-public-reject.trace",
       "rule 2, return 0, policy 1, packet 2, diagnostics 1"},  // cut
      {"nft/12-nfproxy-duplicate-trace-rules.trace", "rule 4, return 0, policy 0, packet 1, diagnostics 0"},
      {"nft/13-dhcp-broadcast-accept.trace", "rule 2, return 0, policy 0, packet 2, diagnostics 0"},
      {"captured/nft106-router.trace", "rule 65, return 0, policy 38, packet 63, diagnostics 0"},
      {"captured/nft106-router.trace.json", "rule 65, return 0, policy 38, packet 63, diagnostics 0"},
  };
  for (const FileRow& row : rows) {
    const auto text = read_corpus(row.name);
    if (!text) GTEST_SKIP() << "no shared corpus here (FWTRACE_SHARED)";
    const NftReading r(*text);
    EXPECT_EQ(r.sink.summary(), row.summary) << row.name;
    EXPECT_EQ(r.refused, 0U) << row.name;
    expect_same_when_wrapped(*text, row.name);
  }
}

TEST(NftMonitorFixtures, EveryLineGivesOneEvent) {
  for (const char* name : {"nft/families.trace", "nft/families-nn.trace", "nft/port-forward.trace",
                           "nft/port-forward-nn.trace"}) {
    const auto text = read_fixture(name);
    if (!text) GTEST_SKIP() << "no " << name;
    const NftReading r(*text);
    EXPECT_EQ(r.sink.codes(), "") << name;
    EXPECT_EQ(r.refused, 0U) << name;
    std::size_t lines = 0;
    for (std::size_t at = text->find("trace id "); at != std::string::npos;
         at = text->find("\ntrace id ", at + 1))
      ++lines;
    EXPECT_EQ(r.sink.seen.size(), lines) << name;
    expect_same_when_wrapped(*text, name);
  }
}

}  // namespace
}  // namespace fwtrace::trace
