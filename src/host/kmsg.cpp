#include "host/kmsg.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "host/proc.h"

namespace fwtrace::host {
namespace {

constexpr std::size_t kMaxRecord = 8192;  // kernel: CONSOLE_EXT_LOG_MAX; a shorter buffer gets EINVAL
constexpr std::size_t kMaxPassedOver = 10'000'000;  // records; a writer that never pauses must not hold us
constexpr std::size_t kMaxDrain = 20'000;

}  // namespace

base::Result<KernelLog> KernelLog::open(const std::string& path) {
  KernelLog log;
  log.fd_ = Fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!log.fd_.open()) {
    const int error = errno;
    const bool right = error == EPERM || error == EACCES;
    return base::fail(
        base::ErrorKind::Permission, fmt::format("'{}' cannot be read: {}", path, print_errno(error)),
        right ? std::vector<std::string>{"it needs CAP_SYSLOG where kernel.dmesg_restrict is set"}
              : std::vector<std::string>{});
  }
  log.buffer_.resize(kMaxRecord);
  // To seek to the end would hide the number of the last record, and with it a loss before our first one.
  std::string last;
  for (std::size_t i = 0; i < kMaxPassedOver && log.next(); ++i) {
    const std::size_t prefix = log.record_.find(';');
    if (prefix != std::string_view::npos) last = log.record_.substr(0, prefix);
  }
  if (!last.empty()) log.opening_ = last + ";fwtrace: tracing begins here\n";
  log.overruns_ = 0;
  return log;
}

bool KernelLog::next() {
  while (true) {
    const ssize_t got = read(fd_.get(), buffer_.data(), buffer_.size());
    if (got > 0) {
      record_ = {buffer_.data(), static_cast<std::size_t>(got)};
      return true;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EPIPE) {  // overtaken: the next read begins with the oldest record there is
      ++overruns_;
      continue;
    }
    return false;
  }
}

std::size_t KernelLog::drain(const std::function<void(std::string_view)>& text) {
  std::size_t taken = 0;
  for (; taken < kMaxDrain && next(); ++taken) {
    if (!opening_.empty()) text(std::exchange(opening_, {}));
    text(record_);
  }
  return taken;
}

}  // namespace fwtrace::host
