#include "report/text.h"

#include <gtest/gtest.h>

#include "report/journeys_for_test.h"

namespace fwtrace::report {
namespace {

using journey::Did;
using journey::OutcomeKind;
using packet::Hook;
using Detail = TextStyle::Detail;

std::string print(const JourneyMaker& maker, TextStyle style, bool with_summary = false) {
  base::Output out = base::Output::to_string();
  TextReport report(out, maker.sources, style);
  report.journey(maker.journey);
  journey::Summary summary;
  summary.losses_counted = true;
  summary.add(maker.journey, true);
  summary.would_need_rules = maker.journey.outcome.likely ? 1 : 0;
  report.finish(summary);
  std::string text = out.text();
  if (!with_summary) text.resize(text.rfind("1 packet"));
  return text;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(TextReport, ShowsTheAnswerThenTheReasonThenThePath) {
  JourneyMaker m;
  make_rejected(m);
  EXPECT_EQ(
      print(m, {}, true),
      "✗ REJECTED  10.36.7.11:54451 → 10.32.105.30:80  TCP SYN   em1 → virbr1\n"
      "  by        filter FORWARD rule 7   -A FORWARD -o virbr1 -j REJECT --reject-with icmp-port-unreachable\n"
      "  because   rejects everything that goes out virbr1 and was not accepted by rules 1 to 6\n"
      "  at        [ 1153.695596], kern.log:7\n"
      "\n"
      "  prerouting  raw      PREROUTING policy ACCEPT\n"
      "              mangle   PREROUTING → PRE_public → PRE_public_allow ↩ ↩ · policy ACCEPT\n"
      "              nat      PREROUTING rule 1 → PREROUTING_direct rule 1   DNAT 10.32.105.30:80 ⇒ 192.168.101.10:80\n"
      "  routing     forward to virbr1 (ttl 59 → 58)\n"
      "  forward     mangle   FORWARD → FORWARD_direct ↩ · policy ACCEPT\n"
      "              filter   FORWARD rule 7   REJECT ✗\n"
      "\n"
      "1 packet: 1 rejected (filter FORWARD rule 7) · 0 events lost\n");
}

TEST(TextReport, QuietIsOneLine) {
  JourneyMaker m;
  make_rejected(m);
  EXPECT_EQ(print(m, {.detail = Detail::Quiet}),
            "✗ REJECTED  10.36.7.11:54451 → 10.32.105.30:80  TCP SYN  em1 → virbr1  filter FORWARD rule 7\n");
}

TEST(TextReport, VerboseShowsEveryStepWithItsRuleTimeAndPlace) {
  JourneyMaker m;
  make_rejected(m);
  const std::string text = print(m, {.detail = Detail::Verbose});
  EXPECT_NE(text.find("  headers   len 60, ttl 59, seq 135659756, ack 0, window 64240\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("  prerouting  raw       +0 µs  PREROUTING policy ACCEPT   kern.log:7\n"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find(
          "              mangle    +6 µs  PREROUTING rule 1 → PRE_public           -A PREROUTING -j PRE_public   kern.log:8\n"),
      std::string::npos)
      << text;
  EXPECT_NE(
      text.find(
          "              filter   +66 µs  FORWARD rule 7 REJECT ✗                  -A FORWARD -o virbr1 -j REJECT --reject-with "
          "icmp-port-unreachable   kern.log:18\n"),
      std::string::npos)
      << text;
}

TEST(TextReport, AnOpenVerdictSaysWhatWasSeenLast) {
  JourneyMaker m;
  m.form();
  m.step(Hook::Forward, "filter", "FORWARD", 0, Did::Unknown, 7);
  m.journey.outcome.step = 0;
  m.journey.outcome.likely = OutcomeKind::Dropped;
  m.journey.outcome.because = "no ruleset given: rule 7 most likely dropped it, because nothing follows it";
  const std::string text = print(m, {}, true);
  EXPECT_EQ(first_line(text),
            "? UNDECIDED (most likely dropped)  10.36.7.11:54451 → 10.32.105.30:80  TCP SYN   in em1");
  EXPECT_NE(text.find("  last seen filter FORWARD rule 7\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  forward     filter   FORWARD rule 7 ?\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nhint: pass --rules FILE (iptables-save output of that machine)"), std::string::npos)
      << text;
  EXPECT_EQ(print(m, {.rules_given = true}, true).find("hint"), std::string::npos);
}

TEST(TextReport, SaysWhatIsMissing) {
  JourneyMaker m;
  m.form();
  m.step(Hook::Prerouting, "mangle", "PRE_public", 2, Did::Unknown, 3);
  m.journey.starts_late = m.journey.ends_early = true;
  m.journey.starts_late_why = "the first line is mangle PRE_public rule 3, inside a user chain";
  m.journey.outcome.kind = OutcomeKind::Incomplete;
  m.journey.host = m.name("router");
  const std::string text = print(m, {});
  EXPECT_EQ(
      first_line(text),
      "? INCOMPLETE (log starts late, stops early)  10.36.7.11:54451 → 10.32.105.30:80  TCP SYN   in em1  on router");
  EXPECT_NE(
      text.find(
          "  note      the log starts late: the first line is mangle PRE_public rule 3, inside a user chain\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("  prerouting  mangle   … PRE_public rule 3\n"), std::string::npos) << text;
}

TEST(TextReport, EveryVerdictHasItsFirstLine) {
  const auto line = [](OutcomeKind kind) {
    JourneyMaker m;
    m.form();
    m.step(Hook::Prerouting, "nat", "PREROUTING", 0, Did::Jump, 1).target_chain = m.name("USER");
    m.form().out = m.name("eth0");
    m.step(Hook::Prerouting, "nat", "USER", 1, Did::Unknown, 2);
    m.journey.outcome.kind = kind;
    m.journey.outcome.step = m.last();
    return first_line(print(m, {}));
  };
  const std::string packet = "  10.36.7.11:54451 → 10.32.105.30:80  TCP SYN   ";
  EXPECT_EQ(line(OutcomeKind::Dropped), "✗ DROPPED" + packet + "em1 → eth0");
  EXPECT_EQ(line(OutcomeKind::Delivered), "✓ DELIVERED" + packet + "in em1, to this machine");
  EXPECT_EQ(line(OutcomeKind::Forwarded), "✓ FORWARDED" + packet + "in em1, out eth0");
  EXPECT_EQ(line(OutcomeKind::Sent), "✓ SENT" + packet + "out eth0");
  EXPECT_EQ(line(OutcomeKind::Queued), "→ QUEUED" + packet + "em1 → eth0");
  EXPECT_EQ(line(OutcomeKind::Lost), "? LOST after nat PREROUTING" + packet + "em1 → eth0");
}

TEST(TextReport, WrapsWithAHangingIndentAndNeverInAPipe) {
  JourneyMaker m;
  make_rejected(m);
  m.journey.outcome.because = std::string(30, 'a') + " " + std::string(30, 'b') + " " + std::string(30, 'c');
  EXPECT_NE(print(m, {.width = 80})
                .find("because   " + std::string(30, 'a') + " " + std::string(30, 'b') + "\n" +
                      std::string(14, ' ') + std::string(30, 'c') + "\n"),
            std::string::npos);
  EXPECT_NE(print(m, {}).find(std::string(30, 'b') + " " + std::string(30, 'c') + "\n"), std::string::npos);
}

TEST(TextReport, ColourAddsNothingButColour) {
  JourneyMaker m;
  make_rejected(m);
  for (const Detail detail : {Detail::Quiet, Detail::Normal, Detail::Verbose}) {
    std::string colored = print(m, {.detail = detail, .width = 60, .color = true});
    EXPECT_NE(colored.find("\x1b[1;31m✗ REJECTED\x1b[0m"), std::string::npos);
    for (std::size_t at = 0; (at = colored.find('\x1b')) != std::string::npos;)
      colored.erase(at, colored.find('m', at) - at + 1);
    EXPECT_EQ(colored, print(m, {.detail = detail, .width = 60}));
  }
}

TEST(TextReport, NothingFromOutsideReachesTheTerminal) {
  const std::string bad = "x\x1b[31m\n\xff";
  JourneyMaker m;
  m.form().in = m.name(bad);
  m.journey.host = m.name(bad);
  journey::Step& step =
      m.step(Hook::Forward, bad, bad, 0, Did::Jump, 7, m.rule(7, bad, bad, ruleset::Effect::Jump));
  step.target_chain = m.name(bad);
  m.step(Hook::Forward, bad, bad + "y", 1, Did::Drop, 1, m.rule(1, bad, bad, ruleset::Effect::Drop));
  m.journey.outcome.kind = OutcomeKind::Dropped;
  m.journey.outcome.step = 1;
  m.journey.outcome.because = bad;
  m.journey.outcome.assumes = {bad};
  m.journey.starts_late = true;
  m.journey.starts_late_why = bad;
  for (const Detail detail : {Detail::Quiet, Detail::Normal, Detail::Verbose}) {
    const std::string text = print(m, {.detail = detail}, true);
    EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
    EXPECT_EQ(text.find('\xff'), std::string::npos) << text;
    EXPECT_EQ(text.find("\n\\xff"), std::string::npos) << text;
  }
}

TEST(TextReport, RetransmitsAreOneBlockButEachALineWhenQuiet) {
  JourneyMaker m;
  make_rejected(m);
  for (const Detail detail : {Detail::Normal, Detail::Quiet}) {
    base::Output out = base::Output::to_string();
    TextReport report(out, m.sources, {.detail = detail});
    journey::Journey again = m.journey;
    for (const int seconds : {0, 1, 2, 4}) {
      for (journey::Step& step : again.steps) step.time.uptime_us += seconds * 1'000'000;
      report.journey(again);
    }
    report.finish({});
    const std::string text = out.text();
    if (detail == Detail::Normal) {
      EXPECT_EQ(
          first_line(text),
          "✗ REJECTED  10.36.7.11:54451 → 10.32.105.30:80  TCP SYN   em1 → virbr1  ×4, after 1 s 2 s 4 s");
    }
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find("REJECTED", at)) != std::string::npos; ++at) ++count;
    EXPECT_EQ(count, detail == Detail::Normal ? 1U : 4U) << text;
  }
}

}  // namespace
}  // namespace fwtrace::report
