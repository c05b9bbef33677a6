// Guardian: a small process that outlives us by a moment and puts back what the kernel does not clean up itself: the
// nf_log settings, and our table where it is not owned.
//
// It is forked before anything is changed, in its own session, with nothing open but one end of a pipe and the state
// file; it ignores what a terminal sends. When the pipe closes (we ended, or were killed) it undoes the changes that
// were announced to it, removes the state file, and exits. Ending well goes the same way, so this path is always the
// tested one.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "host/fd.h"
#include "host/leftovers.h"

namespace fwtrace::host {

class Guardian {
 public:
  // Forks. The caller's thread must be in the namespace that the changes are made in.
  // No state file is kept if its folder cannot be used: `warning()` says why.
  static base::Result<Guardian> start(const std::string& state_folder = kStateFolder);
  Guardian(Guardian&&) noexcept;
  Guardian& operator=(Guardian&&) = delete;
  ~Guardian();  // finish()

  // Announces a change. Returns after the guardian has taken note of it (and has written it down); so announce first,
  // then change.
  base::Result<void> will_set_logger(int family, const std::string& before,
                                     const std::string& after = "nfnetlink_log");
  base::Result<void> will_add_table(const std::string& table, const std::vector<packet::Family>& families);
  // `program` is a full path, see Changes::inserted_by.
  base::Result<void> will_insert_rules(const std::string& program);
  // A child that holds this descriptor open (it is close-on-exec) is waited for before anything is undone.
  int pipe() const { return pipe_.get(); }

  // All is undone when it returns; what could not be, one line each.
  std::vector<std::string> finish();
  int pid() const { return pid_; }
  const std::string& warning() const { return warning_; }

 private:
  Guardian() = default;
  base::Result<void> announce();
  int pid_ = 0;
  Fd pipe_;
  Fd state_lock_;  // while we live the state file is not left over, even if the guardian is killed
  std::string state_folder_;
  Changes changes_;
  std::string warning_;
};

}  // namespace fwtrace::host
