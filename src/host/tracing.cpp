#include "host/tracing.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "host/capability.h"
#include "host/guardian.h"
#include "host/insertion.h"
#include "host/leftovers.h"
#include "host/legacy_log.h"
#include "host/listener.h"
#include "host/netlink_socket.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;

namespace {

constexpr std::size_t kBuffer = std::size_t{64} << 20;
// How long packets that are armed already may take to meet our last marker before it is taken out.
constexpr auto kLastPackets = std::chrono::milliseconds(20);

// What runs before us left behind because their guardian was killed too.
void repair_leftovers(const std::string& folder, std::vector<std::string>& notes) {
  const auto left = find_leftovers(folder);
  if (!left) return;  // the guardian will say what is wrong with the folder
  std::size_t repaired = 0;
  for (const Leftover& leftover : *left) {
    if (const auto done = repair(leftover, folder); done) {
      ++repaired;
    } else {
      notes.push_back(fmt::format("what process {} left behind could not be put back: {}",
                                  leftover.changes.pid, done.error().message));
    }
  }
  if (repaired > 0) {
    notes.push_back(fmt::format("put back what {} killed {} of fwtrace had left changed", repaired,
                                repaired == 1 ? "run" : "runs"));
  }
}

// Asks for something that every kernel answers, to see whether it answers us: what counts is the right in the user
// namespace that owns the network namespace, and our own set of capabilities does not tell that.
Result<void> ask_right(NetlinkSocket& socket) {
  NetlinkRequest request = socket.request();
  char* place = request.next("generation");
  nftnl_nlmsg_build_hdr(place, NFT_MSG_GETGEN, 0, NLM_F_ACK, request.sequence());
  request.finish();
  const Answer answer = socket.transact(request);
  if (answer.error != EPERM && answer.error != EACCES) return {};  // without nf_tables: EINVAL
  return base::fail(ErrorKind::Permission,
                    "live tracing needs CAP_NET_ADMIN in the user namespace that owns this network namespace",
                    {"run as root outside of the container, with --netns"});
}

}  // namespace

struct Tracing::Impl {
  ArmingPlan plan;
  std::vector<std::string> notes;
  bool legacy_events = false;
  // Each is used by those below it, and goes after them.
  std::optional<Guardian> guardian;
  std::optional<NetlinkSocket> socket;
  std::optional<Arming> arming;        // rungs 1 and 2
  std::optional<Insertion> insertion;  // rung 3
  std::optional<KernelLog> kernel_log;
  std::optional<StopSignals> stop_signals;
  std::optional<Listener> listener;
  std::optional<ArmingCounters> last_counters;
  bool stopped = false;

  Result<void> arm(const TracingWish& wish, const TracingKnobs& knobs);
  Result<void> arm_by_nft(const TracingWish& wish, const TracingKnobs& knobs);
  Result<void> arm_by_insertion(const TracingWish& wish, const base::Error& why);
};

Result<void> Tracing::Impl::arm_by_nft(const TracingWish& wish, const TracingKnobs& knobs) {
  const std::string table = Arming::table_name(getpid());
  const auto attempt = [&](const ArmingPlan& tried) {
    std::vector<packet::Family> families;
    for (const ArmingTable& part : tried.tables) families.push_back(part.family);
    return Arming::arm(*socket, tried, wish.limits, table, knobs.try_owner,
                       [&] { return guardian->will_add_table(table, families); });
  };
  auto armed = attempt(plan);
  if (!armed && plan.tables.size() > 1) {
    // A kernel without bridge tables can still trace what the bridge shows to IP.
    ArmingWish narrower = wish.arming;
    narrower.bridge = false;
    ArmingPlan without = plan_arming(narrower);
    if (auto again = attempt(without)) {
      notes.push_back("bridged packets are not traced before they are routed: " + armed.error().message);
      plan = std::move(without);
      armed = std::move(again);
    }
  }
  if (!armed) return std::unexpected(armed.error());
  if (!armed->owned()) {
    notes.push_back(fmt::format(
        "this kernel has no owner flag for tables: a guardian process removes ours, and nothing is "
        "armed any more {} s after we died",
        armed->dead_mans_switch().lifetime.count()));
  }
  arming.emplace(std::move(*armed));
  return {};
}

Result<void> Tracing::Impl::arm_by_insertion(const TracingWish& wish, const base::Error& why) {
  ArmingWish routed = wish.arming;
  routed.bridge = false;
  plan = plan_arming(routed);
  const std::size_t entries = Insertion::entries(plan);
  if (!wish.allow_insert) {
    std::vector<std::string> hints{fmt::format(
        "--allow-insert inserts {} rules into the raw table of iptables-legacy: they shift the numbers of raw's other "
        "rules by one, hold for 60 s at a time, and are taken out at the end",
        entries)};
    hints.insert(hints.end(), why.hints.begin(), why.hints.end());
    return base::fail(ErrorKind::Permission,
                      "tracing cannot be armed without touching your rules: " + why.message,
                      std::move(hints));
  }
  auto inserted = Insertion::insert(plan, wish.limits, *guardian, notes);
  if (!inserted) {
    // iptables does not say why; that nobody logs may be it (kernel: trace_tg_check, before 5.13).
    base::Error error = std::move(inserted.error());
    error.hints.insert(error.hints.end(), notes.begin(), notes.end());
    return std::unexpected(std::move(error));
  }
  insertion.emplace(std::move(*inserted));
  notes.push_back(
      fmt::format("{}: {} rules are inserted into the raw table, whose other rules have numbers one higher "
                  "meanwhile",
                  why.message, entries));
  return {};
}

