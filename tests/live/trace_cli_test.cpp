// `fwtrace FILTER` as a person runs it: the program itself, in a box, with signals, pipes and rights as they come. What
// is judged is what it prints, how it exits, and that nothing of it is left behind.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "host/proc.h"
#include "live/box.h"
#include "live/tracing_run.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;

// The program, with both its outputs in our hands. It ends with us.
class Program {
 public:
  explicit Program(const std::vector<std::string>& words) {
    std::array<int, 2> out{}, err{};
    EXPECT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(err.data(), O_CLOEXEC), 0);
    out_ = host::Fd(out[0]), err_ = host::Fd(err[0]);
    std::vector<std::string> all{FWTRACE_PROGRAM};
    all.insert(all.end(), words.begin(), words.end());
    std::vector<char*> argv;
    for (std::string& word : all) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      if (getppid() != parent) _exit(1);
      dup2(out[1], 1);
      dup2(err[1], 2);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(out[1]);
    close(err[1]);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ > 0) kill(pid_, SIGTERM);
    wait();
  }

  // Armed: the header ends with an empty line.
  bool began() {
    return read_until(err_, said_, [this] { return said_.find("\n\n") != std::string::npos; });
  }
  // So many lines on standard output, within ten seconds.
  bool printed(std::ptrdiff_t lines) {
    return read_until(out_, text_, [&] { return std::ranges::count(text_, '\n') >= lines; });
  }
  void send(int signal) const { kill(pid_, signal); }
  void close_output() { out_.close(); }
  int pid() const { return pid_; }

  // The rest of the output; the exit status, or minus the signal.
  int wait() {
    if (pid_ <= 0) return status_;
    if (out_.open()) read_until(out_, text_, [] { return false; });
    read_until(err_, said_, [] { return false; });
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  const std::string& text() const { return text_; }
  const std::string& said() const { return said_; }

 private:
  static bool read_until(const host::Fd& fd, std::string& into, const std::function<bool()>& enough) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!enough()) {
      pollfd ready{.fd = fd.get(), .events = POLLIN, .revents = 0};
      if (std::chrono::steady_clock::now() > until || poll(&ready, 1, 500) < 0) return false;
      if (ready.revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
      if (got <= 0) return enough();
      into.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return true;
  }
  pid_t pid_ = -1;
  int status_ = 0;
  host::Fd out_, err_;
  std::string text_, said_;
};

std::ptrdiff_t count(const std::string& text, std::string_view what) {
  std::ptrdiff_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

class TraceCliTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    ASSERT_EQ(Box::run("iptables-legacy -w 10 -A INPUT -p udp --dport 53 -j ACCEPT;"
                       "iptables-legacy -w 10 -A INPUT -p udp --dport 54 -j DROP"),
              "");
    before_ = state();
  }
  void TearDown() override {
    if (!box_) return;
    EXPECT_EQ(state(), before_) << "something was left behind";
  }
  void send(int count, std::uint16_t port = 53) const { box_->send_udp("10.9.0.1", port, count); }

  std::unique_ptr<Box> box_;
  std::string before_;
};

TEST_F(TraceCliTest, EverySignalThatEndsItLetsItSayTheSummary) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Program program({"-p", "udp", "--dport", "53", "--one-way", "-q"});
    ASSERT_TRUE(program.began()) << program.said();
    send(3);
    ASSERT_TRUE(program.printed(3)) << program.text();
    program.send(signal);
    program.send(signal);  // an impatient one
    EXPECT_EQ(program.wait(), 0);
    EXPECT_NE(program.text().find("\n3 packets: 3 delivered"), std::string::npos) << program.text();
    EXPECT_EQ(state(), before_);
  }
}

// iptables-legacy's events carry the packet's own time, nft's the time they were read.
TEST_F(TraceCliTest, ARunThatStoodStillTakesNoPacketApart) {
  Program program({"-p", "udp", "--dport", "53", "--one-way", "-q"});
  ASSERT_TRUE(program.began()) << program.said();
  program.send(SIGSTOP);
  send(5);
  std::this_thread::sleep_for(2500ms);
  program.send(SIGCONT);
  ASSERT_TRUE(program.printed(5)) << program.text();
  program.send(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.text().find("\n5 packets: 5 delivered"), std::string::npos) << program.text();
  EXPECT_EQ(count(program.text(), "filter INPUT rule 1"), 5) << program.text();
}

