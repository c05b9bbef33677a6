#include <gtest/gtest.h>

#include "harness/case_test.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  fwtrace::harness::register_cases();
  return RUN_ALL_TESTS();
}
