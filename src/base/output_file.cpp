#include "base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace fwtrace::base {
namespace {

ErrorKind kind_of(int error) {
  return error == EACCES || error == EPERM || error == EROFS ? ErrorKind::Permission : ErrorKind::Usage;
}

}  // namespace

OutputFile::OutputFile(std::string name, int fd, bool owns)
    : name_(std::move(name)), fd_(fd), owns_(owns), out_(std::make_unique<Output>(fd)) {}

OutputFile::~OutputFile() {
  if (out_ == nullptr) return;  // moved from
  out_->flush();
  if (owns_) ::close(fd_);
}

Result<OutputFile> OutputFile::open(const std::string& path, int standard_output, const std::string& what) {
  if (path == "-") {
    if (::isatty(standard_output) == 1)
      return fail(ErrorKind::Usage, "standard output is a terminal, and " + what + " is not text",
                  {"name a file, or send it on: … -w - | zstd > FILE"});
    return OutputFile("standard output", standard_output, false);
  }
  // Without O_TRUNC: what turns out to be no file of ours to write is left as it is.
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
  if (fd < 0) {
    const int error = errno;
    if (error == EISDIR)
      return fail(ErrorKind::Usage, "\"" + path + "\" is a directory", {"name a file in it for " + what});
    return fail(kind_of(error), "cannot write \"" + path + "\": " + std::strerror(error));
  }
  OutputFile file(path, fd, true);
  struct stat status{};
  if (::isatty(fd) == 1)
    return fail(ErrorKind::Usage, "\"" + path + "\" is a terminal, and " + what + " is not text",
                {"name a file"});
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && ::ftruncate(fd, 0) != 0)
    return fail(kind_of(errno), "cannot empty \"" + path + "\": " + std::strerror(errno));
  return file;
}

}  // namespace fwtrace::base
