#include "host/own_log.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>

#include "base/input.h"
#include "base/text.h"
#include "host/proc.h"
#include "host/rsyslog_conf.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;

namespace {

struct Child {
  pid_t pid = -1;
  Fd out;
};

// `program` with its standard output in our pipe. Its words go nowhere unless `both`.
std::optional<Child> spawn(const std::string& program, const std::vector<std::string>& arguments, bool both) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  Child child;
  child.out = Fd(ends[0]);
  const Fd write_end(ends[1]);
  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> args;
  for (std::string& word : words) args.push_back(word.data());
  args.push_back(nullptr);
  std::array<std::string, 2> settings{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  std::array<char*, 3> environment{settings[0].data(), settings[1].data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
  if (both) posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
  else posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  // We ignore SIGPIPE; the child must die of it when we have read enough.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t pipe, none;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &pipe);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const int error =
      posix_spawn(&child.pid, program.c_str(), &actions, &attributes, args.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return std::nullopt;
  return child;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// All that a child says within ten seconds, at most 64 KiB, and whether it ended well.
struct Said {
  std::string text;
  bool well = false;
};
Said run(const std::string& program, const std::vector<std::string>& arguments) {
  Said said;
  auto child = spawn(program, arguments, true);
  if (!child) return said;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::array<char, 4096> buffer{};
  while (said.text.size() < 65'536) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait{child->out.get(), POLLIN, 0};
    const int ready = left.count() > 0 ? poll(&wait, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      kill(child->pid, SIGKILL);
      break;
    }
    const ssize_t got = read(child->out.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  child->out.close();
  said.well = wait_for(child->pid) == 0;
  return said;
}

// 0, or why it cannot be read.
int try_to_open(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return fd.open() ? 0 : errno;
}
bool is_refusal(int error) { return error == EACCES || error == EPERM; }

struct Search {
  std::string root;
  std::vector<std::string> refused;  // may not be read
  std::vector<std::string> absent;   // is not there, or holds nothing
};

// journald's note of what it missed (systemd: SD_MESSAGE_JOURNAL_MISSED) is not the kernel's own message.
constexpr const char* kMissed = "MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606";

std::optional<OwnLog> find_journal(Search& search) {
  OwnLog log;
  log.kind = OwnLog::Kind::Journal;
  for (const char* path : {"/usr/bin/journalctl", "/bin/journalctl"}) {
    if (log.path.empty() && access((search.root + path).c_str(), X_OK) == 0) log.path = search.root + path;
  }
  if (log.path.empty()) {
    search.absent.emplace_back("the journal: no journalctl");
    return std::nullopt;
  }
  const std::vector<std::string> what{"--quiet", "--no-pager", "-b", "-o", "json"};
  // What we read of an entry; versions before 236 give all there is.
  const std::string fields =
      "--output-fields=MESSAGE,_HOSTNAME,_SOURCE_REALTIME_TIMESTAMP,_SOURCE_MONOTONIC_TIMESTAMP";
  Said said;
  for (const bool brief : {true, false}) {
    log.arguments = what;
    if (brief) log.arguments.push_back(fields);
    std::vector<std::string> probe = log.arguments;
    probe.insert(probe.end(), {"-n", "1", "_TRANSPORT=kernel"});
    said = run(log.path, probe);
    if (said.well) break;
  }
  if (said.well && said.text.find("\"MESSAGE\"") != std::string::npos) {
    log.arguments.insert(log.arguments.end(), {"_TRANSPORT=kernel", "+", kMissed});
    log.words = "the journal (journalctl -k -b)";
    log.name = "the journal";
    return log;
  }
  const std::string first(base::trim(std::string_view(said.text).substr(0, said.text.find('\n'))));
  const bool refused = said.text.find("ermission") != std::string::npos ||
                       said.text.find("not seeing messages") != std::string::npos;
  if (refused) search.refused.emplace_back("the journal: Permission denied");
  else
    search.absent.push_back("the journal: " +
                            (said.well || first.empty() ? "no kernel messages of this boot" : first));
  return std::nullopt;
}

std::vector<std::string> expand(const std::string& root, const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> out;
  if (glob((root + pattern).c_str(), 0, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc; ++i) out.emplace_back(found.gl_pathv[i] + root.size());
  }
  globfree(&found);
  return out;
}

// kern.log.1, kern.log.2.gz, kern.log-20260101.xz … and the file itself, oldest first. What may not be read is left out.
std::vector<std::string> with_rotated(const std::string& path) {
  std::vector<std::string> all{path};
  for (const char* pattern : {".[0-9]*", "-[0-9]*"}) {
    glob_t found{};
    if (glob((path + pattern).c_str(), 0, nullptr, &found) == 0) {
      for (std::size_t i = 0; i < found.gl_pathc; ++i) {
        if (try_to_open(found.gl_pathv[i]) == 0) all.emplace_back(found.gl_pathv[i]);
      }
    }
    globfree(&found);
  }
  return base::in_rotation_order(all);
}

std::optional<OwnLog> take_file(Search& search, const std::string& path, const std::string& whose) {
  const std::string whole = search.root + path;
  if (const int error = try_to_open(whole); error != 0) {
    (is_refusal(error) ? search.refused : search.absent).push_back(path + whose + ": " + print_errno(error));
    return std::nullopt;
  }
  struct stat status{};
  if (stat(whole.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    search.absent.push_back(path + whose + ": not a file");
    return std::nullopt;
  }
  OwnLog log;
  log.kind = OwnLog::Kind::Files;
  log.files = with_rotated(whole);
  log.words = log.name = path;
  if (log.files.size() > 1)
    log.words += " and " + std::to_string(log.files.size() - 1) +
                 (log.files.size() == 2 ? " older one" : " older ones");
  return log;
}

std::optional<OwnLog> find_rsyslog_file(Search& search) {
  const std::string configuration = "/etc/rsyslog.conf";
  if (access((search.root + configuration).c_str(), F_OK) != 0) return std::nullopt;
  RsyslogFiles files;
  files.read = [&](const std::string& path) { return read_proc(search.root + path); };
  files.expand = [&](const std::string& pattern) { return expand(search.root, pattern); };
  std::vector<KernelLogFile> found = find_kernel_files(configuration, files);
  // A file for such lines before one for everything.
  std::ranges::stable_sort(found, [](const KernelLogFile& a, const KernelLogFile& b) {
    return std::pair(!a.certain, !a.specific) < std::pair(!b.certain, !b.specific);
  });
  for (const KernelLogFile& one : found) {
    if (auto log = take_file(search, one.path, " (of rsyslog)")) {
      log->words += one.certain ? " (where rsyslog puts kern.*)" : " (where rsyslog perhaps puts kern.*)";
      return log;
    }
  }
  if (found.empty())
    search.absent.push_back("rsyslog: " + configuration + " sends kernel messages to no file");
  return std::nullopt;
}

std::optional<OwnLog> find_usual_file(Search& search) {
  for (const char* path : {"/var/log/kern.log", "/var/log/messages", "/var/log/syslog"}) {
    if (auto log = take_file(search, path, "")) return log;
  }
  return std::nullopt;
}

std::optional<OwnLog> find_kmsg(Search& search) {
  const std::string path = "/dev/kmsg";
  OwnLog log;
  log.kind = OwnLog::Kind::Kmsg;
  log.path = search.root + path;
  log.name = path;
  log.words = "the kernel's own buffer (/dev/kmsg), which holds the newest lines only";
  if (const int error = try_to_open(log.path); error != 0) {
    (is_refusal(error) ? search.refused : search.absent).push_back(path + ": " + print_errno(error));
    return std::nullopt;
  }
  return log;
}

void add_without_doubles(std::vector<std::string>& to, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    if (std::ranges::find(to, line) == to.end()) to.push_back(line);
  }
}

// The ring from its oldest record to what was there when we came, into a file in memory.
Result<Fd> read_kmsg(const std::string& path) {
  const auto problem = [&](int error) {
    return base::fail(is_refusal(error) ? ErrorKind::Permission : ErrorKind::Input,
                      "cannot read " + path + ": " + print_errno(error));
  };
  const Fd kmsg(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!kmsg.open()) return problem(errno);
  Fd memory(memfd_create("fwtrace-kmsg", MFD_CLOEXEC));
  if (!memory.open()) return problem(errno);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t begun = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  std::string text;
  std::array<char, 8192> record{};  // kernel: PRINTK_MESSAGE_MAX; a shorter buffer is refused
  constexpr std::size_t kMost = std::size_t{256} << 20;
  while (text.size() < kMost) {
    const ssize_t got = read(kmsg.get(), record.data(), record.size());
    if (got < 0 && (errno == EINTR || errno == EPIPE || errno == EINVAL))
      continue;  // EPIPE: overwritten meanwhile
    if (got < 0 && errno != EAGAIN) return problem(errno);
    if (got <= 0) break;
    const std::string_view one(record.data(), static_cast<std::size_t>(got));
    text += one;
    // "4,17,1934356558,-;…": a flood of new lines would otherwise never end.
    const auto fields = base::split(one.substr(0, one.find(';')), ',');
    const auto time = fields.size() > 2 ? base::parse_number<std::int64_t>(fields[2]) : std::nullopt;
    if (time && *time > begun + 1'000'000) break;
  }
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t put = write(memory.get(), left.data(), left.size());
    if (put < 0 && errno != EINTR) return problem(errno);
    if (put > 0) left.remove_prefix(static_cast<std::size_t>(put));
  }
  lseek(memory.get(), 0, SEEK_SET);
  return memory;
}

}  // namespace

Result<OwnLog> find_own_log(const std::string& root) {
  Search search;
  search.root = root;
  for (const auto& find : {&find_journal, &find_rsyslog_file, &find_usual_file, &find_kmsg}) {
    if (auto log = find(search)) {
      add_without_doubles(log->passed_over, search.refused);
      return std::move(*log);
    }
  }
  std::vector<std::string> tried;
  add_without_doubles(tried, search.refused);
  add_without_doubles(tried, search.absent);
  std::string list = "tried ";
  for (const std::string& one : tried) list += (list.size() > 6 ? "; " : "") + one;
  std::vector<std::string> hints{std::move(list)};
  if (!search.refused.empty()) hints.emplace_back("logs belong to root and to the group adm: try with sudo");
  hints.emplace_back("name a file, or - for standard input: journalctl -k | fwtrace explain -");
  return base::fail(search.refused.empty() ? ErrorKind::Usage : ErrorKind::Permission,
                    "no kernel log of this machine can be read", std::move(hints));
}

OwnLogStream::OwnLogStream(OwnLogStream&& other) noexcept
    : fd_(std::move(other.fd_)), child_(std::exchange(other.child_, -1)) {}

OwnLogStream& OwnLogStream::operator=(OwnLogStream&& other) noexcept {
  if (this == &other) return *this;
  close(false);
  fd_ = std::move(other.fd_);
  child_ = std::exchange(other.child_, -1);
  return *this;
}

OwnLogStream::~OwnLogStream() { close(false); }

Result<OwnLogStream> OwnLogStream::open(const OwnLog& log) {
  OwnLogStream stream;
  if (log.kind == OwnLog::Kind::Kmsg) {
    TRY(stream.fd_, read_kmsg(log.path));
    return stream;
  }
  auto child = spawn(log.path, log.arguments, false);
  if (!child) return base::fail(ErrorKind::Input, "cannot run " + log.path);
  stream.fd_ = std::move(child->out);
  stream.child_ = child->pid;
  return stream;
}

std::optional<std::string> OwnLogStream::close(bool read_to_end) {
  fd_.close();
  if (child_ < 0) return std::nullopt;
  if (!read_to_end) kill(child_, SIGTERM);  // it may be far from its next line, where SIGPIPE would find it
  const int status = wait_for(std::exchange(child_, -1));
  if (!read_to_end || status == 0) return std::nullopt;
  return WIFSIGNALED(status) ? "was ended by signal " + std::to_string(WTERMSIG(status))
                             : "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace fwtrace::host
