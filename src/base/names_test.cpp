#include "base/names.h"

#include <gtest/gtest.h>

namespace fwtrace::base {
namespace {

TEST(Names, EachOnce) {
  Names names;
  const Name eth0 = names.intern("eth0");
  EXPECT_EQ(names.intern(std::string("eth") + "0").address(), eth0.address());
  EXPECT_NE(names.intern("eth1"), eth0);
  EXPECT_EQ(eth0.text(), "eth0");
  EXPECT_TRUE(names.intern("").empty());
  EXPECT_EQ(Name().text(), "");
}

TEST(Names, PoolsCompareByText) {
  Names a, b;
  EXPECT_EQ(a.intern("filter"), b.intern("filter"));
  EXPECT_NE(a.intern("filter"), b.intern("nat"));
}

TEST(Names, LongNamesAreCut) {
  Names names;
  const std::string longest(Names::kMaxLength, 'x');
  EXPECT_EQ(names.intern(longest + "y").text(), longest);
  EXPECT_EQ(names.intern(longest + "y"), names.intern(longest + "z"));
}

TEST(Names, HostileInputDoesNotTakeOurMemory) {
  Names names;
  const Name first = names.intern("n0");
  for (std::size_t i = 1; i < Names::kMaxNames; ++i) names.intern("n" + std::to_string(i));
  EXPECT_EQ(names.refused(), 0U);
  const Name over = names.intern("one more");
  EXPECT_EQ(over.text(), "(too many names)");
  EXPECT_EQ(names.intern("and another"), over);
  EXPECT_EQ(names.refused(), 2U);
  EXPECT_EQ(names.intern("n0").address(), first.address());  // growing moved nothing
}

}  // namespace
}  // namespace fwtrace::base
