#include "base/output.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace fwtrace::base {
namespace {

TEST(Output, CollectsWithoutADescriptor) {
  Output out = Output::to_string();
  out.append("one ");
  out.buffer() += "two";
  out.wrote();
  out.flush();
  EXPECT_EQ(out.text(), "one two");
}

TEST(Output, WritesWhenFlushed) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    Output first(ends[1]);
    first.append("hello");
    Output second(std::move(first));  // the text moves along and is written once
    second.append(" there");
  }
  close(ends[1]);
  char text[64];
  const ssize_t n = read(ends[0], text, sizeof text);
  EXPECT_EQ(std::string(text, static_cast<std::size_t>(std::max<ssize_t>(n, 0))), "hello there");
  close(ends[0]);
}

TEST(Output, AClosedPipeIsRemembered) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  Output out(ends[1]);
  out.append("lost");
  EXPECT_FALSE(out.closed());
  out.flush();
  EXPECT_TRUE(out.closed());
  EXPECT_EQ(out.write_error(), 0);
  close(ends[1]);
  std::signal(SIGPIPE, before);
}

TEST(Output, OtherErrorsAreKept) {
  Output out(1 << 20);  // no such descriptor
  out.append("lost");
  out.flush();
  EXPECT_FALSE(out.closed());
  EXPECT_EQ(out.write_error(), EBADF);
}

}  // namespace
}  // namespace fwtrace::base
