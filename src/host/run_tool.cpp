#include "host/run_tool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/text.h"
#include "host/fd.h"
#include "host/proc.h"

namespace fwtrace::host {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxErrors = std::size_t{64} << 10;

bool is_privileged_file() { return getauxval(AT_SECURE) != 0; }

// Without root's number, what is executed has only capabilities that are "ambient".
void hand_on_capabilities() {
  if (geteuid() == 0) return;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return;
  for (const unsigned number : {CAP_NET_ADMIN, CAP_NET_RAW, CAP_DAC_READ_SEARCH})
    data[0].inheritable |= data[0].permitted & 1U << number;
  if (syscall(SYS_capset, &header, data.data()) != 0) return;
  for (const unsigned number : {CAP_NET_ADMIN, CAP_NET_RAW, CAP_DAC_READ_SEARCH}) {
    if ((data[0].inheritable >> number & 1) != 0) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0);
  }
}

struct Child {
  const char* path = nullptr;
  char* const* arguments = nullptr;
  char* const* environment = nullptr;
  int in = -1, out = -1, err = -1;
  int inherited = -1;
  pid_t parent = 0;
};

// Behind vfork: the memory is the parent's, so nothing but system calls.
[[noreturn]] void become(const Child& child) {
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);  // so that it can be killed with what it started, and Ctrl-C is ours alone
  // Nothing is left behind, however we die: its parent is this thread, which lives as long as the process wants it.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != child.parent) _exit(127);
  hand_on_capabilities();
  // Ours may be 0, 1 or 2 where we were started without them: out of each other's way first.
  const int in = fcntl(child.in, F_DUPFD, 3), out = fcntl(child.out, F_DUPFD, 3);
  const int err = fcntl(child.err, F_DUPFD, 3);
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(127);
  // A descriptor that somebody opened without O_CLOEXEC: a child that holds our netlink socket holds our table.
  unsigned from = 3;
  if (child.inherited >= 3) {
    const auto kept = static_cast<unsigned>(child.inherited);
    if (kept > from) syscall(SYS_close_range, from, kept - 1, 0U);
    fcntl(child.inherited, F_SETFD, 0);
    from = kept + 1;
  }
  syscall(SYS_close_range, from, ~0U, 0U);
  execve(child.path, child.arguments, child.environment);
  _exit(127);
}

