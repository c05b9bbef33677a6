#include "base/output.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace fwtrace::base {

Output::Output(Output&& other) noexcept
    : fd_(other.fd_),
      buffer_(std::move(other.buffer_)),
      closed_(other.closed_),
      write_error_(other.write_error_) {
  other.fd_ = -1;
  other.buffer_.clear();
}

void Output::flush() {
  if (fd_ < 0) return;
  std::string_view left = buffer_;
  while (!left.empty() && !closed_ && write_error_ == 0) {
    const ssize_t n = ::write(fd_, left.data(), left.size());
    if (n >= 0) {
      left.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EPIPE) {
      closed_ = true;
    } else if (errno != EINTR) {
      write_error_ = errno;
    }
  }
  buffer_.clear();
}

}  // namespace fwtrace::base
