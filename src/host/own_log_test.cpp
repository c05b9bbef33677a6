#include "host/own_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace fwtrace::host {
namespace {

namespace fs = std::filesystem;

// A machine of files: what stands under a folder of its own.
class Machine {
 public:
  Machine() {
    std::string name = (fs::temp_directory_path() / "fwtrace-machine-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~Machine() { fs::remove_all(root_); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void file(const std::string& path, const std::string& text, bool program = false) const {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path, std::ios::binary) << text;
    if (program) fs::permissions(root_ + path, fs::perms::owner_all);
  }
  // journalctl as a shell script; `$*` are its words.
  void journal(const std::string& script) const { file("/usr/bin/journalctl", "#!/bin/sh\n" + script, true); }
  const std::string& root() const { return root_; }

  // What is found, as "words | file file".
  std::string found() const {
    const auto log = find_own_log(root_);
    if (!log) {
      std::string said = log.error().message;
      for (const std::string& hint : log.error().hints) said += "\n" + hint;
      return said;
    }
    std::string said = log->words;
    for (const std::string& path : log->files) said += "\n" + path.substr(root_.size());
    for (const std::string& path : log->passed_over) said += "\nnot " + path;
    return said;
  }
  std::string read() const {
    const auto log = find_own_log(root_);
    if (!log) return log.error().message;
    auto stream = OwnLogStream::open(*log);
    if (!stream) return stream.error().message;
    std::string text(100'000, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
      const ssize_t got = ::read(stream->fd(), text.data() + size, text.size() - size);
      if (got <= 0) break;
      size += static_cast<std::size_t>(got);
    }
    text.resize(size);
    if (const auto problem = stream->close(true)) text += "(" + *problem + ")";
    return text;
  }

 private:
  std::string root_;
};

constexpr const char* kEntry = "echo '{\"MESSAGE\":\"TRACE: raw\"}'\n";

TEST(OwnLog, TheJournalIsAskedForThisBootsKernelMessagesAndWhatItMissed) {
  const Machine machine;
  machine.journal("case \"$*\" in\n  *'-n 1 _TRANSPORT=kernel') " + std::string(kEntry) +
                  ";;\n  *) echo \"$*\";;\nesac\n");
  machine.file("/var/log/kern.log", "here too\n");
  EXPECT_EQ(machine.found(), "the journal (journalctl -k -b)");
  EXPECT_EQ(
      machine.read(),
      "--quiet --no-pager -b -o json "
      "--output-fields=MESSAGE,_HOSTNAME,_SOURCE_REALTIME_TIMESTAMP,_SOURCE_MONOTONIC_TIMESTAMP _TRANSPORT=kernel + "
      "MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606\n");
}

TEST(OwnLog, AnOldJournalctlIsAskedWithoutItsNewOption) {
  const Machine machine;
  machine.journal("case \"$*\" in\n  *output-fields*) echo unrecognized option; exit 1;;\n  *'-n 1'*) " +
                  std::string(kEntry) + ";;\n  *) echo \"$*\"; exit 3;;\nesac\n");
  EXPECT_EQ(
      machine.read(),
      "--quiet --no-pager -b -o json _TRANSPORT=kernel + MESSAGE_ID=e9bf28e6e834481bb6f48f548ad13606\n(ended with status 3)");
}

TEST(OwnLog, AJournalThatWeLeaveEarlyIsEnded) {
  const Machine machine;
  machine.journal("case \"$*\" in\n  *'-n 1'*) " + std::string(kEntry) +
                  ";;\n  *) exec sleep 1000;;\nesac\n");
  const auto log = find_own_log(machine.root());
  ASSERT_TRUE(log);
  auto stream = OwnLogStream::open(*log);
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->close(false), std::nullopt);  // and returns
}

TEST(OwnLog, AJournalWithoutKernelMessagesIsPassedOverInSilence) {
  const Machine machine;
  machine.journal("echo 'No journal files were found.' >&2; exit 1\n");
  machine.file("/var/log/messages", "x\n");
  machine.file("/var/log/syslog", "y\n");
  EXPECT_EQ(machine.found(), "/var/log/messages\n/var/log/messages");
}

TEST(OwnLog, AJournalThatWeMayNotReadIsSaid) {
  const Machine machine;
  machine.journal("echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1\n");
  machine.file("/var/log/kern.log", "x\n");
  EXPECT_EQ(machine.found(), "/var/log/kern.log\n/var/log/kern.log\nnot the journal: Permission denied");
}

TEST(OwnLog, RsyslogsFileForTheKernelWithItsOlderOnes) {
  const Machine machine;
  machine.file("/etc/rsyslog.conf", "$IncludeConfig /etc/rsyslog.d/*.conf\n*.* /var/log/all\n");
  machine.file("/etc/rsyslog.d/50-kern.conf", "kern.* -/srv/log/kernel\n");
  for (const char* path :
       {"/var/log/all", "/var/log/kern.log", "/srv/log/kernel", "/srv/log/kernel.1", "/srv/log/kernel.10.gz",
        "/srv/log/kernel.2.gz", "/srv/log/kernel-old", "/srv/log/kernel2"})
    machine.file(path, "x\n");
  EXPECT_EQ(machine.found(),
            "/srv/log/kernel and 3 older ones (where rsyslog puts kern.*)\n"
            "/srv/log/kernel.10.gz\n/srv/log/kernel.2.gz\n/srv/log/kernel.1\n/srv/log/kernel");
}

TEST(OwnLog, AFileThatIsNotThereIsNotTheLog) {
  const Machine machine;
  machine.file("/etc/rsyslog.conf", "kern.* /var/log/kern.log\nif $hostname == 'x' then /var/log/perhaps\n");
  machine.file("/var/log/perhaps", "x\n");
  EXPECT_EQ(machine.found(), "/var/log/perhaps (where rsyslog perhaps puts kern.*)\n/var/log/perhaps");
}

TEST(OwnLog, TheKernelsBufferIsTheLastResort) {
  const Machine machine;
  machine.file("/dev/kmsg", "4,17,1934356558,-;TRACE: one\n");
  EXPECT_EQ(machine.found(), "the kernel's own buffer (/dev/kmsg), which holds the newest lines only");
  EXPECT_EQ(machine.read(), "4,17,1934356558,-;TRACE: one\n");
}

TEST(OwnLog, WhereNothingIsItSaysWhatWasTried) {
  const Machine machine;
  fs::create_directories(machine.root() + "/var/log/kern.log");
  EXPECT_EQ(machine.found(),
            "no kernel log of this machine can be read\n"
            "tried the journal: no journalctl; /var/log/kern.log: not a file; "
            "/var/log/messages: No such file or directory; /var/log/syslog: No such file or directory; "
            "/dev/kmsg: No such file or directory\n"
            "name a file, or - for standard input: journalctl -k | fwtrace explain -");
}

}  // namespace
}  // namespace fwtrace::host
