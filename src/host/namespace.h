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

// What tells a network namespace from all others, those that are gone included. Its inode alone does not: the kernel
// gives it to the next one.
struct NamespaceIdentity {
  std::uint64_t inode = 0;
  std::uint64_t cookie = 0;   // given once from boot to boot (kernel: net->net_cookie); 0: before Linux 5.14
  std::uint64_t started = 0;  // of the process that wrote this down, in clock ticks since boot
  std::string boot = {};      // /proc/sys/kernel/random/boot_id
  bool operator==(const NamespaceIdentity&) const = default;
};
// Of the calling thread's namespace.
NamespaceIdentity read_namespace_identity();

// A held network namespace: it cannot vanish while this lives.
class NetworkNamespace {
 public:
  // That of the calling thread.
  static base::Result<NetworkNamespace> current();
  // "NAME" of /run/netns (ip netns), "/path/to/ns", a process number, or a container's name or id (container.h).
  static base::Result<NetworkNamespace> find(const std::string& name_or_pid);
  static base::Result<NetworkNamespace> of_process(int pid);
  // Looked for in /run/netns and in all processes; for repair. Nothing if it is gone, or if it cannot be told from one
  // that came after it: without cookies, a process must be in it that is older than the one that wrote the identity.
  // Fails where it may not be entered to be asked.
  static base::Result<std::optional<NetworkNamespace>> find_again(const NamespaceIdentity& identity);

  std::uint64_t inode() const { return inode_; }     // as in "net:[4026531840]"
  const std::string& name() const { return name_; }  // what the user called it; "" for the current one
  int fd() const { return fd_.get(); }

 private:
  static std::optional<NetworkNamespace> find_by_inode(std::uint64_t inode);
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
