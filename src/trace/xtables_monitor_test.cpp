#include "trace/xtables_monitor.h"

#include <gtest/gtest.h>

#include "trace/monitor_test_support.h"

namespace fwtrace::trace {
namespace {

using testing::read_corpus;
using testing::read_fixture;
using XtReading = testing::Reading<XtablesMonitor>;
using packet::Family;
using packet::Verdict;

TEST(XtablesMonitor, ReadsAPacketLine) {
  const XtReading r(
      "PACKET: 2 fafe25e8 IN=vc OUT=vs MACSRC=1e:30:b:18:a4:15 MACDST=42:6a:7a:47:c5:ed MACPROTO=0800 SRC=10.9.1.2 "
      "DST=10.9.2.2 LEN=60 TOS=0xb9 TTL=64 ID=16239 DF SPORT=51480 DPORT=22 SYN ACK MARK=0x2a \n");
  ASSERT_EQ(r.sink.seen.size(), 1U);
  EXPECT_EQ(r.sink.codes(), "");
  const Event& e = r.one().event;
  EXPECT_EQ(e.kind, EventKind::Headers);
  EXPECT_EQ(e.family, Family::Ip);
  EXPECT_EQ(e.trace_id, 0xfafe25e8U);
  const packet::Packet& p = r.packet();
  EXPECT_EQ(p.in.text(), "vc");
  EXPECT_EQ(p.out.text(), "vs");
  EXPECT_EQ(p.link.source, packet::parse_mac("1e:30:0b:18:a4:15"));
  EXPECT_EQ(p.link.ethertype, 0x0800);
  EXPECT_EQ(packet::print_ip(p.source), "10.9.1.2");
  EXPECT_EQ(packet::print_ip(p.destination), "10.9.2.2");
  EXPECT_EQ(p.length, 60U);
  EXPECT_EQ(p.tos, 0x18);
  EXPECT_EQ(p.precedence, 0xa0);
  EXPECT_EQ(p.ttl, 64);
  EXPECT_EQ(p.id, 16239);
  EXPECT_TRUE(p.df);
  EXPECT_EQ(p.protocol, packet::proto::kTcp);
  EXPECT_EQ(p.ports.source, 51480);
  EXPECT_EQ(p.ports.destination, 22);
  EXPECT_EQ(std::get<packet::Tcp>(p.transport).flags, packet::kSyn | packet::kAck);
  EXPECT_EQ(p.mark, 0x2aU);
}

TEST(XtablesMonitor, ReadsSlipsOfThePen) {
  const XtReading r(
      "PACKET: 0 fc475095 IN=lo LL=0x3040000000000000000000000000800 SRC=127.0.0.1 DST=127.0.0.1 LEN=84 TOS=0x0 TTL=64 "
      "ID=38349DF\n"
      "PACKET: 0 fc475095 OUT=lo LL=0x304 0000000000000000000000000800 SRC=127.0.0.1 DST=127.0.0.2 LEN=84 TOS=0x0 "
      "TTL=64 ID=7FRAG:185 OPT (9404FFFFFF8000)SPORT=22 DPORT=23 \n"
      "PACKET: 10 fc475096 IN=lo LOOPBACK SRC=fd09::2 DST=fd09::1 LEN=84 TC=1 HOPLIMIT=63 FLOWLBL=336420 \n");
  ASSERT_EQ(r.sink.seen.size(), 3U);
  EXPECT_EQ(r.sink.codes(), "");
  EXPECT_EQ(r.one().event.family, Family::Ip);
  EXPECT_EQ(r.packet().id, 38349);
  EXPECT_TRUE(r.packet().df);
  EXPECT_EQ(r.packet(1).id, 7);
  EXPECT_EQ(r.packet(1).fragment_offset, 185);
  EXPECT_EQ(r.packet(1).ip_options.bytes.size, 4);
  EXPECT_EQ(r.packet(1).ip_options.bytes.data[2], 0x80);
  EXPECT_EQ(r.packet(1).ports.source, 22);
  EXPECT_EQ(r.packet(2).length, 104U);  // printed as payload + 20
  EXPECT_EQ(r.packet(2).flow_label, 336420U);
}

struct StepRow {
  const char* line;
  EventKind kind;
  Verdict verdict;
  const char* text = "";
  std::uint64_t handle = 0;
  const char* target = "";
};

TEST(XtablesMonitor, ReadsSteps) {
  const StepRow rows[] = {
      {"raw:a:b:rule:0x1f:CONTINUE  -4 -t raw -A a:b -p tcp -j TRACE", EventKind::Rule, Verdict::Continue,
       "-A a:b -p tcp -j TRACE", 0x1f},
      {"raw:a:b:rule:0x6:JUMP:svc  -6 -t raw -A a:b -j svc", EventKind::Rule, Verdict::Jump, "-A a:b -j svc",
       6, "svc"},
      {"raw:a:b:rule:2:GOTO:svc", EventKind::Rule, Verdict::Goto, "", 2, "svc"},
      {"raw:a:b:rule:0x8:DROP  -4 -t filter [5:300] -A a:b -j DROP", EventKind::Rule, Verdict::Drop,
       "[5:300] -A a:b -j DROP", 8},
      {"raw:a:b:rule:0x8:0xfffffffb  -4 -t filter -A a:b -j RETURN", EventKind::Rule, Verdict::Return,
       "-A a:b -j RETURN", 8},
      {"raw:a:b:rule:0x0:CONTINUE ", EventKind::Return, Verdict::Continue},
      {"raw:a:b:return:", EventKind::Return, Verdict::None},
      {"raw:a:b:policy:ACCEPT ", EventKind::Policy, Verdict::Accept},
      {"raw:a:b:policy:DROP", EventKind::Policy, Verdict::Drop},
  };
  for (const StepRow& row : rows) {
    const XtReading r(std::string("       1  TRACE: 10 fc475095 ") + row.line + "\n");
    ASSERT_EQ(r.sink.seen.size(), 1U) << row.line;
    EXPECT_EQ(r.sink.codes(), "") << row.line;
    const Event& e = r.one().event;
    EXPECT_EQ(e.kind, row.kind) << row.line;
    EXPECT_EQ(e.verdict, row.verdict) << row.line;
    EXPECT_EQ(e.table.text(), "raw");
    EXPECT_EQ(e.chain.text(), "a:b");
    EXPECT_EQ(e.family, Family::Ip6);
    EXPECT_EQ(e.handle, row.handle);
    EXPECT_EQ(e.target_chain.text(), row.target);
    EXPECT_EQ(r.one().rule_text, row.text);
    EXPECT_EQ(e.place.column, 11U);
  }
}

TEST(XtablesMonitor, SplitsJoinedLines) {
  const XtReading r(
      " TRACE: 2 fc475095 raw:PREROUTING:rule:0x3:CONTINUE -4 -t raw -A PREROUTING -j TRACE PACKET: 0 fc475095 IN=lo "
      "SRC=127.0.0.1 TRACE: 2 fc475095 raw:PREROUTING:policy:ACCEPT \n");
  EXPECT_EQ(r.sink.summary(), "rule 1, return 0, policy 1, packet 1, diagnostics 0");
  EXPECT_EQ(r.one().rule_text, "-A PREROUTING -j TRACE");
}

TEST(XtablesMonitor, ClaimsOnlyItsOwn) {
  base::Names names;
  testing::KeepingSink sink;
  const XtablesMonitor xt(names, sink);
  for (const char* text : {"", "TRACE: raw:PREROUTING:policy:2 IN=lo OUT=", "TRACE: 2", "PACKET: lost",
                           "TRACE: 2 request raw"}) {
    EXPECT_FALSE(xt.claims(text)) << text;
  }
  EXPECT_TRUE(xt.claims("x TRACE: 2 fc475095 raw:PREROUTING"));
  EXPECT_TRUE(xt.claims("PACKET: 2 fc475095"));
}

TEST(XtablesMonitor, DoesNotSwallowTheToolsComplaints) {
  const XtReading r(
      " TRACE: 2 fc475095 filter:svc:rule:0x8:DROP  -4 -t filter -A svc -p tcp -m tcp --dport 22\n"
      "Error: unsupported layer 4 protocol value\n");
  EXPECT_EQ(r.refused, 1U);
  EXPECT_EQ(r.one().rule_text, "-A svc -p tcp -m tcp --dport 22");
}

struct DamageRow {
  const char* line;
  const char* codes;
  std::size_t events;
};

TEST(XtablesMonitor, SaysWhatIsDamaged) {
  const DamageRow rows[] = {
      {"TRACE: 2 fc475095 raw:PREROU", "cut-line", 0},
      {"TRACE: 2 fc475095 raw:PREROUTING:rule:0x3:CONT", "damaged-line", 1},
      {"TRACE: 2 fc475095 raw:PREROUTING:policy:", "damaged-line", 1},
      {"PACKET: 2 fc475095", "cut-line", 1},
      {"PACKET: 2 fc475095 IN=lo SRC=127.0.", "cut-line", 1},
      {"PACKET: 2 fc475095 IN=lo SRC=127.x.0.1 DST=127.0.0.1", "damaged-line", 1},
      {"PACKET: 2 fc475095 IN=lo FOO=7 DST=127.0.0.1", "unknown-field", 1},
      {"PACKET: 2 fc475095 IN=lo OPT (94", "cut-line", 1},
      {"PACKET: 2 fc475095 IN=lo ...", "cut-line", 1},
  };
  for (const DamageRow& row : rows) {
    const XtReading r(row.line);
    EXPECT_EQ(r.sink.codes(), row.codes) << row.line;
    EXPECT_EQ(r.sink.seen.size(), row.events) << row.line;
  }
}

std::string wrap(const std::string& text, std::size_t width) {
  std::string out, line;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    for (; line.size() > width; line.erase(0, width)) out += line.substr(0, width) + "\n";
    out += line + "\n";
  }
  return out;
}

void expect_same_when_wrapped(const std::string& text, const std::string& name) {
  const XtReading whole(text);
  for (const std::size_t width : {80U, 97U}) {
    if (width == 97 && text.size() < 1000) continue;  // an odd width has to be learnt first
    const XtReading wrapped(wrap(text, width));
    ASSERT_EQ(wrapped.sink.seen.size(), whole.sink.seen.size()) << name << " " << width;
    for (std::size_t i = 0; i < whole.sink.seen.size(); ++i) {
      EXPECT_EQ(wrapped.sink.seen[i].rule_text, whole.sink.seen[i].rule_text) << name;
      EXPECT_EQ(wrapped.sink.seen[i].packet.has_value(), whole.sink.seen[i].packet.has_value());
    }
  }
}

TEST(XtablesMonitorCorpus, ReadsEveryLine) {
  struct Row {
    const char* name;
    const char* summary;
    std::size_t refused;
  };
  const Row rows[] = {
      {"xtables/01-commonism-readme-old-format.txt", "rule 2, return 2, policy 2, packet 1, diagnostics 0",
       0},
      {"captured/xtm189-lo.txt", "rule 4, return 0, policy 6, packet 6, diagnostics 0", 0},
      {"captured/xtm189-router.txt", "rule 40, return 0, policy 36, packet 51, diagnostics 0",
       3},  // its complaints
  };
  for (const Row& row : rows) {
    const auto text = read_corpus(row.name);
    if (!text) GTEST_SKIP() << "no shared corpus here (FWTRACE_SHARED)";
    const XtReading r(*text);
    EXPECT_EQ(r.sink.summary(), row.summary) << row.name;
    EXPECT_EQ(r.refused, row.refused) << row.name;
    expect_same_when_wrapped(*text, row.name);
  }
}

TEST(XtablesMonitorFixtures, IsReadWhole) {
  const auto text = read_fixture("xtables/port-forward.txt");
  if (!text) GTEST_SKIP() << "no fixture";
  const XtReading r(*text);
  EXPECT_EQ(r.sink.codes(), "");
  EXPECT_EQ(r.refused, 0U);
  expect_same_when_wrapped(*text, "port-forward");
}

}  // namespace
}  // namespace fwtrace::trace
