#include "host/run_tool.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/text.h"
#include "host/fd.h"

namespace fwtrace::host {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Fd read, write;
};
std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{.read = Fd(ends[0]), .write = Fd(ends[1])};
}

// A file in memory that holds `text`, to be read from its beginning.
Fd file_of(std::string_view text) {
  Fd file(memfd_create("input", MFD_CLOEXEC));
  while (file.open() && !text.empty()) {
    const ssize_t put = write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return {};
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  if (file.open() && lseek(file.get(), 0, SEEK_SET) != 0) return {};
  return file;
}

pid_t spawn(const std::string& path, const std::vector<std::string>& arguments, int in, int out, int err,
            int inherited) {
  std::vector<std::string> words = arguments;
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  // What our caller exported (XTABLES_LIBDIR, LD_PRELOAD …) is none of the tool's business, but for a user namespace
  // the lock file of iptables-legacy must be one that may be written.
  std::vector<std::string> settings{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  if (const char* lock = std::getenv("XTABLES_LOCKFILE"))
    settings.push_back("XTABLES_LOCKFILE=" + std::string(lock));
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (in >= 0) {
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  // Onto itself: that alone takes close-on-exec off.
  if (inherited >= 0) posix_spawn_file_actions_adddup2(&actions, inherited, inherited);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Signals that we block (StopSignals) or ignore (SIGPIPE) are ours alone.
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = 0;
  const int error =
      posix_spawn(&child, path.c_str(), &actions, &attributes, pointers.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? child : -1;
}

int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// Takes what there is; false: the other end has closed.
bool take(int fd, std::string& text) {
  std::array<char, 65536> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got < 0 && errno == EINTR) return true;
  if (got <= 0) return false;
  text.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

}  // namespace

std::optional<std::string> find_tool(std::string_view name) {
  if (name.find('/') != std::string_view::npos) {
    if (access(std::string(name).c_str(), X_OK) == 0) return std::string(name);
    return std::nullopt;
  }
  const char* path = std::getenv("PATH");
  const std::string folders = std::string(path ? path : "") + ":/usr/sbin:/sbin:/usr/local/sbin";
  for (const std::string_view folder : base::split(folders, ':')) {
    if (!folder.starts_with('/')) continue;  // never a program of the folder we happen to be in
    std::string full = std::string(folder) + "/" + std::string(name);
    if (access(full.c_str(), X_OK) == 0) return full;
  }
  return std::nullopt;
}

std::optional<ToolOutput> run_tool(const std::vector<std::string>& arguments, const ToolLimits& limits) {
  const auto path = arguments.empty() ? std::nullopt : find_tool(arguments.front());
  auto out = make_pipe(), err = make_pipe();
  if (!path || !out || !err) return std::nullopt;
  const Fd in = limits.input.empty() ? Fd() : file_of(limits.input);
  if (!limits.input.empty() && !in.open()) return std::nullopt;
  const pid_t child = spawn(*path, arguments, in.get(), out->write.get(), err->write.get(), limits.inherited);
  if (child < 0) return std::nullopt;
  out->write.close();
  err->write.close();
  ToolOutput result;
  const auto deadline = Clock::now() + limits.time;
  std::array<pollfd, 2> ends{pollfd{.fd = out->read.get(), .events = POLLIN, .revents = 0},
                             pollfd{.fd = err->read.get(), .events = POLLIN, .revents = 0}};
  while ((ends[0].fd >= 0 || ends[1].fd >= 0) && !result.timed_out && !result.cut) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      result.timed_out = true;
      break;
    }
    if (poll(ends.data(), ends.size(), static_cast<int>(left)) <= 0) continue;
    if (ends[0].revents != 0 && !take(ends[0].fd, result.out)) ends[0].fd = -1;
    if (ends[1].revents != 0 && !take(ends[1].fd, result.err)) ends[1].fd = -1;
    result.cut = result.out.size() > limits.max_bytes || result.err.size() > limits.max_bytes;
  }
  // It may have closed its outputs and live on: the same bound holds.
  int status = 0;
  pid_t ended = 0;
  while (!result.timed_out && !result.cut && (ended = waitpid(child, &status, WNOHANG)) == 0) {
    if (Clock::now() >= deadline) result.timed_out = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (ended != child) {
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  result.status = exit_status(status);
  return result;
}

}  // namespace fwtrace::host
