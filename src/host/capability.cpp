#include "host/capability.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "host/proc.h"

namespace fwtrace::host {
namespace {

struct Sets {
  std::uint64_t effective = 0, permitted = 0, inheritable = 0;
};

bool read_sets(Sets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  const auto join = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32 | low; };
  sets = {.effective = join(data[0].effective, data[1].effective),
          .permitted = join(data[0].permitted, data[1].permitted),
          .inheritable = join(data[0].inheritable, data[1].inheritable)};
  return true;
}

bool write_sets(const Sets& sets) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  for (std::size_t half = 0; half < data.size(); ++half) {
    const auto part = [half](std::uint64_t set) {
      return static_cast<std::uint32_t>(half == 0 ? set : set >> 32U);
    };
    data[half] = {.effective = part(sets.effective),
                  .permitted = part(sets.permitted),
                  .inheritable = part(sets.inheritable)};
  }
  return syscall(SYS_capset, &header, data.data()) == 0;
}

std::uint64_t bit(Capability capability) { return std::uint64_t{1} << static_cast<unsigned>(capability); }

}  // namespace

std::string_view to_text(Capability capability) {
  switch (capability) {
    case Capability::NetAdmin: return "CAP_NET_ADMIN";
    case Capability::NetRaw: return "CAP_NET_RAW";
    case Capability::SysModule: return "CAP_SYS_MODULE";
    case Capability::SysPtrace: return "CAP_SYS_PTRACE";
    case Capability::SysAdmin: return "CAP_SYS_ADMIN";
    case Capability::Syslog: return "CAP_SYSLOG";
  }
  return "";
}

bool has_capability(Capability capability) {
  Sets sets;
  return read_sets(sets) && (sets.effective & bit(capability)) != 0;
}

base::Result<void> require_capability(Capability capability, std::string_view purpose) {
  if (has_capability(capability)) return {};
  return base::fail(base::ErrorKind::Permission, fmt::format("{} needs {}", purpose, to_text(capability)),
                    {geteuid() == 0 ? "this is root without that capability (a container?): grant it, or run "
                                      "fwtrace outside of the container with --netns"
                                    : "run as root: sudo fwtrace …"});
}

base::Result<void> keep_only(const std::vector<Capability>& kept) {
  std::uint64_t wanted = 0;
  for (const Capability capability : kept) wanted |= bit(capability);
  Sets sets;
  if (!read_sets(sets))
    return base::fail(base::ErrorKind::Permission, "the kernel does not tell our capabilities");
  // The bounding set first, since leaving it needs CAP_SETPCAP; without that it stays, and exec by root regains it.
  for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; ++number) {
    if ((wanted >> number & 1) == 0) prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const Sets rest{
      .effective = sets.permitted & wanted, .permitted = sets.permitted & wanted, .inheritable = 0};
  if (!write_sets(rest)) {
    return base::fail(base::ErrorKind::Permission,
                      "capabilities could not be given up: " + print_errno(errno));
  }
  return {};
}

}  // namespace fwtrace::host