TEST_F(TraceCliTest, AClosedPipeEndsIt) {
  Program program({"-p", "udp", "--dport", "53", "--one-way", "-q", "-c", "0"});
  ASSERT_TRUE(program.began()) << program.said();
  program.close_output();
  for (int i = 0; i < 100 && kill(program.pid(), 0) == 0; ++i) {
    send(1);
    std::this_thread::sleep_for(20ms);
    siginfo_t ended{};
    if (waitid(P_PID, static_cast<id_t>(program.pid()), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        ended.si_pid != 0)
      break;
  }
  EXPECT_EQ(program.wait(), 0) << program.said();
}

TEST_F(TraceCliTest, CountsAreExactOverTheRate) {
  Program program({"-p", "udp", "--dport", "53", "--one-way", "--rate", "5", "-c", "0", "--json"});
  ASSERT_TRUE(program.began()) << program.said();
  send(500);
  ASSERT_TRUE(program.printed(20));  // the burst
  program.send(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  const std::size_t last = program.text().rfind('\n', program.text().size() - 2);
  const auto object = nlohmann::json::parse(program.text().substr(last + 1), nullptr, false);
  ASSERT_TRUE(object.is_object() && object.contains("summary")) << program.text().substr(last + 1);
  const auto& live = object["summary"]["live"];
  EXPECT_EQ(live["matched"], 500);
  EXPECT_EQ(live["armed"], object["summary"]["packets"]);
  EXPECT_GE(live["armed"], 20);
  EXPECT_LE(live["armed"], 20 + 60);  // that many only after twelve seconds
}

TEST_F(TraceCliTest, StrictSaysFiveWhereNothingWasSeen) {
  Program nothing({"-p", "udp", "--dport", "53", "--strict", "--for", "200ms"});
  EXPECT_EQ(nothing.wait(), 5);
  EXPECT_NE(nothing.said().find("stops after 20 packets, 200 ms or Ctrl-C"), std::string::npos)
      << nothing.said();
  Program one({"-p", "udp", "--dport", "54", "--strict", "--one-way", "--dropped", "-q", "-c", "1"});
  ASSERT_TRUE(one.began()) << one.said();
  send(1, 54);
  EXPECT_EQ(one.wait(), 0) << one.text();
  EXPECT_TRUE(one.text().starts_with("✗ DROPPED")) << one.text();
}

TEST_F(TraceCliTest, ASecondRunSaysThatTheFirstHasTheLegacyEvents) {
  Program first({"-p", "udp", "--dport", "53", "--one-way", "-q"});
  ASSERT_TRUE(first.began()) << first.said();
  Program second({"-p", "udp", "--dport", "53", "--one-way", "-q", "-c", "2"});
  ASSERT_TRUE(second.began()) << second.said();
  EXPECT_NE(second.said().find("iptables-legacy events cannot be seen: another fwtrace (process " +
                               std::to_string(first.pid()) + ") has them"),
            std::string::npos)
      << second.said();
  send(2);
  EXPECT_EQ(second.wait(), 0);
  EXPECT_NE(second.text().find("2 packets: 2 delivered"), std::string::npos) << second.text();
  first.send(SIGINT);
  EXPECT_EQ(first.wait(), 0);
  EXPECT_NE(first.text().find("\n2 packets: 2 delivered"), std::string::npos) << first.text();
  EXPECT_NE(first.text().find("filter INPUT rule 1"), std::string::npos) << first.text();
}

TEST_F(TraceCliTest, PacketsThatOthersTraceAreKeptApart) {
  ASSERT_EQ(Box::run("iptables-legacy -w 10 -t raw -A PREROUTING -p udp -j TRACE"), "");
  Program program({"-p", "udp", "--dport", "53", "--one-way", "-q"});
  ASSERT_TRUE(program.began()) << program.said();
  send(4, 54);
  send(3);
  ASSERT_TRUE(program.printed(3)) << program.text();
  program.send(SIGINT);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.text().find("\n3 packets: 3 delivered"), std::string::npos) << program.text();
  EXPECT_NE(program.text().find("4 packets traced by rules that are not ours"), std::string::npos)
      << program.text();
  EXPECT_EQ(Box::run("iptables-legacy -w 10 -t raw -F PREROUTING"), "");
  before_ = state();  // with the raw table, which is there now
}

TEST_F(TraceCliTest, EveryThreadHasTwoCapabilitiesAndNoMore) {
  Program program({"-p", "udp", "--dport", "53", "-q"});
  ASSERT_TRUE(program.began()) << program.said();
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", program.pid()))) {
    const std::string status = host::read_proc(task.path() / "status").value_or("");
    for (const char* set : {"CapPrm:\t", "CapEff:\t", "CapBnd:\t"})
      EXPECT_NE(status.find(std::string(set) + "0000000000003000\n"), std::string::npos) << status;
    ++threads;
  }
  EXPECT_GE(threads, 2);
  program.send(SIGINT);
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(TraceCliTest, WithoutTheRightNothingIsMade) {
  const std::string file = fmt::format("/tmp/fwtrace-cli-{}.trace", getpid());
  const std::string said =
      Box::run(fmt::format("setpriv --bounding-set -net_admin {} -p udp -w {}", FWTRACE_PROGRAM, file));
  EXPECT_EQ(
      said,
      "fwtrace: error: live tracing needs CAP_NET_ADMIN\n"
      "fwtrace: hint: this is root without that capability (a container?): grant it, or run fwtrace outside "
      "of the container with --netns\n(exit 4)");
  EXPECT_NE(access(file.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace fwtrace::live
