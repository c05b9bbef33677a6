#include "report/text_summary.h"

#include <gtest/gtest.h>

#include "report/journeys_for_test.h"

namespace fwtrace::report {
namespace {

using journey::OutcomeKind;
using journey::Summary;
using trace::LineKind;

std::string print(const Summary& summary, const base::Sources& sources = {}, TextStyle style = {}) {
  std::string out;
  append_summary(out, summary, sources, style);
  return out;
}

TEST(TextSummary, ManyPacketsNameTheBusiestRules) {
  Summary summary;
  summary.losses_counted = true;
  JourneyMaker m;
  make_rejected(m);
  for (int i = 0; i < 1200; ++i) summary.add(m.journey, true);
  JourneyMaker policy;
  policy.step(packet::Hook::Input, "filter", "INPUT", 0, journey::Did::PolicyDrop, 9);
  policy.journey.outcome.kind = OutcomeKind::Dropped;
  policy.journey.outcome.step = 0;
  summary.add(policy.journey, true);
  summary.add(policy.journey, false);
  EXPECT_EQ(
      print(summary),
      "1,201 packets: 1 dropped, 1,200 rejected · 0 events lost\n"
      "  decided by\n"
      "    1,200 rejected  filter FORWARD rule 7   -A FORWARD -o virbr1 -j REJECT --reject-with icmp-port-unreachable\n"
      "        1 dropped   filter INPUT policy\n"
      "  shown 1,201 of 1,202 packets\n");
  EXPECT_EQ(print(summary, {}, {.detail = TextStyle::Detail::Quiet}),
            "1,201 packets: 1 dropped, 1,200 rejected · 0 events lost\n");
}

TEST(TextSummary, LossesAreNeverHidden) {
  Summary summary;
  summary.losses_counted = true;
  JourneyMaker m;
  make_rejected(m);
  m.journey.overlaps_loss = true;
  summary.add(m.journey, true);
  summary.add(
      trace::Loss{.place = {1, 40, 0}, .host = {}, .time = {}, .lines = 12, .reason = "kmsg sequence gap"});
  EXPECT_EQ(print(summary, m.sources),
            "1 packet: 1 rejected (filter FORWARD rule 7) · 12 events lost\n"
            "  not seen whole: 1 overlaps a loss\n"
            "  lost: kern.log:40: kmsg sequence gap (12 events)\n");
  summary.add(
      trace::Loss{.place = {}, .host = {}, .time = {}, .lines = 0, .reason = "missed kernel messages"});
  EXPECT_NE(print(summary).find("· more than 12 events lost, the source does not say how many\n"),
            std::string::npos);
  summary.lost_lines = 0;
  EXPECT_NE(print(summary).find("· some events lost, the source does not say how many\n"), std::string::npos);
}

TEST(TextSummary, WithoutAPacketItSaysWhatWasThere) {
  Summary summary;
  summary.losses_counted = true;
  EXPECT_EQ(print(summary), "no packet: the input is empty\n");
  summary.lines = 120;
  summary.line_kinds[static_cast<std::size_t>(LineKind::Log)] = 3;
  summary.line_kinds[static_cast<std::size_t>(LineKind::Foreign)] = 117;
  EXPECT_EQ(print(summary),
            "no packet: read 120 lines, none of them says TRACE (3 LOG, 117 other) · 0 events lost\n");
}

TEST(TextSummary, AFilterThatHidesEverythingSaysSo) {
  Summary summary;
  summary.losses_counted = true;
  JourneyMaker m;
  make_rejected(m);
  summary.add(m.journey, false);
  EXPECT_EQ(print(summary), "no packet passed the filter: 1 packet was traced · 0 events lost\n");
}

TEST(TextSummary, WhatWasNotUnderstoodIsCountedAndShownOnce) {
  Summary summary;
  summary.losses_counted = true;
  JourneyMaker m;
  make_rejected(m);
  summary.add(m.journey, true);
  summary.lines = 14;
  summary.line_kinds[static_cast<std::size_t>(LineKind::Trace)] = 12;
  summary.line_kinds[static_cast<std::size_t>(LineKind::Damaged)] = 2;
  for (const std::uint32_t line : {3U, 9U})
    summary.diagnostics.add({.severity = base::Severity::Warning,
                             .code = "damaged-line",
                             .place = {1, line, 5},
                             .message = "the line is damaged",
                             .hints = {},
                             .line = "TRAC\x1b: x"});
  EXPECT_EQ(print(summary, m.sources),
            "1 packet: 1 rejected (filter FORWARD rule 7) · 0 events lost\n"
            "  read 14 lines: 12 trace, 2 damaged\n"
            "  damaged-line ×2, the first:\n"
            "    kern.log:3:5: warning: the line is damaged\n"
            "        TRAC\\x1b: x\n"
            "            ^\n");
}

}  // namespace
}  // namespace fwtrace::report