// vfork, since a fork of a process with large buffers copies its page tables and makes its threads fault.
pid_t start(const Child& child) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours may run in the child
  // posix_spawn, which does the same, cannot set what become() sets.
  const pid_t pid = vfork();    // NOLINT(clang-analyzer-security.insecureAPI.vfork,bugprone-unsafe-functions)
  if (pid == 0) become(child);  // NOLINT(clang-analyzer-unix.Vfork)
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// What our caller exported (XTABLES_LIBDIR, LD_PRELOAD …) is none of the tool's business, but in a user namespace the
// lock file of iptables-legacy must be one that may be written.
std::vector<std::string> make_environment() {
  std::vector<std::string> out{"LC_ALL=C", fmt::format("PATH={}", fmt::join(tool_folders(), ":"))};
  const char* const lock = is_privileged_file() ? nullptr : std::getenv("XTABLES_LOCKFILE");
  if (lock != nullptr) out.push_back(fmt::format("XTABLES_LOCKFILE={}", lock));
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

struct Pipe {
  Fd read, write;
};
bool make_pipe(Pipe& pipe) {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return false;
  pipe.read = Fd(fds[0]);
  pipe.write = Fd(fds[1]);
  return fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

// What the child reads: /dev/null, or a file in memory that holds `text`.
Fd open_input(std::string_view text) {
  if (text.empty()) return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
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

// Reads what is there and keeps at most `most` of all. False at the end.
bool drain(Fd& fd, std::string& into, std::size_t most) {
  std::array<char, std::size_t{64} << 10> buffer;
  for (;;) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::size_t room = most - std::min(most, into.size());
    into.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
    if (static_cast<std::size_t>(got) > room) return true;
  }
}

std::string_view first_line(std::string_view text) {
  text = base::trim(text);
  return base::trim(text.substr(0, text.find('\n')));
}

int left_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

class Reaper {
 public:
  explicit Reaper(pid_t pid) : pid_(pid) {}
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;
  ~Reaper() {
    if (!reaped_) kill_and_wait();
  }
  bool try_wait(int& status) {
    const pid_t got = waitpid(pid_, &status, WNOHANG);
    reaped_ = got == pid_ || (got < 0 && errno == ECHILD);
    return reaped_;
  }
  void kill_and_wait() {
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
  }

 private:
  pid_t pid_;
  bool reaped_ = false;
};

bool is_program(const std::string& path) {
  struct stat info{};
  return access(path.c_str(), X_OK) == 0 && stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// Reads both outputs to their end, and then waits: a child may close them and live on. Says in `problem` why it did
// not come to its end, and leaves it running then.
std::optional<int> follow(Reaper& child, Fd& out, Fd& err, const ToolLimits& limits, ToolOutput& result) {
  const auto deadline = Clock::now() + limits.time;
  int status = 0;
  int nap = 0;
  while (out.open() || err.open() || !child.try_wait(status)) {
    const bool ended = !out.open() && !err.open();
    std::array<pollfd, 3> ready = {pollfd{out.get(), POLLIN, 0}, pollfd{err.get(), POLLIN, 0},
                                   pollfd{limits.stop_fd, POLLIN, 0}};
    const int left = left_until(deadline);
    if (left == 0) {
      result.timed_out = true;
      result.problem = fmt::format("took longer than {} ms and was stopped", limits.time.count());
      return std::nullopt;
    }
    if (ended) nap = std::min(nap + 1, 20);
    poll(ready.data(), ready.size(), ended ? std::min(left, nap) : left);
    if ((ready[2].revents & POLLIN) != 0) {
      result.problem = "stopped";
      return std::nullopt;
    }
    if (ready[0].revents != 0 && !drain(out, result.out, limits.max_bytes + 1)) out.close();
    if (ready[1].revents != 0 && !drain(err, result.err, kMaxErrors)) err.close();
    if (result.out.size() > limits.max_bytes) {
      result.out.resize(limits.max_bytes);
      result.cut = true;
      result.problem = fmt::format("printed more than {} MiB and was stopped", limits.max_bytes >> 20U);
      return std::nullopt;
    }
  }
  return status;
}

}  // namespace

std::vector<std::string> tool_folders() {
  std::vector<std::string> folders;
  const char* const path = is_privileged_file() ? nullptr : std::getenv("PATH");
  for (const std::string_view folder : base::split(path == nullptr ? "" : path, ':')) {
    if (folder.starts_with('/')) folders.emplace_back(folder);
  }
  for (const char* const folder : {"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"}) {
    if (std::ranges::find(folders, folder) == folders.end()) folders.emplace_back(folder);
  }
  return folders;
}

std::optional<std::string> find_tool(std::string_view name, const std::vector<std::string>& folders) {
  if (name.find('/') != std::string_view::npos) {
    return is_program(std::string(name)) ? std::optional(std::string(name)) : std::nullopt;
  }
  for (const std::string& folder : folders) {
    std::string path = fmt::format("{}/{}", folder, name);
    if (is_program(path)) return path;
  }
  return std::nullopt;
}

std::optional<ToolOutput> run_tool(const std::vector<std::string>& arguments, const ToolLimits& limits) {
  const auto path = arguments.empty() ? std::nullopt : find_tool(arguments.front());
  if (!path) return std::nullopt;
  std::vector<std::string> words = arguments;
  words.front() = path->substr(path->rfind('/') + 1);
  std::vector<std::string> environment = make_environment();
  const std::vector<char*> argv = pointers(words), envp = pointers(environment);
  const Fd in = open_input(limits.input);
  Pipe out, err;
  if (!in.open() || !make_pipe(out) || !make_pipe(err)) return std::nullopt;
  const pid_t pid = start({.path = path->c_str(),
                           .arguments = argv.data(),
                           .environment = envp.data(),
                           .in = in.get(),
                           .out = out.write.get(),
                           .err = err.write.get(),
                           .inherited = limits.inherited,
                           .parent = getpid()});
  if (pid < 0) return std::nullopt;
  Reaper child(pid);
  out.write.close();
  err.write.close();
  ToolOutput result;
  const auto ended = follow(child, out.read, err.read, limits, result);
  if (!ended) {
    result.status = 128 + SIGKILL;
    return result;
  }
  const int status = *ended;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (WIFSIGNALED(status)) {
    result.problem = fmt::format("was killed by signal {}", WTERMSIG(status));
  } else if (result.status != 0) {
    result.problem = fmt::format("ended with status {}", result.status);
    if (const auto line = first_line(result.err); !line.empty())
      result.problem += fmt::format(": {}", base::to_printable(line));
  }
  return result;
}

}  // namespace fwtrace::host
