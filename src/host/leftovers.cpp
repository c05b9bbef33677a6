#include "host/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <expected>

#include "base/text.h"
#include "host/arm.h"
#include "host/insertion.h"
#include "host/nf_log.h"
#include "host/proc.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;

namespace {

constexpr std::string_view kFirstLine = "fwtrace state 1";
constexpr std::string_view kSuffix = ".state";
constexpr std::size_t kMaxState = 4096;

// A value that we would write into a sysctl: only what a logger's name can be.
bool is_logger_name(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  for (const char c : text) {
    const bool fits = base::is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!fits) return false;
  }
  return true;
}

bool is_our_table(std::string_view text) {
  constexpr std::string_view kPrefix = "fwtrace-";
  return text.starts_with(kPrefix) && base::parse_number<int>(text.substr(kPrefix.size())).has_value();
}

}  // namespace

std::string print_changes(const Changes& changes) {
  const NamespaceIdentity& home = changes.home;
  std::string text = fmt::format("{}\npid {}\nnetns {} {} {} {}\n", kFirstLine, changes.pid, home.inode,
                                 home.cookie, home.started, home.boot);
  for (const LoggerChange& logger : changes.loggers) {
    text += fmt::format("nf_log {} {} {}\n", logger.family, logger.before, logger.set_to);
  }
  for (const packet::Family family : changes.families) {
    if (!changes.table.empty()) text += fmt::format("table {} {}\n", packet::to_text(family), changes.table);
  }
  for (const std::string& program : changes.inserted_by) text += fmt::format("inserted {}\n", program);
  return text;
}

std::optional<Changes> parse_changes(std::string_view text) {
  Changes changes;
  const auto lines = base::split(text, '\n');
  if (lines.empty() || lines[0] != kFirstLine) return std::nullopt;
  for (const std::string_view line : lines) {
    const auto words = base::split_words(line);
    if (words.size() == 2 && words[0] == "pid") {
      changes.pid = base::parse_number<int>(words[1]).value_or(0);
    } else if (words.size() == 5 && words[0] == "netns") {
      const auto number = [&](std::size_t i) {
        return base::parse_number<std::uint64_t>(words[i]).value_or(0);
      };
      changes.home = {
          .inode = number(1), .cookie = number(2), .started = number(3), .boot = std::string(words[4])};
    } else if (words.size() == 4 && words[0] == "nf_log" && is_logger_name(words[2]) &&
               is_logger_name(words[3])) {
      const auto family = base::parse_number<int>(words[1]);
      if (family && *family > 0 && *family < 16) {
        changes.loggers.push_back(
            {.family = *family, .before = std::string(words[2]), .set_to = std::string(words[3])});
      }
    } else if (words.size() == 3 && words[0] == "table" && is_our_table(words[2])) {
      if (const auto family = packet::parse_family(words[1])) {
        changes.table = words[2];
        changes.families.push_back(*family);
      }
    } else if (words.size() == 2 && words[0] == "inserted" && is_restore_program(words[1])) {
      changes.inserted_by.emplace_back(words[1]);
    }
  }
  return changes;
}

std::vector<std::string> undo(const Changes& changes) {
  std::vector<std::string> failed;
  for (const LoggerChange& logger : changes.loggers) {
    if (find_logger(logger.family) != logger.set_to) continue;
    if (const int error = set_logger(logger.family, logger.before)) {
      failed.push_back(fmt::format("net.netfilter.nf_log.{} could not be set back to {}: {}", logger.family,
                                   logger.before, print_errno(error)));
    }
  }
  for (const packet::Family family : changes.families) {
    if (changes.table.empty()) continue;
    if (auto removed = remove_table(family, changes.table); !removed) {
      failed.push_back(fmt::format("table {} {} could not be removed: {}", packet::to_text(family),
                                   changes.table, removed.error().message));
    }
  }
  for (const std::string& program : changes.inserted_by) {
    if (auto removed = remove_inserted(program, changes.pid); !removed) {
      failed.push_back(
          fmt::format("our rules in the raw table could not be removed: {}", removed.error().message));
    }
  }
  return failed;
}

namespace {

Result<Fd> open_folder(const std::string& folder, bool make) {
  if (make && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::fail(ErrorKind::Permission,
                      fmt::format("'{}' cannot be made: {}", folder, print_errno(errno)));
  }
  Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.open()) {
    return base::fail(ErrorKind::Permission,
                      fmt::format("'{}' cannot be opened: {}", folder, print_errno(errno)));
  }
  struct stat info{};
  if (fstat(fd.get(), &info) != 0 || info.st_uid != geteuid() || (info.st_mode & 022) != 0) {
    return base::fail(ErrorKind::Permission, fmt::format("'{}' is not ours alone, and is not used", folder),
                      {fmt::format("it must belong to the user that runs fwtrace, with mode 0700")});
  }
  return fd;
}

