// What is left after the worst: kill -9 at any moment, a killed guardian, a kernel without owned tables.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <random>
#include <thread>

#include "host/guardian.h"
#include "host/nf_log.h"
#include "live/box.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;

class GuardianTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    char pattern[] = "/tmp/fwtrace-live-XXXXXX";
    folder_ = mkdtemp(pattern);
    before_ = loggers();
    // Orphans become our children, so that we see whether every guardian ends.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  }
  void TearDown() override {
    if (!folder_.empty()) Box::run("rm -rf '" + folder_ + "'");
  }
  static std::string loggers() {
    std::string text;
    for (const auto& log : host::read_nf_log()) text += std::to_string(log.family) + "=" + log.logger + " ";
    return text;
  }

  // What the tool does when it starts; never returns.
  [[noreturn]] void trace(bool owned, int ready) const {
    auto guardian = host::Guardian::start(folder_);
    if (!guardian) _exit(2);
    auto socket = host::NetlinkSocket::open();
    if (!socket) _exit(3);
    socket->grow_buffer(std::size_t{64} << 20);
    if (!host::bind_group0(*socket)) _exit(4);
    host::join_nft_trace(*socket);
    for (const int family : host::kLoggedFamilies) {
      if (!guardian->will_set_logger(family, host::find_logger(family).value_or("NONE"))) _exit(5);
      host::set_logger(family, host::kNetlinkLogger);
    }
    const std::string table = host::Arming::table_name(getpid());
    if (!owned && !guardian->will_add_table(table, {packet::Family::Inet})) _exit(6);
    auto arming = host::Arming::arm(*socket, plan({"-p", "udp"}), {}, table, owned);
    if (!arming) _exit(7);
    if (write(ready, "r", 1) != 1 && errno != EPIPE) _exit(8);
    host::Listener listener(*socket, &*arming, -1);
    listener.run({.datagram = [](std::span<const std::uint8_t>) {},
                  .lost = {},
                  .tick = [](host::Listener::Clock::time_point) { return true; },
                  .refresh_failed = {}});
    _exit(9);
  }
  struct Child {
    pid_t pid = 0;
    int ready = -1;
  };
  Child start(bool owned) const {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return {};
    const pid_t pid = fork();
    if (pid == 0) trace(owned, ends[1]);
    close(ends[1]);
    return {.pid = pid, .ready = ends[0]};
  }
  // Whether all is as before, within two seconds; else what is not.
  std::string wait_clean() const {
    std::string left;
    for (int i = 0; i < 400; ++i) {
      left.clear();
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      if (errno != ECHILD) left += " process";
      if (loggers() != before_) left += "nf_log " + loggers();
      const auto tables = host::find_our_tables();
      if (!tables || !tables->empty()) left += " table";
      if (!host::read_nflog_listeners().empty()) left += " listener";
      if (rmdir(folder_.c_str()) == 0) {
        mkdir(folder_.c_str(), 0700);
      } else {
        left += " state file";
      }
      if (left.empty()) return "";
      std::this_thread::sleep_for(5ms);
    }
    return left;
  }
  static void kill_and_reap(const Child& child) {
    kill(child.pid, SIGKILL);
    int status = 0;
    waitpid(child.pid, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << WEXITSTATUS(status);
    close(child.ready);
  }

  std::unique_ptr<Box> box_;
  std::string folder_, before_;
};

void kill_at_random_moments(int times, const std::function<void(std::chrono::microseconds)>& once) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> microseconds(0, 25'000);  // a start takes about 10 ms
  for (int i = 0; i < times && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("round " + std::to_string(i));
    once(std::chrono::microseconds(microseconds(random)));
  }
}

TEST_F(GuardianTest, NothingIsLeftAfterKillNine) {
  kill_at_random_moments(200, [&](std::chrono::microseconds after) {
    const Child child = start(true);
    std::this_thread::sleep_for(after);
    kill_and_reap(child);
    EXPECT_EQ(wait_clean(), "") << "killed after " << after.count() << " us";
  });
}

TEST_F(GuardianTest, NothingIsLeftAfterKillNineWithoutTheOwnerFlag) {
  kill_at_random_moments(100, [&](std::chrono::microseconds after) {
    const Child child = start(false);
    std::this_thread::sleep_for(after);
    kill_and_reap(child);
    EXPECT_EQ(wait_clean(), "") << "killed after " << after.count() << " us";
  });
}

TEST_F(GuardianTest, TheGuardianHoldsNothingOfOurs) {
  auto guardian = host::Guardian::start(folder_);
  ASSERT_TRUE(guardian) << guardian.error().message;
  EXPECT_EQ(guardian->warning(), "");
  auto socket = host::NetlinkSocket::open();
  ASSERT_TRUE(guardian->will_set_logger(2, *host::find_logger(2)));
  const std::string fds =
      Box::run("ls -l /proc/" + std::to_string(guardian->pid()) + "/fd | grep -c -- '->'");
  EXPECT_EQ(fds, "6\n") << "0, 1, 2 are /dev/null; pipe, state file, its folder";
  for (const int number : {SIGINT, SIGHUP, SIGTERM}) kill(guardian->pid(), number);
  EXPECT_EQ(host::set_logger(2, host::kNetlinkLogger), 0);
  EXPECT_EQ(guardian->finish(), std::vector<std::string>());
  EXPECT_EQ(loggers(), before_);
  EXPECT_EQ(rmdir(folder_.c_str()), 0);
}

