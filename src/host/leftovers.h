// What a run of fwtrace changes outside of its own socket, written down so that it can be put back whatever happens:
// by the guardian when the run ends, by the next start or `doctor --repair` if the guardian was killed too.
//
// One file /run/fwtrace/<pid>.state for each run, in a folder that only root may write. The run and its guardian hold
// a lock (flock) on it; a file that nobody holds is left over. A process number alone would not tell: it is reused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/fd.h"
#include "host/namespace.h"
#include "packet/netfilter.h"

namespace fwtrace::host {

struct LoggerChange {
  int family = 0;
  std::string before;                    // what nf_log.<family> was
  std::string set_to = "nfnetlink_log";  // and what we made it
  bool operator==(const LoggerChange&) const = default;
};

struct Changes {
  int pid = 0;
  NamespaceIdentity home = {};  // where all this was changed
  std::vector<LoggerChange> loggers = {};
  std::string table = {};                     // "" if the kernel removes it (owner flag)
  std::vector<packet::Family> families = {};  // of the table
  // Full paths of the programs by which rules of ours were inserted ("/usr/sbin/iptables-legacy-restore"): what is
  // found to be of process `pid` in the raw table is taken out by them.
  std::vector<std::string> inserted_by = {};
  bool operator==(const Changes&) const = default;
};

std::string print_changes(const Changes& changes);
// Nothing for text that is not ours.
std::optional<Changes> parse_changes(std::string_view text);

// Puts back what can be put back, in the calling thread's namespace. A logger that is no longer what we set it to was
// changed by somebody else and stays. Returns what failed, one line each.
std::vector<std::string> undo(const Changes& changes);

inline constexpr const char* kStateFolder = "/run/fwtrace";

// The file of a running fwtrace, locked. Closing the last descriptor of it unlocks.
class StateFile {
 public:
  // Makes the folder if need be (0700; refused if it is a link, or not ours, or writable by others) and the file
  // (O_EXCL, O_NOFOLLOW).
  static base::Result<StateFile> create(const Changes& changes, const std::string& folder = kStateFolder);
  base::Result<void> rewrite(const Changes& changes);
  void remove();  // what it says has been undone
  int fd() const { return file_.get(); }
  int folder_fd() const { return folder_.get(); }

 private:
  Fd folder_, file_;
  std::string name_;
};

// Removes the state file of process `pid` if it is the one that `file` is open on.
void remove_state_file(const Fd& file, int pid, const std::string& folder = kStateFolder);

struct Leftover {
  std::string file;  // name in the folder
  Changes changes;
};
// Files of runs that have ended without their guardian. Files of live runs are not among them.
base::Result<std::vector<Leftover>> find_leftovers(const std::string& folder = kStateFolder);
// Undoes one, in its namespace if that still exists, and removes its file. False: the namespace is gone, and all that
// was changed in it.
base::Result<bool> repair(const Leftover& leftover, const std::string& folder = kStateFolder);

}  // namespace fwtrace::host
