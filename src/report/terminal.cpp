#include "report/terminal.h"

#include <sys/ioctl.h>

namespace fwtrace::report {

int terminal_width(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace fwtrace::report
