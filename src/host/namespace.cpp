#include "host/namespace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/check.h"
#include "base/text.h"
#include "host/container.h"
#include "host/proc.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;

namespace {

std::uint64_t inode_of(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

std::string read_boot_id() {
  return std::string(base::trim(read_proc("/proc/sys/kernel/random/boot_id").value_or("")));
}

// 0: the kernel does not say (SO_NETNS_COOKIE, Linux 5.14).
std::uint64_t read_cookie() {
  constexpr int kNamespaceCookie = 71;  // older headers lack it; Alpha, MIPS, PA-RISC and SPARC say the same
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(socket.get(), SOL_SOCKET, kNamespaceCookie, &cookie, &size) != 0) return 0;
  return cookie;
}

// Whether a process is in it that began no later than `started`.
bool has_older_process(std::uint64_t inode, std::uint64_t started) {
  return std::ranges::any_of(list_processes(), [&](int pid) {
    if (inode_of(fmt::format("/proc/{}/ns/net", pid)) != inode) return false;
    const auto process = find_process(pid);
    return process && process->started < started;
  });
}

}  // namespace

NamespaceIdentity read_namespace_identity() {
  const auto self = find_process(static_cast<int>(getpid()));
  return {.inode = inode_of("/proc/thread-self/ns/net"),
          .cookie = read_cookie(),
          .started = self ? self->started : 0,
          .boot = read_boot_id()};
}

Result<NetworkNamespace> NetworkNamespace::open(const std::string& path, std::string name) {
  NetworkNamespace found;
  errno = 0;
  found.fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int error = errno;
  if (!found.fd_.open()) {
    if (error == EACCES || error == EPERM) {
      return base::fail(ErrorKind::Permission, fmt::format("network namespace '{}' may not be entered", name),
                        {"run as root"});
    }
    return base::fail(
        ErrorKind::Usage, fmt::format("no network namespace '{}': {}", name, print_errno(error)),
        {"'ip netns list' and 'lsns -t net' show those there are; a process number or a container's name works too"});
  }
  struct stat info{};
  if (fstat(found.fd_.get(), &info) != 0) {
    return base::fail(ErrorKind::Usage,
                      fmt::format("no network namespace '{}': {}", name, print_errno(errno)));
  }
  found.inode_ = info.st_ino;
  found.name_ = std::move(name);
  return found;
}

Result<NetworkNamespace> NetworkNamespace::current() { return open("/proc/thread-self/ns/net", ""); }

Result<NetworkNamespace> NetworkNamespace::of_process(int pid) {
  return open(fmt::format("/proc/{}/ns/net", pid), std::to_string(pid));
}

Result<NetworkNamespace> NetworkNamespace::find(const std::string& name_or_pid) {
  if (name_or_pid.starts_with("/")) return open(name_or_pid, name_or_pid);
  std::error_code ignored;
  // A name may look like a number ("ip netns add 7"): what the user named wins.
  const std::string named = "/run/netns/" + name_or_pid;
  const bool is_plain_name = !name_or_pid.empty() && name_or_pid.find('/') == std::string::npos &&
                             name_or_pid != "." && name_or_pid != "..";
  if (is_plain_name && std::filesystem::exists(named, ignored)) return open(named, name_or_pid);
  // A container's id may look like a number too: if there is no such process.
  const auto pid = base::parse_number<int>(name_or_pid);
  const bool is_pid = pid && *pid > 0;
  if (is_pid && std::filesystem::exists(fmt::format("/proc/{}", *pid), ignored)) return of_process(*pid);
  if (!is_plain_name) {
    return base::fail(
        ErrorKind::Usage, fmt::format("'{}' is no name of a network namespace", name_or_pid),
        {"give a name of 'ip netns list', a process number, a container's name, or a path that begins "
         "with '/'"});
  }
  TRY(const auto container, find_container(name_or_pid));
  if (container) return open(fmt::format("/proc/{}/ns/net", *container), name_or_pid);
  return is_pid ? of_process(*pid) : open(named, name_or_pid);
}

std::optional<NetworkNamespace> NetworkNamespace::find_by_inode(std::uint64_t inode) {
  if (auto here = current(); here && here->inode() == inode) return std::move(*here);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", error)) {
    if (inode_of(entry.path()) != inode) continue;
    if (auto found = open(entry.path(), entry.path().filename())) return std::move(*found);
  }
  for (const int pid : list_processes()) {
    if (inode_of(fmt::format("/proc/{}/ns/net", pid)) != inode) continue;
    if (auto found = of_process(pid)) return std::move(*found);
  }
  return std::nullopt;
}

Result<std::optional<NetworkNamespace>> NetworkNamespace::find_again(const NamespaceIdentity& identity) {
  if (identity.boot.empty() || identity.boot != read_boot_id()) return std::nullopt;
  auto found = find_by_inode(identity.inode);
  if (!found) return std::nullopt;
  if (identity.cookie == 0) {
    if (!has_older_process(identity.inode, identity.started)) return std::nullopt;
    return found;
  }
  TRY(const EnterNamespace inside, EnterNamespace::enter(*found));
  if (read_cookie() != identity.cookie) return std::nullopt;
  return found;
}

Result<EnterNamespace> EnterNamespace::enter(const NetworkNamespace& target) {
  TRY(const NetworkNamespace here, NetworkNamespace::current());
  if (here.inode() == target.inode()) return EnterNamespace(Fd());
  Fd back(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!back.open() || setns(target.fd(), CLONE_NEWNET) != 0) {
    return base::fail(
        ErrorKind::Permission,
        fmt::format("network namespace '{}' may not be entered: {}", target.name(), print_errno(errno)),
        {"entering a namespace needs CAP_SYS_ADMIN: run as root"});
  }
  return EnterNamespace(std::move(back));
}

EnterNamespace::~EnterNamespace() {
  // Going on in the wrong namespace would be worse than stopping.
  if (back_.open()) CHECK(setns(back_.get(), CLONE_NEWNET) == 0);
}

bool in_initial_namespace() { return access("/proc/sys/net/netfilter/nf_log_all_netns", F_OK) == 0; }

}  // namespace fwtrace::host
