// This machine's own kernel log: where it is, and how to read it. Asked for by `fwtrace explain` without a file.
//
// In this order, the first that holds kernel messages and may be read:
//   the journal                      journalctl of this boot: exact times, and what journald missed
//   rsyslog's file                   the one to which its configuration sends kern.warning, with the rotated ones
//   /var/log/kern.log, messages …    what syslog-ng, busybox and others use
//   /dev/kmsg                        the kernel's own buffer, which holds the last some thousand lines only
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/fd.h"

namespace fwtrace::host {

struct OwnLog {
  enum class Kind : std::uint8_t { Journal, Files, Kmsg };
  Kind kind = Kind::Files;
  std::string words;                   // for people: "the journal (journalctl -k -b)", "/var/log/kern.log"
  std::string name;                    // what to call it in messages: "the journal"
  std::vector<std::string> files;      // Files: oldest first
  std::string path;                    // else: of journalctl, of kmsg
  std::vector<std::string> arguments;  // of journalctl
  std::vector<std::string>
      passed_over;  // better places that may not be read: "/var/log/kern.log: Permission denied"
};

// `root`: before all paths; "" is this machine. Fails, with what was tried, if there is none.
base::Result<OwnLog> find_own_log(const std::string& root = "");

// Journal and kmsg as something to read(2): the pipe of a child, or the buffer as it was at open().
class OwnLogStream {
 public:
  static base::Result<OwnLogStream> open(const OwnLog& log);
  OwnLogStream(OwnLogStream&& other) noexcept;
  OwnLogStream& operator=(OwnLogStream&& other) noexcept;
  ~OwnLogStream();

  int fd() const { return fd_.get(); }
  // Ends the child. `read_to_end`: it has said all; then what went wrong with it, if anything did.
  std::optional<std::string> close(bool read_to_end);

 private:
  OwnLogStream() = default;
  Fd fd_;
  pid_t child_ = -1;
};

}  // namespace fwtrace::host
