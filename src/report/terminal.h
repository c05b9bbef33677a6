// The terminal itself: how wide it is.
#pragma once

namespace fwtrace::report {
int terminal_width(int fd);  // columns, 0 if it does not say
}  // namespace fwtrace::report
