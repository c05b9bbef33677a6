#include "cli/trace.h"

#include <net/if.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <unordered_map>

#include "base/output_file.h"
#include "base/text.h"
#include "cli/live.h"
#include "cli/messages.h"
#include "cli/showing.h"
#include "cli/trace_settings.h"
#include "cli/version.h"
#include "host/after_nat.h"
#include "host/capability.h"
#include "host/capture_rules.h"
#include "host/conntrack.h"
#include "host/links.h"
#include "host/namespace.h"
#include "host/own_ssh.h"
#include "host/route_query.h"
#include "host/tracing.h"
#include "packet/filter.h"
#include "trace/log_reader.h"
#include "trace/netlink_events.h"
#include "trace/recording.h"

namespace fwtrace::cli {
namespace {

using Clock = std::chrono::steady_clock;

base::Stamp now_stamp() {
  base::Stamp stamp;
  stamp.wall_us = std::chrono::duration_cast<std::chrono::microseconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
  stamp.zone_known = stamp.year_known = true;
  stamp.seconds_only = false;
  return stamp;
}

std::int64_t steady_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count();
}

trace::RecordedCapture to_recorded(const ruleset::Capture& capture, std::uint64_t begun,
                                   const base::Stamp& time) {
  trace::RecordedCapture recorded;
  recorded.time = time;
  recorded.begun = begun;
  for (const auto& listing : capture.listings) recorded.listings.push_back({listing.command, listing.text});
  recorded.generation_before = capture.generation_before;
  recorded.generation_after = capture.generation_after;
  recorded.problems = capture.problems;
  return recorded;
}

constexpr std::uint64_t kMuch = 10'000;  // datagrams

// One live run: what is asked, what was armed, and how it ends.
class Session {
 public:
  Session(World& world, const TraceSettings& settings, const std::vector<std::string>& words)
      : world_(world),
        settings_(settings),
        words_(words),
        live_(world, settings.showing, sources_, settings.replies),
        netlink_(live_.names(), live_, [this](std::uint32_t index) { return device(index); }),
        kernel_log_(live_.names(), live_.kernel_log(), trace::Dialect::KernelLog) {}

  int run() {
    // Before a file is made, or anything is asked that needs the right.
    if (const auto may = host::require_capability(host::Capability::NetAdmin, "live tracing"); !may)
      return report_error(world_, may.error());
    if (const auto problem = open_recording()) return report_error(world_, *problem);
    auto capture = host::capture_rules();
    live_.capture(capture, 0);
    for (const std::string& problem : capture.problems) {
      warn(world_, problem);
      // The problem begins with the program that should have listed them.
      if (problem.starts_with("nft")) nft_unread_ = true;
      else if (problem.find("-legacy-save: ") != std::string::npos) legacy_unread_ = true;
    }
    host::TracingWish wish = to_wish();
    auto tracing = host::Tracing::start(wish);
    if (!tracing) return report_error(world_, tracing.error());
    tracing_ = std::move(*tracing);
    live_.set_raw_shift(tracing_->raw_shift(packet::IpVersion::V4),
                        tracing_->raw_shift(packet::IpVersion::V6));
    if (!tracing_->legacy_events()) live_.without_legacy_events();
    if (tracing_->reads_kernel_log()) live_.with_kernel_log();
    if (!tracing_->has_markers()) live_.without_markers();
    live_.ask_routing([](const packet::Packet& packet) { return host::explain_route(packet); });
    begin_recording(capture);
    auto capturer = host::RulesCapturer::start();
    if (!capturer) {
      tracing_->stop();
      return report_error(world_, capturer.error());
    }
    capturer_ = std::move(*capturer);
    say_header();
    listen();
    return end();
  }

 private:
  std::optional<base::Error> open_recording() {
    if (settings_.recording.empty()) return std::nullopt;
    auto file = base::OutputFile::open(settings_.recording, STDOUT_FILENO, "a recording");
    if (!file) return file.error();
    file_.emplace(std::move(*file));
    return std::nullopt;
  }

