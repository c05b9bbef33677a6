// The classic way, by hand: nf_log of the namespace set to the kernel log, TRACE rules of iptables-legacy at raw
// PREROUTING 1 and OUTPUT 1, rsyslog writing kern.* to a file, one connection; then `fwtrace explain` on that file with
// the running rules. The judge is the kernel's rule counters.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "host/nf_log.h"
#include "host/proc.h"
#include "live/box.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// A namespace's packets reach the kernel log only if the machine's own nf_log_all_netns is 1. It is set where it was 0,
// and set back however we end: a child of ours waits for our end of a pipe to close.
class AllNamespacesLog {
 public:
  static std::unique_ptr<AllNamespacesLog> make(std::string& why) {
    std::unique_ptr<AllNamespacesLog> made(new AllNamespacesLog);
    // Two such tests at once: the one that began first would set it back under the other.
    made->lock_ =
        host::Fd(open("/tmp/fwtrace-nf_log_all_netns.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!made->lock_.open() || flock(made->lock_.get(), LOCK_EX) != 0) return why = "no lock", nullptr;
    const auto value = host::read_proc(kPath);
    if (!value) return why = "not in the machine's first network namespace", nullptr;
    if (value->starts_with("1")) return made;
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return why = "no pipe", nullptr;
    made->end_ = host::Fd(ends[1]);
    const host::Fd wait(ends[0]);
    const host::Fd setting(open(kPath, O_WRONLY | O_CLOEXEC));
    if (!setting.open()) return why = std::string(kPath) + " cannot be written", nullptr;
    made->child_ = fork();
    if (made->child_ < 0) return why = "no child", nullptr;
    if (made->child_ == 0) {
      setsid();
      sigset_t all;
      sigfillset(&all);
      sigprocmask(SIG_BLOCK, &all, nullptr);
      close(ends[1]);
      char byte = 0;
      while (read(wait.get(), &byte, 1) != 0) {
      }
      _exit(put(setting.get(), "0\n") ? 0 : 1);
    }
    if (!put(setting.get(), "1\n")) return why = std::string(kPath) + " cannot be set", nullptr;
    return made;
  }
  AllNamespacesLog(const AllNamespacesLog&) = delete;
  AllNamespacesLog& operator=(const AllNamespacesLog&) = delete;
  ~AllNamespacesLog() {
    end_.close();
    if (child_ <= 0) return;
    waitpid(child_, nullptr, 0);
    EXPECT_EQ(host::read_proc(kPath), "0\n") << "the machine's own setting was not set back";
  }

 private:
  static constexpr const char* kPath = "/proc/sys/net/netfilter/nf_log_all_netns";
  AllNamespacesLog() = default;
  // The kernel ignores what is written to a sysctl at any place but its beginning (kernel: sysctl_writes_strict), and our
  // child's descriptor stands where ours does.
  static bool put(int setting, const char* value) { return pwrite(setting, value, 2, 0) == 2; }
  host::Fd lock_, end_;
  pid_t child_ = -1;
};

// rsyslogd with a configuration of our own, in the foreground, in a folder of its own.
class Rsyslog {
 public:
  explicit Rsyslog(const std::string& folder) {
    const std::string configuration = folder + "/rsyslog.conf";
    std::ofstream(configuration) << "global(workDirectory=\"" << folder << "\")\nmodule(load=\"imkmsg\")\n"
                                 << "kern.* action(type=\"omfile\" file=\"" << folder << "/kern.log\")\n";
    const std::string said = folder + "/said", number = folder + "/pid";
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // it ends with us, however we end
    if (getppid() != parent) _exit(1);
    const int in = open("/dev/null", O_RDONLY), out = open(said.c_str(), O_WRONLY | O_CREAT, 0600);
    if (in < 0 || out < 0) _exit(1);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execl("/usr/sbin/rsyslogd", "rsyslogd", "-n", "-f", configuration.c_str(), "-i", number.c_str(), nullptr);
    _exit(127);
  }
  Rsyslog(const Rsyslog&) = delete;
  Rsyslog& operator=(const Rsyslog&) = delete;
  ~Rsyslog() {
    if (pid_ <= 0) return;
    kill(pid_, SIGTERM);
    for (int i = 0; i < 300; ++i) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) return;
      std::this_thread::sleep_for(10ms);
    }
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  bool runs() const { return pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == 0; }

 private:
  pid_t pid_ = -1;
};

using Counts = std::map<std::string, std::uint64_t>;  // "filter INPUT 3": packets

// Of `iptables-legacy-save -c`, without the TRACE rules themselves: they match before they switch tracing on.
Counts read_counters(const std::string& save) {
  Counts counts;
  std::map<std::string, int> numbers;
  std::string table, line;
  for (std::istringstream lines(save); std::getline(lines, line);) {
    if (line.starts_with("*")) table = line.substr(1);
    if (!line.starts_with("[")) continue;
    std::istringstream words(line);
    std::string counters, add, chain;
    words >> counters >> add >> chain;
    const std::string rule = table + " " + chain + " " + std::to_string(++numbers[table + " " + chain]);
    const std::uint64_t packets = std::stoull(counters.substr(1));
    if (packets > 0 && !line.ends_with("-j TRACE")) counts[rule] = packets;
  }
  return counts;
}

std::string print(const Counts& counts) {
  std::string out;
  for (const auto& [rule, packets] : counts) out += rule + ": " + std::to_string(packets) + "\n";
  return out;
}

struct Explained {
  Counts steps;  // how often a journey met a rule
  std::map<std::string, int> verdicts;
  std::vector<std::string> without_text;  // steps on rules that were not joined to their text
  int starts_late = 0;
};

Explained explain(const std::string& log, const std::string& rules, const std::string& filter) {
  Explained out;
  const std::string json = Box::run(std::string(FWTRACE_PROGRAM) + " explain " + log + " --rules " + rules +
                                    " --json " + filter + " 2>/dev/null");
  std::string line;
  for (std::istringstream lines(json); std::getline(lines, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object() || !object.contains("journey")) continue;
    const auto& journey = object["journey"];
    ++out.verdicts[journey["outcome"]["verdict"].get<std::string>()];
    if (journey.value("starts_late", false)) ++out.starts_late;
    for (const auto& step : journey["steps"]) {
      if (!step.contains("rule")) continue;
      const std::string rule = step["table"].get<std::string>() + " " + step["chain"].get<std::string>() +
                               " " + std::to_string(step["rule"].get<int>());
      if (step["kind"] == "rule") ++out.steps[rule];
      if (!step.contains("text")) out.without_text.push_back(rule);
    }
  }
  return out;
}

// Parameter: AF_INET or AF_INET6.
class ClassicTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (access("/usr/sbin/rsyslogd", X_OK) != 0)
      GTEST_SKIP() << "rsyslog is not installed: scripts/setup test";
    if (access("/dev/kmsg", R_OK) != 0) GTEST_SKIP() << "/dev/kmsg may not be read here";
    std::string why;
    all_ = AllNamespacesLog::make(why);
    if (!all_) GTEST_SKIP() << why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    std::string name = (fs::temp_directory_path() / "fwtrace-classic-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  // A connection from the neighbour to the box: hello, and goodbye from both.
  void connect_once(std::uint16_t port) const {
    sockaddr_storage address{};
    socklen_t size = 0;
    if (GetParam() == AF_INET) {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      inet_pton(AF_INET, "10.9.0.1", &in.sin_addr);
      std::memcpy(&address, &in, size = sizeof in);
    } else {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port);
      inet_pton(AF_INET6, "fd09::1", &in.sin6_addr);
      std::memcpy(&address, &in, size = sizeof in);
    }
    auto* to = reinterpret_cast<sockaddr*>(&address);
    const host::Fd listener(socket(GetParam(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listener.get(), to, size), 0);
    ASSERT_EQ(listen(listener.get(), 1), 0);
    const host::Fd client = box_->neighbour_socket(GetParam(), SOCK_STREAM);
    const timeval bound{5, 0};
    setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    ASSERT_EQ(connect(client.get(), to, size), 0);
    const host::Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(server.open());
    setsockopt(server.get(), SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    ASSERT_EQ(send(client.get(), "hello", 5, 0), 5);
    std::array<char, 8> heard{};
    ASSERT_EQ(recv(server.get(), heard.data(), heard.size(), 0), 5);
  }

  std::unique_ptr<AllNamespacesLog> all_;
  std::unique_ptr<Box> box_;
  std::string folder_;
};

TEST_P(ClassicTest, OneConnectionThroughRsyslogMeetsEveryRuleWhoseCounterMoved) {
  // The kernel's buffer holds other runs' lines too: this port is ours alone.
  const auto port = static_cast<std::uint16_t>(
      20'000 +
      (getpid() * 7 + std::chrono::steady_clock::now().time_since_epoch().count() / 1'000'000) % 10'000);
  const bool v6 = GetParam() == AF_INET6;
  const std::string client = v6 ? "fd09::2" : "10.9.0.2", tool = v6 ? "ip6tables-legacy" : "iptables-legacy";
  ASSERT_EQ(host::set_logger(GetParam(), v6 ? "nf_log_ipv6" : "nf_log_ipv4"), 0);
  const std::string dport = fmt::format("-p tcp --dport {}", port),
                    sport = fmt::format("-p tcp --sport {}", port);
  const std::string made = Box::run(fmt::format(
      "set -e; i() {{ {2} -w 10 \"$@\"; }};"
      "i -t raw -I PREROUTING 1 {0} -j TRACE; i -t raw -I OUTPUT 1 {1} -j TRACE;"
      "i -t raw -A PREROUTING {0} -j ACCEPT;"
      "i -t mangle -A PREROUTING {0} -j MARK --set-mark 7;"
      "i -t mangle -A POSTROUTING {1} -m comment --comment 'out again' -j DSCP --set-dscp 8;"
      "i -N checks; i -N never; i -A checks -s {3} -j DROP; i -A checks {0} --syn; i -A checks {0} -j RETURN;"
      "i -A never -j DROP;"
      "i -A INPUT -s {3} -j never; i -A INPUT {0} -j checks;"
      "i -A INPUT {0} -m comment --comment 'the service' -j ACCEPT; i -A INPUT -p tcp -j DROP;"
      "i -A OUTPUT {1} -j ACCEPT; i -A OUTPUT -p tcp -j REJECT",
      dport, sport, tool, v6 ? "2001:db8::1" : "192.0.2.1"));
  ASSERT_EQ(made, "") << "the rules cannot be made";
  const Rsyslog rsyslog(folder_);
  connect_once(port);
  std::this_thread::sleep_for(100ms);  // both FINs

  const std::string save = Box::run(tool + "-save -c");
  const Counts counted = read_counters(save);
  ASSERT_GE(counted.size(), 8U) << save;

  // The log comes by rsyslog's own time; what it wrote is enough once every packet is in it.
  Explained explained;
  for (int i = 0; i < 100; ++i) {
    explained = explain(folder_ + "/kern.log", "live", fmt::format("-s {} {}", client, dport));
    const Explained back = explain(folder_ + "/kern.log", "live", fmt::format("-d {} {}", client, sport));
    for (const auto& [rule, packets] : back.steps) explained.steps[rule] += packets;
    for (const auto& [verdict, packets] : back.verdicts) explained.verdicts[verdict] += packets;
    explained.without_text.insert(explained.without_text.end(), back.without_text.begin(),
                                  back.without_text.end());
    explained.starts_late += back.starts_late;
    if (explained.steps == counted) break;
    ASSERT_TRUE(rsyslog.runs()) << host::read_proc(folder_ + "/said").value_or("");
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_EQ(print(explained.steps), print(counted))
      << "rsyslog said: " << host::read_proc(folder_ + "/said").value_or("")
      << Box::run("tail -3 " + folder_ + "/kern.log");
  EXPECT_TRUE(explained.without_text.empty()) << explained.without_text.front();
  EXPECT_EQ(explained.starts_late, 0);
  // SYN, ACK, hello, FIN, ACK came in; SYN-ACK, ACK, FIN went out; some of these in one packet.
  EXPECT_GE(explained.verdicts["delivered"], 3);
  EXPECT_GE(explained.verdicts["sent"], 2);
  EXPECT_EQ(explained.verdicts.size(), 2U) << "a verdict other than delivered and sent";
}

INSTANTIATE_TEST_SUITE_P(Families, ClassicTest, testing::Values(AF_INET, AF_INET6),
                         [](const auto& family) { return family.param == AF_INET ? "IPv4" : "IPv6"; });

}  // namespace
}  // namespace fwtrace::live
