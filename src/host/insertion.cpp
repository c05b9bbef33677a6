#include "host/insertion.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/text.h"
#include "host/insert_rules.h"
#include "host/legacy_log.h"
#include "host/run_tool.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;
using packet::IpVersion;

namespace {

constexpr std::chrono::seconds kLifetime{60}, kRenewEvery{20}, kRetryAfter{3};
constexpr auto kPrograms = std::to_array<std::string_view>(
    {"iptables-legacy-restore", "iptables-restore", "ip6tables-legacy-restore", "ip6tables-restore"});
constexpr auto kEntries =
    std::to_array<std::pair<std::string_view, std::string_view>>({{"PREROUTING", "in"}, {"OUTPUT", "out"}});
constexpr int kAttempts = 3;

std::string_view name_of(IpVersion version) { return version == IpVersion::V4 ? "IPv4" : "IPv6"; }

// Full path of an iptables-restore that speaks to ip_tables and not to nf_tables.
std::optional<std::string> find_restore(IpVersion version) {
  const std::string prefix = version == IpVersion::V4 ? "iptables" : "ip6tables";
  if (auto legacy = find_tool(prefix + "-legacy-restore")) return legacy;
  auto plain = find_tool(prefix + "-restore");
  if (!plain) return std::nullopt;
  const auto said = run_tool({*plain, "--version"});
  if (!said || !said->ok() || said->out.find("nf_tables") != std::string::npos) return std::nullopt;
  return plain;
}

// "…/iptables-legacy-restore" → "…/iptables-legacy-save"
std::string save_of(const std::string& restore) {
  return restore.substr(0, restore.size() - std::string_view("restore").size()) + "save";
}

Result<void> restore(const std::string& program, const std::vector<std::string>& lines, int inherited) {
  std::string text = "*raw\n";
  for (const std::string& line : lines) text += line + "\n";
  text += "COMMIT\n";
  const auto done = run_tool({program, "--noflush", "-w", "5"},
                             {.time = std::chrono::seconds(10), .input = text, .inherited = inherited});
  if (!done) return base::fail(ErrorKind::Permission, fmt::format("'{}' cannot be run", program));
  if (done->ok()) return {};
  std::string said = done->timed_out ? "it did not end" : std::string(base::split(done->err, '\n').front());
  return base::fail(ErrorKind::Permission, fmt::format("'{}' failed: {}", program, base::to_printable(said)));
}

Result<std::string> save(const std::string& restore_program, bool counters) {
  std::vector<std::string> words{save_of(restore_program), "-t", "raw"};
  if (counters) words.insert(words.begin() + 1, "-c");
  auto done = run_tool(words, {.time = std::chrono::seconds(10)});
  if (!done || !done->ok()) {
    return base::fail(ErrorKind::Permission, fmt::format("'{}' failed", words.front()));
  }
  return std::move(done->out);
}

// To ask for a table's rules makes the table.
bool raw_is_loaded(const std::string& program) {
  const LegacyTables tables = find_legacy_tables();
  const auto& names = program.find("/ip6tables") == std::string::npos ? tables.ipv4 : tables.ipv6;
  return !tables.known || std::ranges::find(names, "raw") != names.end();
}

}  // namespace

bool is_restore_program(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return path.starts_with('/') && std::ranges::find(kPrograms, path.substr(slash + 1)) != kPrograms.end();
}

std::size_t Insertion::entries(const ArmingPlan& plan) {
  std::size_t count = 0;
  for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
    if (to_raw_rules(plan, version, "fwtrace").arms) count += kEntries.size();
  }
  return count;
}

Result<Insertion> Insertion::insert(const ArmingPlan& plan, const ArmingLimits& limits, Guardian& guardian,
                                    std::vector<std::string>& notes) {
  Insertion insertion(guardian);
  insertion.name_ = Arming::table_name(getpid());
  insertion.limits_ = limits;
  std::vector<base::Error> errors;
  bool without_errors = false;
  for (const IpVersion version : {IpVersion::V4, IpVersion::V6}) {
    const RawRules rules = to_raw_rules(plan, version, insertion.name_);
    if (!rules.arms) continue;
    const auto program = find_restore(version);
    if (!program) {
      errors.push_back({.kind = ErrorKind::Permission,
                        .message = fmt::format("no iptables-legacy for {} is installed", name_of(version)),
                        .hints = {"install iptables"}});
      continue;
    }
    TRY_VOID(guardian.will_insert_rules(*program));
    Part part{.version = version, .restore = *program, .stop = 0};
    if (auto put = insertion.put(part, rules.chains, rules.rules); !put) {
      errors.push_back(std::move(put.error()));
      continue;
    }
    without_errors = without_errors || rules.without_errors;
    insertion.parts_.push_back(std::move(part));
  }
  if (insertion.parts_.empty() && errors.empty()) {
    return base::fail(ErrorKind::Usage, "iptables-legacy has no words for this filter");
  }
  if (insertion.parts_.empty()) return std::unexpected(std::move(errors.front()));
  for (const base::Error& error : errors) {
    const IpVersion other = insertion.inserted(IpVersion::V4) ? IpVersion::V6 : IpVersion::V4;
    notes.push_back(fmt::format("{} packets are not traced: {}", name_of(other), error.message));
  }
  if (without_errors) {
    notes.emplace_back(
        "ICMP errors about these packets are not traced: iptables cannot tell them from others");
  }
  insertion.next_renewal_ = Clock::now() + kRenewEvery;
  return insertion;
}