  void begin_recording(const ruleset::Capture& capture) {
    if (!file_) return;
    trace::RecordingHead head;
    head.start = now_stamp();
    head.version = kVersion;
    utsname names{};
    if (uname(&names) == 0) {
      head.host = names.nodename;
      head.kernel = names.release;
      head.machine = names.machine;
    }
    head.words = words_;
    for (const auto& [name, version] :
         {std::pair(kRawShiftV4, packet::IpVersion::V4), std::pair(kRawShiftV6, packet::IpVersion::V6)})
      head.facts.emplace_back(name, std::to_string(tracing_->raw_shift(version)));
    if (tracing_->reads_kernel_log()) head.facts.emplace_back(kWithKernelLog, "1");
    if (!tracing_->has_markers()) head.facts.emplace_back(kWithoutMarkers, "1");
    if (!tracing_->legacy_events()) head.facts.emplace_back(kWithoutLegacy, "1");
    writer_ = std::make_unique<trace::RecordingWriter>(file_->out(), head);
    writer_->capture(to_recorded(capture, 0, now_stamp()));
  }

  host::TracingWish to_wish() {
    host::TracingWish wish;
    wish.arming.filter = settings_.showing.filter;
    wish.arming.replies = settings_.replies;
    wish.arming.excluded = host::find_own_ssh(static_cast<int>(::getpid()));
    wish.arming.bridge =
        std::ranges::any_of(host::read_links(), [](const host::Link& link) { return link.kind == "bridge"; });
    if (const ruleset::Rulebook* book = live_.rules().newest()) {
      wish.arming.conntrack = host::find_conntrack_here(*book);
      const auto own = host::find_own_addresses();
      wish.arming.after_nat = host::find_after_nat(
          settings_.showing.filter, *book,
          own ? std::span<const packet::IpAddress>(*own) : std::span<const packet::IpAddress>());
    }
    wish.limits.rate = settings_.rate;
    wish.limits.burst = std::max<std::uint32_t>(20, settings_.rate / 5);
    wish.allow_insert = settings_.allow_insert;
    return wish;
  }

  // "fwtrace: tracing tcp dport 80 and its replies · iptables-legacy 31 rules, nft 0 · stops after 20 packets or Ctrl-C"
  void say_header() {
    const host::ArmingPlan& plan = tracing_->plan();
    std::string line = "fwtrace: tracing " + packet::print_filter(settings_.showing.filter);
    if (settings_.replies && !settings_.showing.filter.empty()) line += " and its replies";
    if (!settings_.where.empty()) line += " in " + settings_.where;
    const auto count = [](std::uint64_t rules, std::string_view noun, bool unread) {
      return unread ? std::string("could not be read") : base::with_commas(rules) + std::string(noun);
    };
    line += " · iptables-legacy " + count(live_.rules().legacy_rules(), " rules", legacy_unread_) + ", nft " +
            count(live_.rules().nft_rules(), "", nft_unread_);
    line += " · stops after ";
    if (settings_.showing.most != 0)
      line += base::with_commas(settings_.showing.most) +
              (settings_.showing.most == 1 ? " packet, " : " packets, ");
    if (settings_.time) line += print_time(*settings_.time) + " or ";
    else if (settings_.showing.most != 0) line.replace(line.size() - 2, 2, " or ");
    line += "Ctrl-C";
    world_.err.append(base::to_printable(line) + "\n");
    const auto note = [&](std::string_view what, const std::vector<std::string>& parts) {
      for (const std::string& part : parts)
        world_.err.append("fwtrace: " + std::string(what) + base::to_printable(part) + "\n");
    };
    note("armed wider, and filtered when seen whole: ", plan.wider);
    note("not armed: ", plan.narrower);
    note("note: ", tracing_->notes());
    world_.err.append("\n");
    world_.err.flush();
  }

  void listen() {
    started_ = Clock::now();
    tracing_->run({.datagram = [this](std::span<const std::uint8_t> bytes) { take_datagram(bytes); },
                   .kernel_log = [this](std::string_view text) { take_kernel_log(text); },
                   .hole = [this](bool begins) { hole(begins); },
                   .lost = [this](std::uint64_t messages) { take_loss(messages); },
                   .tick = [this] { return tick(); },
                   .waits = [this] { return live_.is_waiting(); }});
  }

