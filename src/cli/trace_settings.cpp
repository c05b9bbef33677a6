#include "cli/trace_settings.h"

#include <algorithm>

#include "base/text.h"
#include "cli/trace.h"
#include "host/arming_rules.h"

namespace fwtrace::cli {
namespace {

using base::ErrorKind;
using base::Result;

constexpr OptionRow kOptions[] = {
    {"-c", "N", "stop after N packets (default 20; 0: no limit)"},
    {"--for", "TIME", "stop after this time: 30s, 5m, 1h"},
    {"-N,--netns", "WHERE", "in this network namespace: a name, a process number, or a container's name"},
    {"--one-way", "", "only packets of the filter, not their replies"},
    {"--rate", "N", "trace at most N packets a second, enforced by the kernel (default 100)"},
    {"--all", "", "trace every packet (without a FILTER, fwtrace asks for this word)"},
    {"-w,--write", "FILE", "write a recording; fwtrace explain FILE reads it"},
    {"--dropped", "", "show only packets that were dropped, rejected or lost"},
    {"-v,--verbose", "", "every step, with rule texts and header changes"},
    {"-q,--quiet", "", "one line a packet"},
    {"--json", "", "one JSON object a line (docs/json.md)"},
    {"--format", "FORM", "text, or kernel: the lines the kernel would have logged"},
    {"--strict", "", "exit with 5 if nothing was seen, events were lost, or a verdict is left open"},
    {"--allow-insert", "",
     "where nothing else works: insert TRACE rules into the raw table, and take them out again"},
    {"--color", "WHEN", "auto, always or never"},
    {"-h,--help", "", "this help"},
};
constexpr std::string_view kExamples[] = {
    "sudo fwtrace -p tcp --dport 80 -d 10.1.2.3",
    "sudo fwtrace -i eth0 -p icmp -v",
    "sudo fwtrace -N web1 -p udp --dport 53 --for 30s -w dns.trace",
};

std::optional<std::chrono::milliseconds> parse_time(std::string_view text) {
  std::size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  const auto number = base::parse_number<std::uint32_t>(text.substr(0, digits));
  if (!number || *number == 0) return std::nullopt;
  const std::string_view unit = text.substr(digits);
  std::uint64_t ms = 0;
  if (unit == "ms") ms = 1;
  else if (unit.empty() || unit == "s") ms = 1000;
  else if (unit == "m" || unit == "min") ms = 60'000;
  else if (unit == "h") ms = 3'600'000;
  else return std::nullopt;
  // A longer time is as good as none, and a clock that counts nanoseconds ends at 292 years.
  constexpr std::uint64_t kTenYears = std::uint64_t{3650} * 24 * 3'600'000;
  return std::chrono::milliseconds(std::min(*number * ms, kTenYears));
}

// What of the plan hangs on the filter alone is said before anything is changed.
Result<void> check_armable(const TraceSettings& settings) {
  host::ArmingWish wish;
  wish.filter = settings.showing.filter;
  wish.replies = settings.replies;
  const host::ArmingPlan plan = host::plan_arming(wish);
  if (plan.nothing)
    return base::fail(ErrorKind::Usage,
                      "no packet can match this filter: its conditions contradict each other");
  if (plan.everything && !settings.all)
    return base::fail(
        ErrorKind::Usage,
        "with this filter every packet would be armed, since nothing of it can be tested where a "
        "packet comes in",
        {"add an address, a port or an interface; or --all, within --rate " + std::to_string(settings.rate) +
         " a second"});
  return {};
}

}  // namespace

const CommandRow kTrace = {
    "trace",
    "FILTER",
    "what happens to these packets on this machine, live (the word trace may be left out)",
    kOptions,
    kExamples,
    true};

Result<TraceSettings> read_trace_settings(const Options& options, const packet::Filter& filter,
                                          const World& world) {
  TRY(Showing showing, read_showing(options, filter, world, 20));
  TraceSettings s;
  s.showing = std::move(showing);
  s.showing.style.live = true;
  s.showing.style.rules_given = true;
  s.replies = !options.has("--one-way");
  s.all = options.has("--all");
  s.allow_insert = options.has("--allow-insert");
  s.where = options.get("--netns");
  s.recording = options.get("--write");
  // Of an empty variable, most likely; without it another namespace would be traced, or nothing be written.
  if (options.has("--netns") && s.where.empty())
    return base::fail(ErrorKind::Usage, "-N \"\" names no network namespace",
                      {"a name, a process number, or a container's name"});
  if (options.has("--write") && s.recording.empty())
    return base::fail(ErrorKind::Usage, "-w \"\" names no file");
  if (s.recording == "-") {
    if (options.has("--json") || options.has("--format"))
      return base::fail(ErrorKind::Usage, "standard output cannot hold both a recording and what is shown",
                        {"-w FILE, and the other to standard output; or -w - | fwtrace explain - --json"});
    s.showing.form = Form::Nothing;
  }
  if (options.has("--rate")) {
    const auto rate = base::parse_number<std::uint32_t>(options.get("--rate"));
    if (!rate || *rate == 0)
      return base::fail(ErrorKind::Usage,
                        "--rate \"" + options.get("--rate") + "\" is not a number of packets a second");
    s.rate = *rate;
  }
  if (options.has("--for")) {
    s.time = parse_time(options.get("--for"));
    if (!s.time)
      return base::fail(ErrorKind::Usage, "--for \"" + options.get("--for") + "\" is not a time",
                        {"such as 30s, 5m, 1h"});
  }
  if (!options.words.empty())
    return base::fail(ErrorKind::Usage, "\"" + options.words.front() + "\" is no word of a filter",
                      {"a filter looks like: -p tcp --dport 80 -d 10.1.2.3",
                       "to read a log: fwtrace explain " + options.words.front()});
  if (filter.empty() && !s.all)
    return base::fail(ErrorKind::Usage, "which packets?",
                      {"name them in iptables' words: fwtrace -p tcp --dport 80",
                       "--all traces every packet (at most " + std::to_string(s.rate) + " a second)"});
  TRY_VOID(check_armable(s));
  return s;
}

std::string print_time(std::chrono::milliseconds time) {
  const auto ms = static_cast<std::uint64_t>(time.count());
  if (ms % 1000 != 0) return base::with_commas(ms) + " ms";
  if (ms % 3'600'000 == 0) return base::with_commas(ms / 3'600'000) + " h";
  if (ms % 60'000 == 0) return base::with_commas(ms / 60'000) + " min";
  return base::with_commas(ms / 1000) + " s";
}

}  // namespace fwtrace::cli
