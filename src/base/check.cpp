#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace fwtrace::base {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr,
               "fwtrace: error: this is a bug in fwtrace: %s:%d: CHECK(%s)\n"
               "fwtrace: hint: please report it with the command line and, if you may, the input\n",
               file, line, condition);
  std::abort();
}

}  // namespace fwtrace::base
