#include "trace/markers.h"

#include <gtest/gtest.h>

namespace fwtrace::trace {
namespace {

TEST(Markers, OurTablesAreKnownByTheirNames) {
  EXPECT_TRUE(is_our_table("fwtrace-12"));
  for (const char* other : {"fwtrace-", "fwtrace", "fwtrace-demo", "filter", "fwtrace-1a"})
    EXPECT_FALSE(is_our_table(other)) << other;
}

TEST(Markers, ChainsSayWhereAPacketIs) {
  const auto left = find_marker("fwtrace-7", "left");
  ASSERT_TRUE(left);
  EXPECT_EQ(left->marker, Marker::Left);
  EXPECT_EQ(left->hook, packet::Hook::Postrouting);
  EXPECT_FALSE(find_marker("fwtrace-7", "input"));
  EXPECT_FALSE(find_marker("filter", "left"));
}

}  // namespace
}  // namespace fwtrace::trace
