// The ssh connection that this command was typed in: tracing it would make every shown line a new packet to show.
#pragma once

#include <string>
#include <vector>

#include "host/arming_rules.h"

namespace fwtrace::host {

// The TCP connections of the sshd processes among the ancestors of process `pid`. By ancestry, because sudo drops
// SSH_CONNECTION. Empty if there is none, or it may not be seen.
std::vector<Connection> find_own_ssh(int pid, const std::string& proc = "/proc");

// The established connections of one /proc/<pid>/net/tcp or tcp6, with the inode of each socket.
struct SocketConnection {
  Connection connection;
  std::uint64_t inode = 0;
};
std::vector<SocketConnection> parse_tcp_table(std::string_view text);

}  // namespace fwtrace::host
