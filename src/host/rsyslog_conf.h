// Where rsyslog puts the kernel's trace lines, found by playing its configuration on such a line.
//
// Read are: selectors (kern.*, *.warn;mail.none), property filters (:msg, contains, "TRACE"), "&" lines, if … then …
// else with comparisons of the usual properties, action(type="omfile" file="…"), stop, $IncludeConfig and include().
// Of an expression that holds something else nothing is claimed: the files behind it are "perhaps".
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace fwtrace::host {

struct KernelLogFile {
  std::string path;
  bool certain = true;    // else: behind a condition that we do not understand
  bool specific = false;  // behind a condition that is about the kernel or such lines, not about all messages
  bool operator==(const KernelLogFile&) const = default;
};

struct RsyslogFiles {
  std::function<std::optional<std::string>(const std::string& path)> read;
  std::function<std::vector<std::string>(const std::string& pattern)> expand;  // as a shell does
};

// All files that get the line, in the order of the configuration.
std::vector<KernelLogFile> find_kernel_files(const std::string& path, const RsyslogFiles& files);

}  // namespace fwtrace::host