Result<void> Tracing::Impl::arm(const TracingWish& wish, const TracingKnobs& knobs) {
  base::Error why{.kind = ErrorKind::Permission, .message = "nf_tables is not used", .hints = {}};
  if (knobs.try_nft) {
    if (join_nft_trace(*socket)) {
      auto armed = arm_by_nft(wish, knobs);
      if (armed) return {};
      why = std::move(armed.error());
    } else {
      why.message = "this kernel has no nft trace events (Linux 4.6 has)";
    }
  }
  return arm_by_insertion(wish, why);
}

Tracing::Tracing() : impl_(std::make_unique<Impl>()) {}
Tracing::~Tracing() { stop(); }

Result<std::unique_ptr<Tracing>> Tracing::start(const TracingWish& wish, const TracingKnobs& knobs) {
  std::unique_ptr<Tracing> tracing(new Tracing);
  Impl& impl = *tracing->impl_;
  impl.plan = plan_arming(wish.arming);
  if (impl.plan.nothing) {
    return base::fail(ErrorKind::Usage,
                      "no packet can match this filter: its conditions contradict each other");
  }
  TRY_VOID(require_capability(Capability::NetAdmin, "live tracing"));
  repair_leftovers(knobs.state_folder, impl.notes);

  TRY(Guardian guardian, Guardian::start(knobs.state_folder));
  impl.guardian.emplace(std::move(guardian));
  if (!impl.guardian->warning().empty()) {
    impl.notes.push_back(
        "what we change is not written down, so only our guardian process can put it back: " +
        impl.guardian->warning());
  }
  TRY(NetlinkSocket socket, NetlinkSocket::open());
  impl.socket.emplace(std::move(socket));
  TRY_VOID(ask_right(*impl.socket));
  if (const std::size_t got = impl.socket->grow_buffer(kBuffer); got < kBuffer) {
    impl.notes.push_back(fmt::format(
        "the kernel queues only {} KiB of events for us, not {} MiB: in a flood more will be lost", got >> 10,
        kBuffer >> 20));
  }
  TRY(LegacyLog legacy, open_legacy_log(*impl.socket, *impl.guardian, !knobs.try_nft));
  impl.legacy_events = legacy.heard;
  impl.kernel_log = std::move(legacy.kernel_log);
  impl.notes.insert(impl.notes.end(), legacy.notes.begin(), legacy.notes.end());
  TRY_VOID(impl.arm(wish, knobs));

  // NetRaw is for the programs that list rules: iptables-legacy opens a raw socket.
  TRY_VOID(keep_only({Capability::NetAdmin, Capability::NetRaw}));
  TRY(StopSignals stop_signals, StopSignals::open());
  impl.stop_signals.emplace(std::move(stop_signals));
  impl.listener.emplace(*impl.socket, impl.arming ? &*impl.arming : nullptr, impl.stop_signals->fd());
  if (impl.kernel_log) impl.listener->also_listen_to(impl.kernel_log->fd());
  return tracing;
}

const ArmingPlan& Tracing::plan() const { return impl_->plan; }
const std::vector<std::string>& Tracing::notes() const { return impl_->notes; }
bool Tracing::legacy_events() const { return impl_->legacy_events; }
bool Tracing::reads_kernel_log() const { return impl_->kernel_log.has_value(); }
bool Tracing::has_markers() const { return impl_->arming.has_value(); }
std::uint32_t Tracing::raw_shift(packet::IpVersion version) const {
  return impl_->insertion && impl_->insertion->inserted(version) ? 1 : 0;
}

void Tracing::run(const TracingReceiver& receiver) {
  CHECK(receiver.datagram && receiver.tick);
  Impl& impl = *impl_;
  const auto tick = [&](Listener::Clock::time_point) {
    if (impl.insertion && !impl.stopped) impl.insertion->renew();
    return impl.stop_signals->take() == 0 && receiver.tick();
  };
  std::function<std::size_t()> other;
  if (impl.kernel_log) {
    CHECK(receiver.kernel_log);
    other = [&] { return impl.kernel_log->drain(receiver.kernel_log); };
  }
  impl.listener->run({.datagram = receiver.datagram,
                      .lost = receiver.lost,
                      .hole = receiver.hole,
                      .tick = tick,
                      .refresh_failed = {},
                      .other = std::move(other),
                      .waits = receiver.waits});
}

bool Tracing::set_rate(std::uint32_t packets_per_second) {
  if (impl_->stopped) return false;
  if (impl_->arming) return impl_->arming->set_rate(packets_per_second);
  return impl_->insertion && impl_->insertion->set_rate(packets_per_second);
}

std::vector<std::string> Tracing::stop() {
  Impl& impl = *impl_;
  if (std::exchange(impl.stopped, true)) return {};
  std::vector<std::string> failed;
  if (impl.listener) impl.listener->stop_refreshing();
  if (impl.arming) {
    impl.arming->let_go();
    std::this_thread::sleep_for(kLastPackets);
    impl.last_counters = impl.arming->counters();
    // If it fails the guardian has the second try, or the kernel when our socket closes.
    if (const auto done = impl.arming->disarm(); !done) failed.push_back(done.error().message);
  }
  if (impl.insertion) {
    impl.insertion->let_go();
    impl.last_counters = impl.insertion->counters();
    if (const auto done = impl.insertion->remove(); !done) failed.push_back(done.error().message);
  }
  if (impl.guardian) {
    for (std::string& line : impl.guardian->finish()) failed.push_back(std::move(line));
  }
  return failed;
}

std::optional<ArmingCounters> Tracing::counters() const {
  if (impl_->last_counters) return impl_->last_counters;
  if (impl_->insertion) return impl_->insertion->counters();
  return impl_->arming ? impl_->arming->counters() : std::nullopt;
}

}  // namespace fwtrace::host