TEST_F(GuardianTest, AKilledGuardianLeavesAStateFileThatRepairUses) {
  const Child child = start(false);
  char byte = 0;
  ASSERT_EQ(read(child.ready, &byte, 1), 1);
  EXPECT_NE(loggers(), before_);
  auto none = host::find_leftovers(folder_);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_TRUE(none->empty()) << "it lives: its file is not left over";
  const std::string guard = Box::run("pgrep -P " + std::to_string(child.pid));
  kill(std::atoi(guard.c_str()), SIGKILL);
  kill_and_reap(child);
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(host::find_our_tables()->size(), 1U);
  auto left = host::find_leftovers(folder_);
  ASSERT_TRUE(left) << left.error().message;
  ASSERT_EQ(left->size(), 1U);
  EXPECT_EQ(left->front().changes.pid, child.pid);
  {  // repair finds the namespace by itself, as long as a process is in it
    const pid_t inhabitant = fork();
    if (inhabitant == 0) {
      pause();
      _exit(0);
    }
    const auto elsewhere = host::EnterNamespace::enter(box_->neighbour());
    auto repaired = host::repair(left->front(), folder_);
    EXPECT_TRUE(repaired) << repaired.error().message;
    kill(inhabitant, SIGKILL);
    waitpid(inhabitant, nullptr, 0);
  }
  EXPECT_EQ(wait_clean(), "");
}

// The kernel gives the inode of a namespace that is gone to the next one: what a dead run wrote down about the first
// is nobody's business in the second.
TEST_F(GuardianTest, RepairLeavesANamespaceAloneThatHasTheInodeOfAnotherOne) {
  const auto here = host::read_namespace_identity();
  ASSERT_NE(here.boot, "");
  ASSERT_EQ(host::set_logger(2, host::kNetlinkLogger), 0);  // the user's own choice
  const auto repaired_with = [&](const host::NamespaceIdentity& home) {
    host::Changes changes{.pid = 999'999, .home = home, .loggers = {{2, "NONE"}}};
    EXPECT_EQ(host::parse_changes(host::print_changes(changes)), changes);
    {
      EXPECT_TRUE(host::StateFile::create(changes, folder_));
    }
    const auto left = host::find_leftovers(folder_);
    EXPECT_TRUE(left && left->size() == 1);
    const auto done = host::repair(left->front(), folder_);
    EXPECT_TRUE(done) << done.error().message;
    return done.value_or(false);
  };
  auto other = here;
  ++other.cookie;
  EXPECT_FALSE(repaired_with(other)) << "the namespace before this one";
  other = here;
  other.boot.back() = other.boot.back() == '0' ? '1' : '0';
  EXPECT_FALSE(repaired_with(other)) << "before the machine was booted";
  other = here;
  other.cookie = 0;  // an old kernel: this process is as old as the run, none is older
  EXPECT_FALSE(repaired_with(other));
  EXPECT_EQ(host::find_logger(2), host::kNetlinkLogger);
  other.started += 1'000'000;
  EXPECT_TRUE(repaired_with(other)) << "this process was here before the run, so the namespace was";
  EXPECT_EQ(host::find_logger(2), "NONE");
  ASSERT_EQ(host::set_logger(2, host::kNetlinkLogger), 0);
  if (here.cookie != 0) {
    EXPECT_TRUE(repaired_with(here));
  }
  Box::run("rm -f '" + folder_ + "'/*");
}

TEST_F(GuardianTest, AnotherOnesSettingIsNotOverwritten) {
  auto guardian = host::Guardian::start(folder_);
  ASSERT_TRUE(guardian);
  ASSERT_TRUE(guardian->will_set_logger(2, *host::find_logger(2)));
  EXPECT_EQ(host::set_logger(2, host::kNetlinkLogger), 0);
  EXPECT_EQ(host::set_logger(2, "NONE"), 0);  // somebody else, meanwhile
  EXPECT_EQ(guardian->finish(), std::vector<std::string>());
  EXPECT_EQ(host::find_logger(2), "NONE");
}

// Whoever looks at any moment, or after a kill, finds a file that says all.
TEST_F(GuardianTest, AStateFileIsNeverEmpty) {
  std::atomic<bool> done{false};
  std::thread maker([&] {
    for (int i = 0; i < 5000; ++i) {
      auto file = host::StateFile::create({.pid = 77, .loggers = {{2, "NONE"}}}, folder_);
      EXPECT_TRUE(file) << file.error().message;
      if (file) file->remove();
    }
    done = true;
  });
  int seen = 0, empty = 0;
  const std::string path = folder_ + "/77.state";
  while (!done) {
    struct stat info{};
    if (stat(path.c_str(), &info) != 0) continue;
    ++seen;
    if (info.st_size == 0 && info.st_nlink > 0) ++empty;
  }
  maker.join();
  EXPECT_EQ(empty, 0) << "of " << seen;
}

TEST_F(GuardianTest, AForeignFolderIsNotUsed) {
  ASSERT_EQ(symlink(folder_.c_str(), (folder_ + "-link").c_str()), 0);
  EXPECT_FALSE(host::StateFile::create({.pid = 1}, folder_ + "-link"));
  unlink((folder_ + "-link").c_str());
  chmod(folder_.c_str(), 0777);
  EXPECT_FALSE(host::StateFile::create({.pid = 1}, folder_));
}

}  // namespace
}  // namespace fwtrace::live
