#include "host/tool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
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
  if (dup2(child.in, 0) < 0 || dup2(child.out, 1) < 0 || dup2(child.err, 2) < 0) _exit(127);
  // A descriptor that somebody opened without O_CLOEXEC: a child that holds our netlink socket holds our table.
  syscall(SYS_close_range, 3U, ~0U, 0U);
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

std::vector<std::string> make_environment() {
  std::vector<std::string> out = {"LC_ALL=C"};
  if (is_privileged_file()) {
    out.emplace_back("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    return out;
  }
  for (char* const* entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("LC_") && !text.starts_with("LANG")) out.emplace_back(text);
  }
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

// Reads what is there. False at the end.
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
  for (const std::string& folder : folders) {
    std::string path = fmt::format("{}/{}", folder, name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return std::nullopt;
}

ToolRun run_listing(const std::string& path, const std::vector<std::string>& arguments,
                    const ListingLimits& limits) {
  ToolRun run;
  const auto deadline = Clock::now() + limits.time;
  std::vector<std::string> words = {path.substr(path.rfind('/') + 1)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> environment = make_environment();
  const std::vector<char*> argv = pointers(words), envp = pointers(environment);
  const Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Pipe out;
  Pipe err;
  if (!nothing.open() || !make_pipe(out) || !make_pipe(err)) {
    run.problem = print_errno(errno);
    return run;
  }
  const pid_t pid = start({.path = path.c_str(),
                           .arguments = argv.data(),
                           .environment = envp.data(),
                           .in = nothing.get(),
                           .out = out.write.get(),
                           .err = err.write.get(),
                           .parent = getpid()});
  if (pid < 0) {
    run.problem = fmt::format("cannot be started: {}", print_errno(errno));
    return run;
  }
  Reaper reaper(pid);
  out.write.close();
  err.write.close();
  std::string errors;
  static constexpr std::size_t kMaxErrors = 4096;
  // It is waited for once its output has ended; then it is at its end, unless it closed it by itself.
  int status = 0;
  int nap = 0;
  while (out.read.open() || err.read.open() || !reaper.try_wait(status)) {
    const bool ended = !out.read.open() && !err.read.open();
    std::array<pollfd, 3> ready = {pollfd{out.read.get(), POLLIN, 0}, pollfd{err.read.get(), POLLIN, 0},
                                   pollfd{limits.stop_fd, POLLIN, 0}};
    const int left = left_until(deadline);
    if (left == 0) {
      run.problem = fmt::format("took longer than {} ms and was stopped", limits.time.count());
      return run;
    }
    if (ended) nap = std::min(nap + 1, 20);
    poll(ready.data(), ready.size(), ended ? std::min(left, nap) : left);
    if ((ready[2].revents & POLLIN) != 0) {
      run.problem = "stopped";
      return run;
    }
    if (ready[0].revents != 0 && !drain(out.read, run.output, limits.output + 1)) out.read.close();
    if (ready[1].revents != 0 && !drain(err.read, errors, kMaxErrors)) err.read.close();
    if (run.output.size() > limits.output) {
      run.output.resize(limits.output);
      run.problem = fmt::format("printed more than {} MiB and was stopped", limits.output >> 20U);
      return run;
    }
  }
  if (WIFSIGNALED(status)) run.problem = fmt::format("was killed by signal {}", WTERMSIG(status));
  else if (const int code = WEXITSTATUS(status); code != 0) {
    run.problem = fmt::format("ended with status {}", code);
    if (!first_line(errors).empty())
      run.problem += fmt::format(": {}", base::to_printable(first_line(errors)));
  }
  return run;
}

}  // namespace fwtrace::host
