#include "host/run_tool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/text.h"
#include "host/fd.h"

namespace fwtrace::host {
namespace {

TEST(RunTool, BothOutputsAndTheStatus) {
  const auto done = run_tool({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, "out\n");
  EXPECT_EQ(done->err, "err\n");
  EXPECT_EQ(done->status, 3);
  EXPECT_FALSE(done->ok());
  EXPECT_EQ(done->problem, "ended with status 3: err");
  EXPECT_TRUE(run_tool({"true"})->ok());
  EXPECT_EQ(run_tool({"sh", "-c", "kill -9 $$"})->problem, "was killed by signal 9");
  EXPECT_EQ(run_tool({"sh", "-c", "kill -9 $$"})->status, 128 + 9);
}

TEST(RunTool, NoShellNoInputNoLocale) {
  EXPECT_EQ(run_tool({"echo", "$(id) > x; *"})->out, "$(id) > x; *\n");
  EXPECT_EQ(run_tool({"cat"})->out, "") << "there is nothing to read";
  setenv("LC_ALL", "de_DE.UTF-8", 1);
  setenv("XTABLES_LIBDIR", "/nowhere", 1);
  EXPECT_EQ(run_tool({"sh", "-c", "echo $LC_ALL-$XTABLES_LIBDIR-"})->out, "C--\n");
  unsetenv("LC_ALL");
  unsetenv("XTABLES_LIBDIR");
}

TEST(RunTool, TooLongAndTooMuch) {
  const auto late = run_tool({"sleep", "60"}, {.time = std::chrono::milliseconds(50)});
  ASSERT_TRUE(late);
  EXPECT_TRUE(late->timed_out);
  EXPECT_FALSE(late->ok());
  const auto silent =
      run_tool({"sh", "-c", "exec >&- 2>&-; exec sleep 60"}, {.time = std::chrono::milliseconds(50)});
  ASSERT_TRUE(silent);
  EXPECT_TRUE(silent->timed_out);
  const auto much = run_tool({"cat", "/dev/zero"}, {.max_bytes = 100'000});
  ASSERT_TRUE(much);
  EXPECT_TRUE(much->cut);
  EXPECT_FALSE(much->ok());
}

TEST(RunTool, InputAndDescriptors) {
  const std::string text(300'000, 'x');  // more than a pipe holds
  EXPECT_EQ(run_tool({"cat"}, {.input = text})->out, text);
  const Fd kept(eventfd(0, EFD_CLOEXEC)), leaked(eventfd(0, 0));
  const auto open_in_child = [&](const Fd& fd) {
    const std::string shown = "/proc/self/fd/" + std::to_string(fd.get());
    return run_tool({"test", "-e", shown}, {.inherited = kept.get()})->ok();
  };
  EXPECT_TRUE(open_in_child(kept));
  EXPECT_FALSE(open_in_child(leaked)) << "a child that holds our netlink socket holds our table";
}

TEST(RunTool, MuchOnStandardErrorIsReadAndForgotten) {
  const auto done = run_tool({"sh", "-c", "head -c 1000000 /dev/zero >&2; echo done"});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, "done\n");
  EXPECT_EQ(done->err.size(), 65536U);
  EXPECT_TRUE(done->ok()) << done->problem;
}

TEST(RunTool, StopsWhenTold) {
  const Fd stop(eventfd(1, EFD_CLOEXEC));
  const auto done = run_tool({"sleep", "1000"}, {.stop_fd = stop.get()});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->problem, "stopped");
  EXPECT_FALSE(done->timed_out);
}

// However we die: a process that runs a tool is killed, and the tool with it.
TEST(RunTool, NothingOutlivesItsParent) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);  // the orphan becomes our child
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    run_tool({"sh", "-c", "echo $$ >&" + std::to_string(ends[1]) + "; exec sleep 1000"},
             {.inherited = ends[1]});
    _exit(0);
  }
  close(ends[1]);
  char text[32] = {};
  ASSERT_GT(read(ends[0], text, sizeof text - 1), 0);
  const auto tool = base::parse_number<int>(base::trim(text));
  ASSERT_TRUE(tool) << text;
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  int status = 0;
  pid_t got = 0;
  for (int i = 0; i < 1000 && (got = waitpid(*tool, &status, WNOHANG)) == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(got, *tool);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  if (got != *tool) kill(*tool, SIGKILL);
  close(ends[0]);
  prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

TEST(RunTool, ProgramsThatAreNotThere) {
  EXPECT_FALSE(run_tool({}));
  EXPECT_FALSE(run_tool({"no-such-program-of-ours"}));
  EXPECT_FALSE(find_tool("/no/such/path"));
  EXPECT_EQ(find_tool("/bin/sh"), "/bin/sh");
  const char* const path = getenv("PATH");
  const std::string before = path ? path : "";
  setenv("PATH", ".:relative", 1);
  EXPECT_EQ(tool_folders().front(), "/usr/sbin") << "only folders that begin with '/'";
  EXPECT_FALSE(find_tool("share", {"/usr"})) << "a folder is no program";
  setenv("PATH", before.c_str(), 1);
}

}  // namespace
}  // namespace fwtrace::host
