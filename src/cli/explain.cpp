#include "cli/explain.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>

#include "base/input.h"
#include "base/text.h"
#include "cli/explain_recording.h"
#include "cli/messages.h"
#include "cli/own_log_input.h"
#include "cli/rules_input.h"
#include "cli/showing.h"
#include "journey/decide.h"
#include "journey/group.h"
#include "journey/join.h"
#include "packet/filter.h"
#include "trace/log_reader.h"
#include "trace/recording.h"

namespace fwtrace::cli {
namespace {

using journey::Journey;
using journey::OutcomeKind;

constexpr OptionRow kOptions[] = {
    {"--rules", "FILE",
     "the rules of that machine: output of iptables-save, iptables -S or -L, nft -a list ruleset; "
     "or \"live\", those that this machine has now; may be given again"},
    {"--from", "DIALECT",
     "read only this kind of line: kernel, nft or xtables (default: each line is recognised)"},
    {"--dropped", "", "show only packets that were dropped, rejected or lost, or most likely so"},
    {"--host", "NAME", "show only packets logged by this host"},
    {"-c", "N", "show at most N packets (default 0: all)"},
    {"-v,--verbose", "", "every step, with rule texts and header changes"},
    {"-q,--quiet", "", "one line a packet"},
    {"--json", "", "one JSON object a line (docs/json.md)"},
    {"--format", "FORM", "text, or kernel: the lines the kernel would have logged"},
    {"--strict", "", "exit with 5 if nothing was seen, lines were lost, or a verdict is left open"},
    {"--color", "WHEN", "auto, always or never"},
    {"-h,--help", "", "this help"},
};
constexpr std::string_view kExamples[] = {
    "fwtrace explain /var/log/kern.log --rules rules.save --dropped",
    "fwtrace explain 'kern.log*' -p tcp --dport 80 -d 10.1.2.3",
    "journalctl -k -o json | fwtrace explain - -q",
    "fwtrace explain --rules rules.save    (this machine's journal, kern.log or /dev/kmsg)",
};

struct Settings {
  Showing showing;
  std::optional<trace::Dialect> from;
};

// The work of one run: reader → grouper → joiner → decider → filter → report.
class Run {
 public:
  Run(World& world, const Settings& settings, const ruleset::Rulebook& book, base::Sources& sources)
      : world_(world),
        settings_(settings),
        book_(book),
        sources_(sources),
        joiner_(book, [this](base::Diagnostic d) { early_warnings_.push_back(std::move(d)); }),
        grouper_(seen_, summary_, [this](Journey& j) { take(j); }),
        reader_(names_, grouper_, settings.from),
        shower_(world, settings.showing, sources) {
    seen_.see(book);
  }

  // `own`: what "-" stands for, if this machine's own log is read.
  int read(const std::vector<std::string>& paths, OwnInput* own) {
    int status = kDone;
    for (const std::string& path : paths) {
      const bool is_own = own != nullptr && own->stream;
      auto input =
          is_own ? base::Input::of(own->stream->fd(), own->name) : base::Input::open(path, world_.in);
      if (!input) {
        status = std::max(status, report_error(world_, input.error()));
        continue;
      }
      last_name_ = input->name();
      ++inputs_;
      reader_.begin(sources_.add(input->name()));
      while (true) {
        auto chunk = input->read();
        if (!chunk) {
          status = std::max(status, report_error(world_, chunk.error()));
          break;
        }
        if (chunk->empty()) {
          if (is_own) check_end(*own);
          break;
        }
        if (!looked_ && trace::RecordingReader::looks_like(*chunk)) {
          if (!book_.empty())
            warn(world_, "a recording holds the rules as they were then: --rules is not used");
          if (paths.size() > 1)
            return report_error(world_, {base::ErrorKind::Usage,
                                         "\"" + input->name() + "\" is a recording, and is read alone",
                                         {"one fwtrace explain for each recording"}});
          recorded_ = true;
          return explain_recording(*input, *chunk, settings_.showing, sources_, world_);
        }
        look_at_start(*chunk);
        reader_.push(*chunk);
        if (enough()) break;
        show_progress(*input);
      }
      reader_.finish();
      grouper_.end_of_input();
      if (enough()) break;
    }
    end_progress();
    grouper_.finish();
    release();
    return status;
  }