std::string state_name(int pid) { return std::to_string(pid) + std::string(kSuffix); }

bool write_text(int fd, const std::string& text) {
  return pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
         ftruncate(fd, static_cast<off_t>(text.size())) == 0;
}

// A new file of that name with that text, locked; or the errno. It gets its name when it is whole, so that it
// is never less, whenever we are killed: an empty file says nothing, and nobody would dare to remove it.
std::expected<Fd, int> make_state(int folder, const std::string& name, const std::string& text) {
  const auto fill = [&](const Fd& file) {
    return file.open() && flock(file.get(), LOCK_EX | LOCK_NB) == 0 && write_text(file.get(), text);
  };
  Fd nameless(openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fill(nameless)) {
    const std::string itself = fmt::format("/proc/self/fd/{}", nameless.get());
    if (linkat(AT_FDCWD, itself.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW) == 0) return nameless;
    if (errno == EEXIST) return std::unexpected(EEXIST);
  }
  // Not every file system can do that.
  Fd named(openat(folder, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  const int error = errno;
  if (!named.open() || !fill(named)) return std::unexpected(named.open() ? errno : error);
  return named;
}

}  // namespace

Result<StateFile> StateFile::create(const Changes& changes, const std::string& folder) {
  StateFile state;
  TRY(state.folder_, open_folder(folder, true));
  state.name_ = state_name(changes.pid);
  const std::string text = print_changes(changes);
  auto made = make_state(state.folder_.get(), state.name_, text);
  if (!made && made.error() == EEXIST) {
    // Left over from a process that had our number; it has been offered for repair before, or is live in a
    // container that shares the folder: then its lock is held, and we must not touch it.
    const Fd old(openat(state.folder_.get(), state.name_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (old.open() && flock(old.get(), LOCK_EX | LOCK_NB) == 0) {
      unlinkat(state.folder_.get(), state.name_.c_str(), 0);
      made = make_state(state.folder_.get(), state.name_, text);
    }
  }
  if (!made) {
    return base::fail(ErrorKind::Permission, fmt::format("'{}/{}' cannot be written: {}", folder, state.name_,
                                                         print_errno(made.error())));
  }
  state.file_ = std::move(*made);
  return state;
}

Result<void> StateFile::rewrite(const Changes& changes) {
  if (write_text(file_.get(), print_changes(changes))) return {};
  return base::fail(ErrorKind::Permission,
                    fmt::format("'{}' cannot be written: {}", name_, print_errno(errno)));
}

void StateFile::remove() {
  if (file_.open()) unlinkat(folder_.get(), name_.c_str(), 0);
}

void remove_state_file(const Fd& file, int pid, const std::string& folder) {
  const auto opened = open_folder(folder, false);
  struct stat ours{}, there{};
  const std::string name = state_name(pid);
  if (opened && fstat(file.get(), &ours) == 0 &&
      fstatat(opened->get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino &&
      ours.st_dev == there.st_dev) {
    unlinkat(opened->get(), name.c_str(), 0);
  }
}

Result<std::vector<Leftover>> find_leftovers(const std::string& folder) {
  std::vector<Leftover> found;
  if (access(folder.c_str(), F_OK) != 0) return found;
  TRY(const Fd opened, open_folder(folder, false));
  DIR* directory = opendir(folder.c_str());
  if (!directory) return found;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (!name.ends_with(kSuffix)) continue;
    const Fd file(openat(opened.get(), name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file.open() || flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;
    std::array<char, kMaxState> text{};
    const ssize_t length = read(file.get(), text.data(), text.size());
    if (length <= 0) continue;
    if (auto changes = parse_changes({text.data(), static_cast<std::size_t>(length)})) {
      found.push_back({.file = name, .changes = std::move(*changes)});
    }
  }
  closedir(directory);
  return found;
}

Result<bool> repair(const Leftover& leftover, const std::string& folder) {
  TRY(const Fd opened, open_folder(folder, false));
  TRY(const auto home, NetworkNamespace::find_again(leftover.changes.home));
  if (home) {
    TRY(const EnterNamespace inside, EnterNamespace::enter(*home));
    const auto failed = undo(leftover.changes);
    if (!failed.empty()) return base::fail(ErrorKind::Permission, failed.front());
  }
  unlinkat(opened.get(), leftover.file.c_str(), 0);
  return home.has_value();
}

}  // namespace fwtrace::host
