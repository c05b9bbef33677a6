#include "host/legacy_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "host/listener.h"
#include "host/namespace.h"
#include "host/nf_log.h"
#include "host/proc.h"

namespace fwtrace::host {
namespace {

constexpr std::string_view kUnseen = "iptables-legacy events cannot be seen: ";

// Not bridge: ebtables-legacy has no trace, and nft's does not go this way.
struct TracedFamily {
  int number;
  std::string_view name;
  // The logger that writes to the kernel log, and the module by which modprobe finds it: since 5.13 all of them are in
  // nf_log_syslog, which has the old names as aliases.
  const char* kernel_logger;
};
constexpr auto kTraced =
    std::to_array<TracedFamily>({{.number = 2, .name = "IPv4", .kernel_logger = "nf_log_ipv4"},
                                 {.number = 10, .name = "IPv6", .kernel_logger = "nf_log_ipv6"}});

void read_names(const char* file, std::vector<std::string>& names, bool& known) {
  const std::string path = std::string("/proc/thread-self/net/") + file;
  if (access(path.c_str(), F_OK) != 0) return;  // ip_tables itself is not there
  const auto text = read_proc(path);
  if (!text) {
    known = false;
    return;
  }
  for (const std::string_view line : base::split(*text, '\n')) {
    if (!line.empty()) names.emplace_back(line);
  }
}

bool is_available(int family, std::string_view logger) {
  const auto all = read_nf_log();
  const auto found = std::ranges::find(all, family, &NfLog::family);
  return found != all.end() && std::ranges::find(found->available, logger) != found->available.end();
}

// Points nf_log of one family at `logger`. What could not be done is one line.
base::Result<bool> set(Guardian& guardian, const TracedFamily& family, const char* logger,
                       std::vector<std::string>& notes) {
  const auto before = find_logger(family.number);
  if (before == logger) return true;
  TRY_VOID(guardian.will_set_logger(family.number, before.value_or("NONE"), logger));
  const int error = set_logger(family.number, logger);
  if (error == 0) return true;
  notes.push_back(
      fmt::format("{} events of iptables-legacy cannot be seen: net.netfilter.nf_log.{} cannot be set: {}",
                  family.name, family.number, print_errno(error)));
  return false;
}

base::Result<bool> log_to_netlink(Guardian& guardian, std::vector<std::string>& notes) {
  bool heard = false;
  for (const TracedFamily& family : kTraced) {
    TRY(const bool set_so, set(guardian, family, kNetlinkLogger, notes));
    heard = heard || set_so;
  }
  return heard;
}

// Does the kernel write log lines of this namespace at all? Only the first namespace knows the sysctl.
bool kernel_log_has_this_namespace() {
  if (in_initial_namespace()) return true;
  // Process 1 is in it, or, in a container that shares the machine's network, one that we descend from.
  for (int pid = getppid(), seen = 0; pid > 0 && seen < 64; ++seen) {
    if (const auto there = NetworkNamespace::of_process(pid)) {
      const auto inside = EnterNamespace::enter(*there);
      if (inside && in_initial_namespace())
        return read_proc("/proc/sys/net/netfilter/nf_log_all_netns").value_or("0").starts_with('1');
    }
    const auto process = find_process(pid);
    pid = pid == 1 ? 0 : process ? process->parent : 1;
  }
  return false;
}

// The second best way. `why` says what is in the way of the first.
base::Result<void> log_to_kernel(LegacyLog& log, Guardian& guardian, const std::string& why,
                                 const std::string& instead) {
  const auto unseen = [&](std::string_view reason) {
    log.notes.push_back(fmt::format("{}{}, and {}: {}", kUnseen, why, reason, instead));
  };
  if (!kernel_log_has_this_namespace()) {
    unseen("the kernel log has lines of this network namespace only with net.netfilter.nf_log_all_netns=1");
    return {};
  }
  for (const TracedFamily& family : kTraced) {
    if (is_available(family.number, family.kernel_logger)) continue;
    if (load_module(family.kernel_logger) && is_available(family.number, family.kernel_logger)) continue;
    unseen(fmt::format("the kernel has not loaded {}", family.kernel_logger));
    return {};
  }
  auto opened = KernelLog::open();
  if (!opened) {
    unseen(opened.error().message);
    return {};
  }
  for (const TracedFamily& family : kTraced) {
    TRY(const bool set_so, set(guardian, family, family.kernel_logger, log.notes));
    log.heard = log.heard || set_so;
  }
  if (!log.heard) return {};
  log.kernel_log.emplace(std::move(*opened));
  log.notes.push_back(fmt::format("iptables-legacy events are read from the kernel log: {}", why));
  return {};
}

}  // namespace

LegacyTables find_legacy_tables() {
  LegacyTables tables;
  read_names("ip_tables_names", tables.ipv4, tables.known);
  read_names("ip6_tables_names", tables.ipv6, tables.known);
  return tables;
}

base::Result<LegacyLog> open_legacy_log(NetlinkSocket& socket, Guardian& guardian, bool needed) {
  LegacyLog log;
  (void)prepare_netlink_logger();
  TRY(const Group0 group, bind_group0(socket));
  const bool of_use = needed || !find_legacy_tables().none();
  if (group == Group0::Ours) {
    // Even if no legacy table is there yet: one may come while we trace.
    TRY(log.heard, log_to_netlink(guardian, log.notes));
  } else if (of_use) {
    const std::string holder = find_group0_holder().value_or("somebody else");
    if (group == Group0::Absent) {
      TRY_VOID(
          log_to_kernel(log, guardian, "this kernel has not loaded nfnetlink_log", "modprobe nfnetlink_log"));
    } else if (holder.starts_with("fwtrace ")) {
      log.notes.push_back(fmt::format("{}another {} has them", kUnseen, holder));
    } else {
      TRY_VOID(log_to_kernel(log, guardian, holder + " listens to NFLOG group 0",
                             "stop it for as long as you trace"));
    }
  }
  if (!of_use) log.notes.clear();
  return log;
}

}  // namespace fwtrace::host
