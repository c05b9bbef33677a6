// Giving up capabilities: what is kept is enough for the rest of a trace.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "host/capability.h"
#include "live/box.h"

namespace fwtrace::live {
namespace {

using host::Capability;

constexpr std::size_t kBuffer = std::size_t{64} << 20;

// In a child, because there is no way back. Its exit status is the number of what failed.
int in_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Capabilities, NetAdminIsEnoughOnceTheNamespaceIsEntered) {
  if (!host::has_capability(Capability::SysAdmin)) GTEST_SKIP() << "not root";
  EXPECT_EQ(in_child([] {
              std::string why;
              // Kept for good: back into the first namespace this process cannot go.
              if (!Box::make(why).release()) return 1;
              const std::size_t before = host::NetlinkSocket::open()->grow_buffer(kBuffer);
              if (!host::keep_only({Capability::NetAdmin})) return 2;
              if (host::has_capability(Capability::SysAdmin) || host::has_capability(Capability::Syslog))
                return 3;
              if (!host::has_capability(Capability::NetAdmin)) return 4;
              if (host::require_capability(Capability::SysAdmin, "entering a namespace")) return 5;
              auto live = arm({"-p", "udp"}, {}, true, true);
              if (!live || (*live)->group != host::Group0::Ours) return 6;
              if ((*live)->socket->grow_buffer(kBuffer) < before) return 7;
              // What it executes has no more than it: no shell of ours is root again.
              const std::string status = Box::run("grep CapEff /proc/self/status");
              if (status.find("0000000000001000") == std::string::npos) return 8;
              return 0;
            }),
            0);
}

TEST(Capabilities, WithoutNetAdminArmingSaysWhatIsMissing) {
  if (!host::has_capability(Capability::NetAdmin)) GTEST_SKIP() << "not root";
  EXPECT_EQ(in_child([] {
              if (!host::keep_only({})) return 1;
              auto socket = host::NetlinkSocket::open();
              if (!socket) return 2;
              const auto armed = host::Arming::arm(*socket, plan({"-p", "udp"}), {}, "fwtrace-0");
              if (armed || armed.error().kind != base::ErrorKind::Permission) return 3;
              if (armed.error().hints.empty() ||
                  armed.error().hints[0].find("CAP_NET_ADMIN") == std::string::npos) {
                return 4;
              }
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace fwtrace::live