  int finish(int status) {
    if (recorded_) return status;
    summary_.lines = reader_.lines();
    summary_.bytes = reader_.bytes();
    summary_.line_kinds = reader_.line_kinds();
    summary_.losses_counted = reader_.shows_losses();
    if (names_.refused() > 0) {
      base::Diagnostic d;
      d.code = "too-many-names";
      d.message =
          "more than " + base::with_commas(base::Names::kMaxNames) +
          " different names (interfaces, chains, hosts): the later ones are shown as \"(too many names)\", and "
          "filters by name do not find them";
      summary_.diagnostics.add(std::move(d));
    }
    if (summary_.events == 0 && status == kDone) status = nothing_found();
    if (summary_.clock_backwards > 3 * summary_.clock_forwards && summary_.clock_backwards > 2) {
      warn(world_, "the log runs backwards in time, so the packets above are not put together right");
      hint(world_,
           "journalctl -r or a list with the newest on top? turn it round: tac FILE | fwtrace explain -");
    }
    shower_.finish(summary_);
    if (status == kDone && settings_.showing.strict && Shower::is_open(summary_)) status = kStrict;
    return status;
  }

 private:
  void check_end(OwnInput& own) {
    if (const auto problem = own.stream->close(/*read_to_end=*/true))
      warn(world_, own.name + " was perhaps not read whole: journalctl " + *problem);
  }

  bool enough() const { return shower_.enough(summary_); }

  // A journey is over: give it its rules and its outcome, and show it if it is asked for.
  void take(Journey& journey) {
    joiner_.join(journey);
    check_backend(journey);
    journey::Evidence evidence;
    evidence.seen = &seen_;
    evidence.has_rules = joiner_.has_rules_for(journey);
    evidence.misfit = joiner_.misfit();
    evidence.doubtful_backend = is_doubtful(journey);
    evidence.from_there = [this](const packet::Packet& asked, const auto& visit) {
      grouper_.for_each_from(asked, visit);
    };
    evidence.sent_again = grouper_.sent_again(journey);
    journey::decide(journey, evidence);

    const bool shown = shower_.wants(journey) && !enough();
    summary_.add(journey, shown);
    if (shown && !evidence.has_rules && journey.dialect == trace::Dialect::KernelLog &&
        (journey.outcome.kind == OutcomeKind::Undecided || journey.outcome.kind == OutcomeKind::Incomplete))
      ++summary_.would_need_rules;
    if (!shown) return;
    // The first ones wait a moment, so that a warning about the ruleset comes before what it is about.
    if (!book_.empty() && !released_) {
      held_.push_back(std::move(journey));
      journey = Journey{};
      if (held_.size() >= kHeld) release();
      return;
    }
    say_warnings();
    shower_.show(journey);
  }

  void release() {
    say_warnings();
    released_ = true;
    for (const Journey& journey : held_) shower_.show(journey);
    held_.clear();
  }

  void say_warnings() {
    for (base::Diagnostic& warning : early_warnings_) {
      report_diagnostic(world_, warning, sources_);
      summary_.diagnostics.add(std::move(warning));
    }
    if (!early_warnings_.empty()) world_.err.flush();
    early_warnings_.clear();
  }

  // Rules of the other backend than the trace's tell nothing about it.
  void check_backend(const Journey& journey) {
    if (backend_told_) return;
    const ruleset::Ruleset* rules = book_.find(journey.family);
    if (rules == nullptr) return;
    base::Diagnostic d;
    d.code = "wrong-backend";
    d.place = journey.steps.front().place;
    if (journey.dialect == trace::Dialect::KernelLog && rules->backend == ruleset::Backend::NftCompat) {
      d.message =
          "these TRACE lines come from iptables-legacy, but the rules given are those of iptables-nft "
          "(which has not traced to the kernel log since Linux 4.18)";
      d.hints = {"save the legacy rules: iptables-legacy-save > legacy.save"};
    } else if (journey.dialect != trace::Dialect::KernelLog && rules->backend == ruleset::Backend::Legacy) {
      d.message = "this is a trace of nft rules, but the rules given are those of iptables-legacy";
      d.hints = {"two backends at once? a packet must pass both"};
    } else {
      return;
    }
    backend_told_ = true;
    early_warnings_.push_back(std::move(d));
  }

