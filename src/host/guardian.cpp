#include "host/guardian.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "host/proc.h"

namespace fwtrace::host {
namespace {

constexpr std::size_t kMaxAnnouncement = 4096;

// Closes every descriptor but `kept` (ascending, at most a few). Our netlink socket above all.
void close_all_but(const std::vector<int>& kept) {
  unsigned from = 0;
  const auto close_up_to = [&](unsigned last) {
    if (from > last) return;
    if (syscall(SYS_close_range, from, last, 0) == 0) return;
    const auto limit = static_cast<unsigned>(std::max(sysconf(_SC_OPEN_MAX), 1024L));  // before 5.9
    for (unsigned fd = from; fd <= last && fd < limit; ++fd) close(static_cast<int>(fd));
  };
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > from) close_up_to(number - 1);
    from = number + 1;
  }
  close_up_to(~0U);
}

// Sends one byte of text, and a descriptor if there is one (SCM_RIGHTS).
bool send_note(int to, std::string_view text, int fd) {
  iovec part{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return sendmsg(to, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

struct Note {
  std::string text;
  Fd fd;
};
std::optional<Note> receive_note(int from) {
  Note note;
  std::array<char, kMaxAnnouncement> text{};
  iovec part{.iov_base = text.data(), .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = -1;
  do {
    got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  note.text.assign(text.data(), static_cast<std::size_t>(got));
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header && header->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    note.fd = Fd(fd);
  }
  return note;
}

constexpr std::string_view kNoted = "noted";

[[noreturn]] void guard(int pipe, Changes changes, const std::string& state_folder) {
  setsid();
  prctl(PR_SET_NAME, "fwtrace-guard", 0, 0, 0);
  for (const int number : {SIGINT, SIGHUP, SIGTERM, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU}) {
    signal(number, SIG_IGN);
  }
  close_all_but({pipe});
  if (chdir("/") != 0) _exit(1);
  // Nothing that is opened later may become descriptor 0, 1 or 2, where a library would write its messages.
  for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd < 2;) fd = dup(fd);
  // The file is made here and not by the parent, which may be killed at any moment. Both hold its lock.
  std::optional<StateFile> state;
  if (auto created = StateFile::create(changes, state_folder)) {
    state = std::move(*created);
    send_note(pipe, kNoted, state->fd());
  } else {
    send_note(pipe, created.error().message, -1);
  }
  while (const auto note = receive_note(pipe)) {
    if (auto announced = parse_changes(note->text)) changes = *announced;
    if (state) (void)state->rewrite(changes).has_value();
    send_note(pipe, kNoted, -1);
  }
  const auto failed = undo(changes);
  // With the file still there, `doctor --repair` can try again.
  if (state && failed.empty()) state->remove();
  _exit(failed.empty() ? 0 : 1);
}

}  // namespace

Guardian::Guardian(Guardian&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pipe_(std::move(other.pipe_)),
      state_lock_(std::move(other.state_lock_)),
      state_folder_(std::move(other.state_folder_)),
      changes_(std::move(other.changes_)),
      warning_(std::move(other.warning_)) {}

Guardian::~Guardian() { finish(); }

base::Result<Guardian> Guardian::start(const std::string& state_folder) {
  Guardian guardian;
  guardian.changes_.pid = getpid();
  guardian.state_folder_ = state_folder;
  guardian.changes_.home = read_namespace_identity();
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return base::fail(base::ErrorKind::Permission, "no pipe to a guardian process: " + print_errno(errno));
  }
  Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = fork();
  if (child < 0) return base::fail(base::ErrorKind::Permission, "no guardian process: " + print_errno(errno));
  if (child == 0) guard(theirs.get(), guardian.changes_, state_folder);
  theirs.close();
  guardian.pid_ = child;
  guardian.pipe_ = std::move(ours);
  auto note = receive_note(guardian.pipe_.get());
  if (!note)
    return base::fail(base::ErrorKind::Permission, "the guardian process has died; nothing was changed");
  if (note->text != kNoted) guardian.warning_ = std::move(note->text);
  guardian.state_lock_ = std::move(note->fd);
  return guardian;
}

base::Result<void> Guardian::announce() {
  const std::string text = print_changes(changes_);
  if (!send_note(pipe_.get(), text, -1) || !receive_note(pipe_.get())) {
    return base::fail(base::ErrorKind::Permission, "the guardian process has died; nothing was changed");
  }
  return {};
}

base::Result<void> Guardian::will_set_logger(int family, const std::string& before,
                                             const std::string& after) {
  changes_.loggers.push_back({.family = family, .before = before, .set_to = after});
  return announce();
}

base::Result<void> Guardian::will_add_table(const std::string& table,
                                            const std::vector<packet::Family>& families) {
  changes_.table = table;
  changes_.families = families;
  return announce();
}

base::Result<void> Guardian::will_insert_rules(const std::string& program) {
  changes_.inserted_by.push_back(program);
  return announce();
}

std::vector<std::string> Guardian::finish() {
  if (pid_ == 0) return {};
  pipe_.close();
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  const Fd lock = std::move(state_lock_);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  // It was killed, or failed: once more, here, where what goes wrong can be said. Our lock on the state file is held
  // until then, so that nobody else repairs at the same time.
  auto failed = undo(changes_);
  if (failed.empty() && lock.open()) remove_state_file(lock, changes_.pid, state_folder_);
  return failed;
}

}  // namespace fwtrace::host
