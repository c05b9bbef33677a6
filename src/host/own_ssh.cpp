#include "host/own_ssh.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/text.h"
#include "host/proc.h"

namespace fwtrace::host {

using packet::IpAddress;
using packet::IpVersion;

namespace {

constexpr int kMaxAncestors = 64;

// "0100007F" or four such words; each is 32 bits of the address in memory order, printed as a host number.
std::optional<IpAddress> parse_address(std::string_view hex) {
  if (hex.size() != 8 && hex.size() != 32) return std::nullopt;
  IpAddress address;
  address.version = hex.size() == 8 ? IpVersion::V4 : IpVersion::V6;
  for (std::size_t word = 0; word < hex.size() / 8; ++word) {
    const auto number = base::parse_number<std::uint32_t>(hex.substr(word * 8, 8), 16);
    if (!number) return std::nullopt;
    std::memcpy(address.bytes.data() + word * 4, &*number, 4);
  }
  // An IPv6 socket that speaks IPv4: on the wire it is IPv4.
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (address.version == IpVersion::V6 && std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin())) {
    IpAddress v4;
    v4.version = IpVersion::V4;
    std::copy_n(address.bytes.begin() + 12, 4, v4.bytes.begin());
    return v4;
  }
  return address;
}

bool parse_end(std::string_view text, IpAddress& address, std::uint16_t& port) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const auto parsed = parse_address(text.substr(0, colon));
  const auto number = base::parse_number<std::uint16_t>(text.substr(colon + 1), 16);
  if (!parsed || !number) return false;
  address = *parsed;
  port = *number;
  return true;
}

}  // namespace

// kernel: get_tcp4_sock: "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode"
std::vector<SocketConnection> parse_tcp_table(std::string_view text) {
  constexpr std::string_view kEstablished = "01";
  std::vector<SocketConnection> all;
  for (const std::string_view line : base::split(text, '\n')) {
    const auto words = base::split_words(line);
    if (words.size() < 10 || words[3] != kEstablished) continue;
    SocketConnection one;
    const auto inode = base::parse_number<std::uint64_t>(words[9]);
    if (!inode || !parse_end(words[1], one.connection.local, one.connection.local_port) ||
        !parse_end(words[2], one.connection.remote, one.connection.remote_port)) {
      continue;
    }
    one.inode = *inode;
    all.push_back(one);
  }
  return all;
}

std::vector<Connection> find_own_ssh(int pid, const std::string& proc) {
  std::vector<Connection> found;
  for (int steps = 0; pid > 1 && steps < kMaxAncestors; ++steps) {
    const auto process = find_process(pid, proc);
    if (!process) break;
    // Since OpenSSH 9.8 the process of one connection is sshd-session.
    if (process->name == "sshd" || process->name == "sshd-session" || process->name == "dropbear") {
      const auto sockets = list_fd_targets(pid, "socket:[", proc);
      for (const char* table : {"/net/tcp", "/net/tcp6"}) {
        for (const auto& one :
             parse_tcp_table(read_proc(proc + "/" + std::to_string(pid) + table).value_or(""))) {
          const std::string name = "socket:[" + std::to_string(one.inode) + "]";
          if (std::ranges::find(sockets, name) == sockets.end()) continue;
          if (std::ranges::find(found, one.connection) == found.end()) found.push_back(one.connection);
        }
      }
    }
    pid = process->parent;
  }
  return found;
}

}  // namespace fwtrace::host