  bool is_doubtful(const Journey& journey) const {
    const ruleset::Ruleset* rules = book_.find(journey.family);
    return rules != nullptr && journey.dialect == trace::Dialect::KernelLog &&
           rules->backend == ruleset::Backend::NftCompat;
  }

  void look_at_start(std::string_view chunk) {
    if (looked_) return;
    looked_ = true;
    utf16_ = chunk.starts_with("\xff\xfe") || chunk.starts_with("\xfe\xff");
    std::size_t odd = 0;
    const std::string_view head = chunk.substr(0, 4096);
    for (const char c : head)
      odd += static_cast<unsigned char>(c) < 0x20 && !base::is_space(c) && c != '\x1b' ? 1U : 0U;
    binary_ = odd * 10 > head.size();
    rules_ = chunk.find("\n:INPUT ") != std::string_view::npos || chunk.starts_with("*") ||
             chunk.find("Chain INPUT (policy") != std::string_view::npos ||
             chunk.find("-P INPUT ") != std::string_view::npos;
  }

  std::string empty_input() const {
    if (inputs_ != 1) return "the input is empty";
    return last_name_ == "stdin" ? "standard input is empty" : "\"" + last_name_ + "\" is empty";
  }

  int nothing_found() {
    const auto& kinds = summary_.line_kinds;
    const auto count = [&](trace::LineKind kind) { return kinds[static_cast<std::size_t>(kind)]; };
    std::vector<std::string> hints;
    if (utf16_) {
      hints.push_back("it is UTF-16 text: convert it first with iconv -f UTF-16 -t UTF-8");
    } else if (binary_) {
      hints.push_back("it looks like a binary file, not like a log");
    } else if (rules_) {
      hints.push_back("it looks like a ruleset: fwtrace explain LOG --rules FILE");
    } else if (settings_.from) {
      hints.push_back("--from " + std::string(to_text(*settings_.from)) +
                      " reads only that kind of line; leave it out");
    } else if (count(trace::LineKind::Log) > 0) {
      hints.push_back(base::with_commas(count(trace::LineKind::Log)) +
                      (count(trace::LineKind::Log) == 1 ? " line of a LOG rule is there"
                                                        : " lines of LOG rules are there") +
                      ", but that tells of one rule only; TRACE tells the whole way: "
                      "iptables-legacy -t raw -I PREROUTING -p tcp --dport 80 -j TRACE");
    } else if (summary_.bytes > 0) {
      hints.push_back(
          "a trace line looks like: TRACE: filter:FORWARD:rule:7 IN=eth0 … or: trace id 1a2b3c4d ip filter …");
    }
    const std::string where = inputs_ == 1 ? "\"" + last_name_ + "\": " : "";
    for (const auto& kind : summary_.diagnostics.kinds()) {
      if (!kind.first.empty()) report_diagnostic(world_, kind.first.front(), sources_);
    }
    report_error(world_, {base::ErrorKind::Input,
                          (summary_.bytes == 0 ? std::string() : where) +
                              (summary_.bytes == 0 ? empty_input()
                                                   : "no trace line in " + base::with_commas(summary_.lines) +
                                                         (summary_.lines == 1 ? " line" : " lines")),
                          hints});
    return kInput;
  }

