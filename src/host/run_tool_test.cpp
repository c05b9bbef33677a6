#include "host/run_tool.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace fwtrace::host {
namespace {

TEST(RunTool, BothOutputsAndTheStatus) {
  const auto done = run_tool({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, "out\n");
  EXPECT_EQ(done->err, "err\n");
  EXPECT_EQ(done->status, 3);
  EXPECT_FALSE(done->ok());
  EXPECT_TRUE(run_tool({"true"})->ok());
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

TEST(RunTool, ProgramsThatAreNotThere) {
  EXPECT_FALSE(run_tool({}));
  EXPECT_FALSE(run_tool({"no-such-program-of-ours"}));
  EXPECT_FALSE(find_tool("/no/such/path"));
  EXPECT_EQ(find_tool("/bin/sh"), "/bin/sh");
  setenv("PATH_BEFORE", getenv("PATH"), 1);
  setenv("PATH", ".:relative", 1);
  EXPECT_FALSE(find_tool("sh")) << "only folders that begin with '/'";
  setenv("PATH", getenv("PATH_BEFORE"), 1);
}

}  // namespace
}  // namespace fwtrace::host