  void take_datagram(std::span<const std::uint8_t> bytes) {
    const base::Stamp at = now_stamp();
    live_.set_clock(steady_us());
    if (writer_) writer_->datagram(bytes, at);
    netlink_.datagram(bytes, at);
    ++read_;
  }
  void take_kernel_log(std::string_view text) {
    live_.set_clock(steady_us());
    if (writer_) writer_->kernel_log(text, now_stamp());
    kernel_log_.push(text);
  }
  void take_loss(std::uint64_t messages) {
    if (writer_) writer_->loss(messages, now_stamp());
    live_.lost(messages, now_stamp());
    lost_since_ += messages;
  }

  bool tick() {
    const auto now = Clock::now();
    devices_.clear();
    note_generation();
    live_.tick(steady_us());
    take_capture();
    world_.out.flush();
    world_.err.flush();
    narrow(now);
    const bool streams = settings_.showing.form == Form::Nothing;
    if (writer_ && (streams || now - flushed_ > std::chrono::seconds(1))) {
      flushed_ = now;
      writer_->flush();
      if (const auto problem = writer_->take_problem()) report_error(world_, *problem);
    }
    if (live_.enough()) stopped_by_ = "-c " + std::to_string(settings_.showing.most);
    else if (settings_.time && now - started_ >= *settings_.time) stopped_by_ = "--for";
    else if (world_.out.closed()) stopped_by_ = "a closed pipe";
    else if (writer_ && writer_->closed()) stopped_by_ = "a closed pipe";
    else return true;
    return false;
  }

  void hole(bool begins) {
    if (writer_) writer_->loss(0, now_stamp());  // in a recording each such record turns
    live_.hole(begins);
  }

  // Called behind each reading of the kernel's queue, which stops early only where very much came.
  void note_generation() {
    const std::uint64_t read = std::exchange(read_, 0);
    if (read < kMuch) live_.read_all();
    const auto generation = capturer_->generation();
    if (generation) live_.generation(*generation);
    // In a recording this says both: that all was read, and the generation then (0: there is none).
    const bool is_news = read > 0 || generation != written_generation_;
    if (!writer_ || read >= kMuch || !is_news) return;
    writer_->generation(generation.value_or(0), now_stamp());
    written_generation_ = generation;
  }

  void take_capture() {
    if (auto capture = capturer_->take()) {
      live_.capture(*capture, capture_begun_);
      if (writer_) writer_->capture(to_recorded(*capture, capture_begun_, now_stamp()));
      capturing_ = false;
      const auto took = Clock::now() - capture_asked_;
      next_capture_ = Clock::now() + std::min<Clock::duration>(took * kCaptureShare, kCapturePause);
      live_.tick(steady_us());
    }
    if (!capturing_ && Clock::now() >= next_capture_ && live_.wants_capture()) {
      capture_begun_ = live_.events();
      capture_asked_ = Clock::now();
      capturer_->request();
      capturing_ = true;
    }
  }

  // More than can be read: trace less, rather than lose more.
  void narrow(Clock::time_point now) {
    if (now - narrowed_ < std::chrono::seconds(1)) return;
    narrowed_ = now;
    if (std::exchange(lost_since_, 0) == 0 || rate_ <= 10) return;
    rate_ = std::max<std::uint32_t>(rate_ / 2, 10);
    if (tracing_->set_rate(rate_))
      warn(world_, "events were lost, so at most " + base::with_commas(rate_) +
                       " packets a second are traced from now on");
  }

