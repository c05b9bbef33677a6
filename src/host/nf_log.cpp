#include "host/nf_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"
#include "host/capability.h"
#include "host/proc.h"
#include "host/run_tool.h"

namespace fwtrace::host {
namespace {

// Not /proc/net: that is the namespace of the process' first thread, not of ours.
constexpr const char* kNet = "/proc/thread-self/net/";

}  // namespace

// kernel: seq_show of nf_log.c: " 2 nf_log_ipv4 (nf_log_ipv4,nfnetlink_log)"
std::vector<NfLog> parse_nf_log(std::string_view text) {
  std::vector<NfLog> all;
  for (const std::string_view line : base::split(text, '\n')) {
    const auto words = base::split_words(line);
    if (words.size() < 2) continue;
    const auto family = base::parse_number<int>(words[0]);
    if (!family) continue;
    NfLog log{.family = *family, .logger = std::string(words[1]), .available = {}};
    if (words.size() > 2 && words[2].starts_with('(') && words[2].ends_with(')')) {
      for (const std::string_view name : base::split(words[2].substr(1, words[2].size() - 2), ',')) {
        if (!name.empty()) log.available.emplace_back(name);
      }
    }
    all.push_back(std::move(log));
  }
  return all;
}

std::vector<NfLog> read_nf_log() {
  return parse_nf_log(read_proc(std::string(kNet) + "netfilter/nf_log").value_or(""));
}

std::optional<std::string> find_logger(int family) {
  const auto all = read_nf_log();
  const auto found = std::ranges::find(all, family, &NfLog::family);
  if (found == all.end()) return std::nullopt;
  return found->logger;
}

int set_logger(int family, const std::string& logger) {
  return write_proc(fmt::format("/proc/sys/net/netfilter/nf_log/{}", family), logger);
}

bool load_module(const std::string& name) {
  if (!has_capability(Capability::SysModule)) return false;
  for (const char* program : {"/sbin/modprobe", "/usr/sbin/modprobe"}) {
    if (const auto done = run_tool({program, "-q", name})) return done->ok();
  }
  return false;
}

bool prepare_netlink_logger() {
  const auto available = [] {
    const auto all = read_nf_log();
    const auto ipv4 = std::ranges::find(all, 2, &NfLog::family);
    return ipv4 != all.end() && std::ranges::find(ipv4->available, kNetlinkLogger) != ipv4->available.end();
  };
  return available() || (load_module(kNetlinkLogger) && available());
}

// kernel: seq_show of nfnetlink_log.c: "%5u %6u %5u %1u %5u %6u %2u": group, port, queue, mode, range, timeout, use
std::vector<NflogListener> parse_nflog_listeners(std::string_view text) {
  std::vector<NflogListener> all;
  for (const std::string_view line : base::split(text, '\n')) {
    const auto words = base::split_words(line);
    if (words.size() < 2) continue;
    const auto group = base::parse_number<std::uint16_t>(words[0]);
    const auto port = base::parse_number<std::uint32_t>(words[1]);
    if (group && port) all.push_back({.group = *group, .port = *port});
  }
  return all;
}

std::vector<NflogListener> read_nflog_listeners() {
  return parse_nflog_listeners(read_proc(std::string(kNet) + "netfilter/nfnetlink_log").value_or(""));
}

namespace {

// The inode of the netlink socket with this port. /proc/net/netlink: "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode"
std::optional<std::string> find_socket_inode(std::uint32_t port) {
  constexpr std::string_view kNetfilterProtocol = "12";
  const std::string text = read_proc(std::string(kNet) + "netlink").value_or("");
  for (const std::string_view line : base::split(text, '\n')) {
    const auto words = base::split_words(line);
    if (words.size() < 10 || words[1] != kNetfilterProtocol) continue;
    if (base::parse_number<std::uint32_t>(words[2]) == port) return std::string(words[9]);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_group0_holder() {
  const auto listeners = read_nflog_listeners();
  const auto holder = std::ranges::find(listeners, std::uint16_t{0}, &NflogListener::group);
  if (holder == listeners.end()) return std::nullopt;
  if (const auto inode = find_socket_inode(holder->port)) {
    const std::string wanted = fmt::format("socket:[{}]", *inode);
    for (const int pid : list_processes()) {
      if (list_fd_targets(pid, wanted).empty()) continue;
      const auto process = find_process(pid);
      return process ? fmt::format("{} (process {})", base::to_printable(process->name), pid)
                     : fmt::format("process {}", pid);
    }
  }
  return fmt::format("netlink port {}", holder->port);
}

}  // namespace fwtrace::host
