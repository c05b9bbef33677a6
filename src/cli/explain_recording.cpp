#include "cli/explain_recording.h"

#include <algorithm>

#include "base/text.h"
#include "cli/live.h"
#include "cli/messages.h"
#include "cli/trace.h"
#include "packet/filter.h"
#include "trace/recording.h"

namespace fwtrace::cli {
namespace {

ruleset::Capture to_capture(const trace::RecordedCapture& recorded) {
  ruleset::Capture capture;
  for (const auto& listing : recorded.listings) capture.listings.push_back({listing.command, listing.text});
  capture.generation_before = recorded.generation_before;
  capture.generation_after = recorded.generation_after;
  capture.problems = recorded.problems;
  return capture;
}

constexpr std::int64_t kLongAfter = 10'000'000;  // microseconds: whatever was on its way is over

}  // namespace

int explain_recording(base::Input& input, std::string_view first, Showing showing, base::Sources& sources,
                      World& world) {
  showing.style.rules_given = true;
  const bool own_filter = !showing.filter.empty();
  Live live(world, showing, sources, /*replies=*/false);
  std::int64_t now_us = 0;
  bool in_hole = false;
  trace::RecordingReader reader(
      live.names(), live,
      {.head =
           [&](const trace::RecordingHead& head) {
             const auto number = [&](std::string_view name) {
               for (const auto& [key, value] : head.facts) {
                 if (key == name) return base::parse_number<std::uint32_t>(value).value_or(0);
               }
               return std::uint32_t{0};
             };
             live.set_raw_shift(number(kRawShiftV4), number(kRawShiftV6));
             if (number(kWithKernelLog) != 0) live.with_kernel_log();
             if (number(kWithoutLegacy) != 0) live.without_legacy_events();
             if (number(kWithoutMarkers) != 0) live.without_markers();
             const auto words = packet::take_filter(head.words, options_with_value(kTrace));
             if (own_filter || !words) return;
             showing.filter = words->filter;
             live.show_replies(std::ranges::find(head.words, "--one-way") == head.words.end());
           },
       .moment =
           [&](const base::Stamp& time) {
             if (time.wall_us == base::Stamp::kNone) return;
             now_us = std::max(now_us, time.wall_us);
             live.tick(now_us);
           },
       .datagram = {},
       .kernel_log = {},
       .device = {},
       .loss =
           [&](std::uint64_t messages, const base::Stamp& time) {
             if (messages != 0) return live.lost(messages, time);
             in_hole = !in_hole;
             live.hole(in_hole);
           },
       .generation =
           [&](std::uint32_t generation, const base::Stamp&) {
             live.read_all();
             if (generation != 0) live.generation(generation);
           },
       .capture =
           [&](const trace::RecordedCapture& capture) { live.capture(to_capture(capture), capture.begun); },
       .end =
           [&](const trace::RecordingEnd& end) {
             live.counted(end.matched.value_or(0), end.armed.value_or(0));
           }},
      &live.kernel_log());
  reader.begin(sources.add(input.name()));
  int status = kDone;
  reader.push(first);
  while (!live.enough() && !reader.refusal()) {
    const auto chunk = input.read();
    if (!chunk) {
      status = report_error(world, chunk.error());
      break;
    }
    if (chunk->empty()) break;
    reader.push(*chunk);
  }
  if (!live.enough()) reader.finish();
  if (reader.refusal()) return report_error(world, *reader.refusal());
  live.tick(now_us + kLongAfter);
  live.finish();
  live.summary().bytes = reader.bytes();
  if (status == kDone && !reader.complete() && !live.enough())
    warn(world, "the recording ends early: what came last is missing, and so are the kernel's counters");
  live.shower().finish(live.summary());
  if (status == kDone && showing.strict && (!reader.complete() || Shower::is_open(live.summary())))
    return kStrict;
  return status;
}

}  // namespace fwtrace::cli