  void show_progress(const base::Input& input) {
    if (!world_.progress || world_.terminal) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_at_ < std::chrono::milliseconds(500)) return;
    shown_at_ = now;
    const double seconds = std::chrono::duration<double>(now - started_).count();
    const double rate = static_cast<double>(reader_.bytes()) / (seconds > 0 ? seconds : 1);
    std::string line = "\r" + base::to_printable(input.name()) + ": " +
                       base::with_commas(reader_.bytes() >> 20) + " MiB, " +
                       base::with_commas(static_cast<std::uint64_t>(rate) >> 20) + " MiB/s";
    if (input.size_on_disk() > 0 && input.consumed() > 0) {
      const double done = static_cast<double>(input.consumed()) / static_cast<double>(input.size_on_disk());
      const double left = done > 0 ? seconds / done - seconds : 0;
      line += ", " + std::to_string(static_cast<int>(done * 100)) + " %, " +
              std::to_string(static_cast<int>(left)) + " s left";
    }
    line += "\x1b[K";
    world_.err.append(line);
    world_.err.flush();
    progress_shown_ = true;
  }
  void end_progress() {
    if (progress_shown_) world_.err.append("\r\x1b[K");
  }

  static constexpr std::size_t kHeld = 512;

  World& world_;
  const Settings& settings_;
  const ruleset::Rulebook& book_;
  base::Sources& sources_;
  base::Names names_;
  journey::Seen seen_;
  journey::Summary summary_;
  std::deque<base::Diagnostic> early_warnings_;
  journey::Joiner joiner_;
  journey::Grouper grouper_;
  trace::LogReader reader_;
  Shower shower_;
  std::vector<Journey> held_;
  bool recorded_ = false;  // the input was a recording: all is done
  bool released_ = false, backend_told_ = false;
  bool looked_ = false, utf16_ = false, binary_ = false, rules_ = false;
  bool progress_shown_ = false;
  std::string last_name_;
  std::size_t inputs_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now(), shown_at_ = started_;
};

base::Result<Settings> to_settings(const Options& options, const packet::Filter& filter, const World& world) {
  TRY(Showing showing, read_showing(options, filter, world, 0));
  Settings s{.showing = std::move(showing), .from = {}};
  if (options.has("--from")) {
    const std::string from = options.get("--from");
    for (const auto dialect :
         {trace::Dialect::KernelLog, trace::Dialect::NftMonitor, trace::Dialect::XtablesMonitor}) {
      if (from == to_text(dialect)) s.from = dialect;
    }
    if (!s.from)
      return base::fail(base::ErrorKind::Usage, "--from \"" + from + "\" is not kernel, nft or xtables");
  }
  return s;
}

}  // namespace

const CommandRow kExplain = {
    "explain",
    "[FILE…] [--rules FILE] [FILTER]",
    "what happened to each packet, from a log (- is standard input; .gz .xz .zst too), or this machine's own",
    kOptions,
    kExamples,
    true};

int explain(const std::vector<std::string>& args, World& world) {
  const auto taken = packet::take_filter(args, options_with_value(kExplain));
  if (!taken) return report_error(world, taken.error());
  const auto options = parse_options(kExplain, taken->rest);
  if (!options) return report_error(world, options.error());
  if (options->has("--help")) {
    world.out.append(print_help(kExplain));
    return kDone;
  }
  const auto settings = to_settings(*options, taken->filter, world);
  if (!settings) return report_error(world, settings.error());
  const std::vector<std::string> rules = options->all("--rules");
  if (std::count(options->words.begin(), options->words.end(), "-") +
          std::count(rules.begin(), rules.end(), "-") >
      1)
    return report_error(world, {base::ErrorKind::Usage,
                                "standard input can be read once: \"-\" is both a log and --rules",
                                {"put one of them into a file"}});
  base::Sources sources;
  std::optional<OwnInput> own;
  if (options->words.empty()) {
    auto opened = open_own_log(world);
    if (!opened) return report_error(world, opened.error());
    own = std::move(*opened);
  }
  // The log of this machine is joined with its running rules, unless others are named.
  const bool live_by_default = own && rules.empty();
  auto book = live_by_default ? read_live_rules(world, sources) : read_rule_files(rules, world, sources);
  if (!book && live_by_default) {
    warn(world, "without this machine's rules: " + book.error().message);
    for (const std::string& one : book.error().hints) hint(world, one);
    book = ruleset::Rulebook{};
  }
  if (!book) return report_error(world, book.error());
  Run run(world, *settings, *book, sources);
  const std::vector<std::string> paths = own ? own->paths : base::in_rotation_order(options->words);
  return run.finish(run.read(paths, own ? &*own : nullptr));
}

}  // namespace fwtrace::cli
