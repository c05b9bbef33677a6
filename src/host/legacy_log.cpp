#include "host/legacy_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/text.h"
#include "host/listener.h"
#include "host/nf_log.h"
#include "host/proc.h"

namespace fwtrace::host {
namespace {

// Not bridge: ebtables-legacy has no trace, and nft's does not go this way.
struct TracedFamily {
  int number;
  const char* name;
};
constexpr TracedFamily kTraced[] = {{.number = 2, .name = "IPv4"}, {.number = 10, .name = "IPv6"}};

void read_names(const char* file, std::vector<std::string>& names, bool& known) {
  const std::string path = std::string("/proc/thread-self/net/") + file;
  if (access(path.c_str(), F_OK) != 0) return;  // ip_tables itself is not there
  const auto text = read_proc(path);
  if (!text) known = false;
  for (const std::string_view line : base::split(text.value_or(""), '\n')) {
    if (!line.empty()) names.emplace_back(line);
  }
}

// Points nf_log at NFLOG. What could not be done is one line.
base::Result<bool> log_to_netlink(Guardian& guardian, std::vector<std::string>& notes) {
  bool heard = false;
  for (const TracedFamily& family : kTraced) {
    const auto before = find_logger(family.number);
    if (before == kNetlinkLogger) {
      heard = true;
      continue;
    }
    TRY_VOID(guardian.will_set_logger(family.number, before.value_or("NONE")));
    if (const int error = set_logger(family.number, kNetlinkLogger); error == 0) {
      heard = true;
    } else {
      notes.push_back(fmt::format(
          "{} events of iptables-legacy cannot be seen: net.netfilter.nf_log.{} cannot be set: {}",
          family.name, family.number, print_errno(error)));
    }
  }
  return heard;
}

}  // namespace

LegacyTables find_legacy_tables() {
  LegacyTables tables;
  read_names("ip_tables_names", tables.ipv4, tables.known);
  read_names("ip6_tables_names", tables.ipv6, tables.known);
  return tables;
}

base::Result<LegacyLog> open_legacy_log(NetlinkSocket& socket, Guardian& guardian) {
  LegacyLog log;
  const bool logger = prepare_netlink_logger();
  TRY(const Group0 group, bind_group0(socket));
  if (group == Group0::Ours) {
    TRY(log.heard, log_to_netlink(guardian, log.notes));
  } else if (group == Group0::Taken) {
    log.notes.push_back(fmt::format("iptables-legacy events cannot be seen: {} listens to NFLOG group 0",
                                    find_group0_holder().value_or("somebody else")));
  } else {
    log.notes.emplace_back(logger ? "iptables-legacy events cannot be seen: this kernel has no NFLOG"
                                  : "iptables-legacy events cannot be seen: modprobe nfnetlink_log");
  }
  if (find_legacy_tables().none()) log.notes.clear();
  return log;
}

}  // namespace fwtrace::host