  int end() {
    for (const std::string& failed : tracing_->stop()) warn(world_, "could not be put back: " + failed);
    next_capture_ = {};
    // What the kernel had queued, and journeys that are on their way.
    // All that is queued counts, or it would be taken for lost; what other rules trace may never end.
    const std::chrono::milliseconds patience_for_more(live_.enough() ? 30 : 150);
    const auto at_most = Clock::now() + std::chrono::seconds(5);
    auto until = Clock::now() + patience_for_more;
    std::uint64_t events = live_.events();
    tracing_->run({.datagram = [this](std::span<const std::uint8_t> bytes) { take_datagram(bytes); },
                   .kernel_log = [this](std::string_view text) { take_kernel_log(text); },
                   .hole = [this](bool begins) { hole(begins); },
                   .lost = [this](std::uint64_t messages) { take_loss(messages); },
                   .tick =
                       [&] {
                         devices_.clear();
                         note_generation();
                         live_.tick(steady_us());
                         take_capture();
                         if (std::exchange(events, live_.events()) != live_.events())
                           until = Clock::now() + patience_for_more;
                         return Clock::now() < std::min(until, at_most);
                       },
                   .waits = [] { return true; }});
    // The last journeys want a capture behind them.
    const auto patience = Clock::now() + std::chrono::seconds(2);
    while (!live_.enough() && Clock::now() < patience && (live_.wants_capture() || capturing_)) {
      next_capture_ = {};
      take_capture();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    live_.finish();
    trace::RecordingEnd done;
    done.time = now_stamp();
    done.stopped_by = stopped_by_;
    if (const auto counters = tracing_->counters()) {
      live_.counted(counters->matched, counters->armed);
      done.matched = counters->matched, done.armed = counters->armed;
    }
    if (writer_) {
      writer_->end(done);
      writer_->flush();
      if (const auto problem = writer_->take_problem()) report_error(world_, *problem);
    }
    live_.shower().finish(live_.summary());
    if (settings_.showing.strict && Shower::is_open(live_.summary())) return kStrict;
    return kDone;
  }

  // Asking the kernel makes a socket each time, so an answer is good for the events of one drain.
  base::Name device(std::uint32_t index) {
    const auto [known, fresh] = devices_.try_emplace(index);
    if (!fresh) return known->second;
    char name[IF_NAMESIZE];
    if (if_indextoname(index, name) == nullptr) return {};
    if (writer_) writer_->device(index, name, now_stamp());
    return known->second = live_.names().intern(name);
  }

  World& world_;
  const TraceSettings& settings_;
  const std::vector<std::string>& words_;
  base::Sources sources_;
  Live live_;
  trace::NetlinkEvents netlink_;
  trace::LogReader kernel_log_;
  std::optional<base::OutputFile> file_;
  std::unique_ptr<trace::RecordingWriter> writer_;
  std::unique_ptr<host::Tracing> tracing_;
  std::unique_ptr<host::RulesCapturer> capturer_;
  // Where packets flow, one always wants a capture. Listing the rules may not take more than a small share of the time.
  static constexpr int kCaptureShare = 10;
  static constexpr std::chrono::milliseconds kCapturePause{500};
  bool capturing_ = false, legacy_unread_ = false, nft_unread_ = false;
  Clock::time_point capture_asked_, next_capture_;
  std::unordered_map<std::uint32_t, base::Name> devices_;
  std::uint64_t capture_begun_ = 0, lost_since_ = 0, read_ = 0;
  std::uint32_t rate_ = settings_.rate;
  std::optional<std::uint32_t> written_generation_;
  Clock::time_point started_, flushed_, narrowed_;
  std::string stopped_by_ = "Ctrl-C";
};

}  // namespace

int trace_live(const std::vector<std::string>& args, World& world) {
  const auto taken = packet::take_filter(args, options_with_value(kTrace));
  if (!taken) return report_error(world, taken.error());
  const auto options = parse_options(kTrace, taken->rest);
  if (!options) return report_error(world, options.error());
  if (options->has("--help")) {
    world.out.append(print_help(kTrace));
    return kDone;
  }
  const auto settings = read_trace_settings(*options, taken->filter, world);
  if (!settings) return report_error(world, settings.error());
  if (!settings->where.empty()) {
    const auto target = host::NetworkNamespace::find(settings->where);
    if (!target) return report_error(world, target.error());
    auto entered = host::EnterNamespace::enter(*target);
    if (!entered) return report_error(world, entered.error());
    entered->stay();  // tracing gives up the right to go back
  }
  return Session(world, *settings, args).run();
}

}  // namespace fwtrace::cli
