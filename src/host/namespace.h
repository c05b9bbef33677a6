// Network namespaces: naming one, entering one, and knowing which we are in.
//
// A namespace belongs to a thread. EnterNamespace changes only the thread that makes it and puts that thread back
// when it goes; files under /proc must then be read as /proc/thread-self/net/…, because /proc/net means the
// namespace of the process' first thread. /proc/sys/net follows the thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "host/fd.h"

namespace fwtrace::host {

// A held network namespace: it cannot vanish while this lives.
class NetworkNamespace {
 public:
  // That of the calling thread.
  static base::Result<NetworkNamespace> current();
  // "NAME" of /run/netns (ip netns), "/path/to/ns", a process number, or a container's name or id (container.h).
  static base::Result<NetworkNamespace> find(const std::string& name_or_pid);
  static base::Result<NetworkNamespace> of_process(int pid);
  // By inode, looked for in /run/netns and in all processes; for repair.
  static std::optional<NetworkNamespace> find_by_inode(std::uint64_t inode);

  std::uint64_t inode() const { return inode_; }     // as in "net:[4026531840]"
  const std::string& name() const { return name_; }  // what the user called it; "" for the current one
  int fd() const { return fd_.get(); }

 private:
  static base::Result<NetworkNamespace> open(const std::string& path, std::string name);
  Fd fd_;
  std::uint64_t inode_ = 0;
  std::string name_;
};

// The calling thread is in `target` while this lives. Must be destroyed by the thread that made it.
class EnterNamespace {
 public:
  static base::Result<EnterNamespace> enter(const NetworkNamespace& target);
  EnterNamespace(EnterNamespace&&) noexcept = default;
  EnterNamespace& operator=(EnterNamespace&&) = delete;
  ~EnterNamespace();
  // Never goes back: for who gives up the right to (CAP_SYS_ADMIN).
  void stay() { back_.close(); }

 private:
  explicit EnterNamespace(Fd back) : back_(std::move(back)) {}
  Fd back_;  // closed: we were there already
};

// Whether the calling thread is in the machine's first network namespace. The kernel shows the sysctl
// nf_log_all_netns there and nowhere else (kernel: netfilter_log_sysctl_init), whatever PID namespace we see.
bool in_initial_namespace();

}  // namespace fwtrace::host