Result<void> Insertion::put(Part& part, const std::vector<std::string>& chains,
                            const std::vector<std::string>& rules) {
  std::vector<std::string> lines;
  for (const std::string& chain : chains) lines.push_back("-N " + chain);  // fails if it is there: not ours
  lines.push_back(fmt::format("-A {}-arm", name_));
  lines.push_back(fmt::format("-A {}-arm {}", name_, raw_limit_rule(limits_.rate, limits_.burst)));
  lines.insert(lines.end(), rules.begin(), rules.end());
  part.stop = std::time(nullptr) + kLifetime.count();
  for (const auto& [chain, suffix] : kEntries) {
    lines.push_back(fmt::format("-I {} 1 {}", chain, raw_entry_rule(name_, suffix, part.stop)));
  }
  TRY_VOID(restore(part.restore, lines, guardian_->pipe()));
  part.stands = true;
  return {};
}

bool Insertion::inserted(IpVersion version) const {
  return std::ranges::any_of(parts_,
                             [&](const Part& part) { return part.version == version && part.stands; });
}

void Insertion::renew() {
  const auto now = Clock::now();
  if (now < next_renewal_) return;
  next_renewal_ = now + kRenewEvery;
  for (Part& part : parts_) {
    if (!part.stands) continue;
    const std::int64_t stop = std::time(nullptr) + kLifetime.count();
    std::vector<std::string> lines;
    for (const auto& [chain, suffix] : kEntries) {
      lines.push_back(fmt::format("-I {} 1 {}", chain, raw_entry_rule(name_, suffix, stop)));
      lines.push_back(fmt::format("-D {} {}", chain, raw_entry_rule(name_, suffix, part.stop)));
    }
    if (restore(part.restore, lines, guardian_->pipe())) {
      part.stop = stop;
    } else {
      next_renewal_ = now + kRetryAfter;
    }
  }
}

bool Insertion::set_rate(std::uint32_t packets_per_second) {
  if (packets_per_second == 0) return false;
  const std::uint64_t share = std::uint64_t{limits_.burst} * packets_per_second / std::max(limits_.rate, 1U);
  const auto burst = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, 1, packets_per_second));
  bool all = true;
  for (Part& part : parts_) {
    const auto before = counters();
    const std::string line = fmt::format("-R {}-arm 2 {}", name_, raw_limit_rule(packets_per_second, burst));
    if (restore(part.restore, {line}, guardian_->pipe())) {
      const auto after = counters();
      if (before && after && after->armed < before->armed) part.armed_before += before->armed - after->armed;
    } else {
      all = false;
    }
  }
  return all;
}

void Insertion::let_go() {
  for (Part& part : parts_) {
    const auto saved = save(part.restore, false);
    if (!saved) continue;
    const auto lines = removal_of(*saved, name_, true);
    if (!lines.empty() && restore(part.restore, lines, guardian_->pipe())) part.stands = false;
  }
}

Result<void> Insertion::remove() {
  for (const Part& part : parts_) TRY_VOID(remove_inserted(part.restore, getpid()));
  return {};
}

// "[12:3400] -A fwtrace-12-arm" and "[10:3000] -A fwtrace-12-arm -m limit … -j TRACE"
std::optional<ArmingCounters> Insertion::counters() const {
  ArmingCounters sum;
  for (const Part& part : parts_) {
    const auto saved = save(part.restore, true);
    if (!saved) return std::nullopt;
    sum.armed += part.armed_before;
    for (const std::string_view line : base::split(*saved, '\n')) {
      const auto words = base::split_words(line);
      if (words.size() < 3 || words[1] != "-A" || words[2] != name_ + "-arm") continue;
      const auto packets = base::parse_number<std::uint64_t>(words[0].substr(1, words[0].find(':') - 1));
      (words.size() == 3 ? sum.matched : sum.armed) += packets.value_or(0);
    }
  }
  return sum;
}

Result<void> remove_inserted(const std::string& program, int pid) {
  if (!is_restore_program(program)) {
    return base::fail(ErrorKind::Permission, fmt::format("'{}' is no iptables-restore", program));
  }
  if (!raw_is_loaded(program)) return {};
  Result<void> done;
  // Somebody else may change the table between our reading and our writing.
  for (int i = 0; i < kAttempts; ++i) {
    TRY(const std::string saved, save(program, false));
    const auto lines = removal_of(saved, Arming::table_name(pid), false);
    if (lines.empty()) return {};
    done = restore(program, lines, -1);
    if (done) return {};
  }
  return done;
}

}  // namespace fwtrace::host
