#include "host/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "base/text.h"
#include "host/fd.h"

namespace fwtrace::host {
namespace {

constexpr std::size_t kMaxProcFile = std::size_t{64} << 20;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

}  // namespace

std::optional<std::string> read_proc(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.open()) return std::nullopt;
  std::string text;
  std::array<char, 16384> buffer{};
  while (text.size() < kMaxProcFile) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

int write_proc(const std::string& path, std::string_view value) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.open()) return errno;
  return write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size()) ? 0 : errno;
}

std::vector<int> list_processes(const std::string& proc) {
  std::vector<int> pids;
  const Directory directory(opendir(proc.c_str()));
  if (!directory) return pids;
  while (const dirent* entry = readdir(directory.get())) {
    if (const auto pid = base::parse_number<int>(entry->d_name)) pids.push_back(*pid);
  }
  std::ranges::sort(pids);
  return pids;
}

// kernel: proc_pid_stat, "pid (name) state ppid …"; the name may hold blanks and parentheses.
std::optional<ProcessInfo> find_process(int pid, const std::string& proc) {
  const auto stat = read_proc(proc + "/" + std::to_string(pid) + "/stat");
  if (!stat) return std::nullopt;
  const std::size_t open = stat->find('('), close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  const auto words = base::split_words(std::string_view(*stat).substr(close + 1));
  // proc_pid_stat(5): field 3, state, is the first of these; 22 is starttime.
  if (words.size() < 2) return std::nullopt;
  const auto parent = base::parse_number<int>(words[1]);
  if (!parent) return std::nullopt;
  return ProcessInfo{
      .name = stat->substr(open + 1, close - open - 1),
      .parent = *parent,
      .started = words.size() < 20 ? 0 : base::parse_number<std::uint64_t>(words[19]).value_or(0)};
}

std::vector<std::string> list_fd_targets(int pid, std::string_view prefix, const std::string& proc) {
  std::vector<std::string> targets;
  const std::string folder = proc + "/" + std::to_string(pid) + "/fd";
  const Directory directory(opendir(folder.c_str()));
  if (!directory) return targets;
  while (const dirent* entry = readdir(directory.get())) {
    std::array<char, 256> target{};
    const ssize_t length = readlink((folder + "/" + entry->d_name).c_str(), target.data(), target.size());
    if (length <= 0) continue;
    const std::string_view text(target.data(), static_cast<std::size_t>(length));
    if (text.starts_with(prefix)) targets.emplace_back(text);
  }
  return targets;
}

std::string print_errno(int error) { return std::generic_category().message(error); }

}  // namespace fwtrace::host
