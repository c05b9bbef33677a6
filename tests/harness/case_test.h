// Registers the cases of tests/cases; see case_test.cpp.
#pragma once

namespace fwtrace::harness {

void register_cases();  // once, before RUN_ALL_TESTS()

}  // namespace fwtrace::harness
