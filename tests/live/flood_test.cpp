// More packets than can be read: the program as a person runs it, beside a sender that numbers its packets.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "live/box.h"
#include "live/tracing_run.h"

namespace fwtrace::live {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// Waits at most ten seconds.
template <class Done>
bool wait_until(Done done) {
  const auto end = Clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Each packet has an IP id and a source port that no other has.
class Numbered {
 public:
  explicit Numbered(const Box& box) : socket_(box.neighbour_socket(AF_INET, SOCK_RAW, IPPROTO_RAW)) {}

  void send(int count) {
    struct {
      iphdr ip{};
      udphdr udp{};
    } packet;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    inet_pton(AF_INET, "10.8.0.2", &to.sin_addr);
    inet_pton(AF_INET, "10.9.0.2", &packet.ip.saddr);
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.tot_len = htons(sizeof packet);
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_UDP;
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.udp.dest = htons(53);
    packet.udp.len = htons(sizeof packet.udp);
    for (int i = 0; i < count; ++i, ++sent_) {
      packet.ip.id = htons(static_cast<std::uint16_t>(1 + sent_ % kIds));
      packet.udp.source = htons(static_cast<std::uint16_t>(1024 + sent_ / kIds));
      sendto(socket_.get(), &packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    }
  }
  int sent() const { return sent_; }

 private:
  static constexpr int kIds = 60'000;
  host::Fd socket_;
  int sent_ = 0;
};

class Program {
 public:
  // `output`: where it writes to; -1: the file out().
  explicit Program(const std::vector<std::string>& words, int output = -1) {
    std::string name = (std::filesystem::temp_directory_path() / "fwtrace-flood-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    const int out = output >= 0 ? output : open(out_path().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    const int err = open(err_path().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (out < 0 || err < 0) {
      ADD_FAILURE() << "no file in " << folder_;
      return;
    }
    std::vector<const char*> args{FWTRACE_PROGRAM};
    for (const std::string& word : words) args.push_back(word.c_str());
    args.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out, STDOUT_FILENO);
      dup2(err, STDERR_FILENO);
      execv(FWTRACE_PROGRAM, const_cast<char**>(args.data()));
      _exit(127);
    }
    if (output < 0) close(out);
    close(err);
    EXPECT_TRUE(wait_until([&] { return err_text().find("stops after") != std::string::npos; }))
        << err_text();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  void signal(int number) const { kill(pid_, number); }
  // Its exit code, or -1: it had to be killed, or was.
  int end() {
    int status = 0;
    if (!wait_until([&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string out_path() const { return folder_ + "/out"; }
  std::string err_path() const { return folder_ + "/err"; }
  std::string err_text() const { return read_file(err_path()); }
  pid_t pid() const { return pid_; }

 private:
  std::string folder_;
  pid_t pid_ = -1;
};

const std::vector<std::string> kFlood = {"-p",     "udp",     "--dport", "53", "--one-way",
                                         "--rate", "1000000", "-c",      "0",  "--json"};

std::string make_rules() {
  return Box::run(
      "set -e; for i in 1 2 3; do iptables-legacy -A FORWARD -p udp -m comment --comment \"rule $i\"; done;"
      "nft add table inet t; nft add chain inet t f '{ type filter hook forward priority 10; }';"
      "nft add rule inet t f udp dport 53 counter; nft add rule inet t f udp dport 53 accept");
}

std::string place_of(const json& step) {
  return step.value("hook", "") + " " + step.value("dialect", "") + " " +
         step.value("table", "").substr(0, 7) + " " + step.value("chain", "") + " " + step.value("kind", "") +
         " " + std::to_string(step.value("rule", 0)) + "/" + std::to_string(step.value("handle", 0));
}

struct Shown {
  std::map<std::pair<int, int>, int> packets;  // by IP id and source port: journeys
  std::vector<std::string> way;                // of the first packet, which is alone
  int whole = 0, whole_marked = 0, partly = 0, partly_unmarked = 0;
  bool first_marked = true, last_marked = true;
  std::string example;
  json summary;
};

Shown read_shown(const std::string& path) {
  Shown shown;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const json object = json::parse(line, nullptr, false);
    if (object.is_discarded()) {
      ADD_FAILURE() << "not JSON: " << line.substr(0, 200);
      continue;
    }
    if (object.contains("summary")) shown.summary = object["summary"];
    if (!object.contains("journey")) continue;
    const json& journey = object["journey"];
    const json& form = journey["forms"][0];
    ++shown.packets[{form.value("id", -1), form.value("sport", -1)}];
    std::vector<std::string> way;
    for (const json& step : journey["steps"]) way.push_back(place_of(step));
    const bool marked = journey.value("overlaps_loss", false);
    if (shown.way.empty()) shown.way = way, shown.first_marked = marked;
    shown.last_marked = marked;
    const bool whole = way == shown.way;
    (whole ? shown.whole : shown.partly) += 1;
    if (whole && marked) ++shown.whole_marked;
    if (!whole && !marked) {
      ++shown.partly_unmarked;
      if (shown.example.empty()) shown.example = line;
    }
  }
  return shown;
}

TEST(Flood, EveryPacketIsAccountedFor) {
  std::string why;
  const auto box = Box::make(why);
  ASSERT_TRUE(box) << why;
  ASSERT_EQ(make_rules(), "");
  Numbered sender(*box);
  Program program(kFlood);
  sender.send(1);
  ASSERT_TRUE(wait_until([&] { return std::filesystem::file_size(program.out_path()) > 0; }));

  // It does not read while its queue runs over, and then reads while more comes than it can take: holes of all sizes.
  program.signal(SIGSTOP);
  sender.send(8'000);
  program.signal(SIGCONT);
  sender.send(8'000);
  program.signal(SIGSTOP);
  sender.send(8'000);
  program.signal(SIGCONT);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  sender.send(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  program.signal(SIGINT);
  EXPECT_EQ(program.end(), 0) << program.err_text();

  const Shown shown = read_shown(program.out_path());
  ASSERT_TRUE(shown.summary.is_object());
  const json& live = shown.summary["live"];
  const auto armed = live.value("armed", 0), from_start = live.value("seen_from_start", 0),
             without = live.value("seen_without_start", 0), lost = live.value("wholly_lost", 0);
  std::printf(
      "%d sent, %d armed, %d events lost; %zu shown: %d whole (%d of them marked), %d partly; %d wholly lost\n",
      sender.sent(), armed, shown.summary["lost"].value("events", 0), shown.packets.size(), shown.whole,
      shown.whole_marked, shown.partly, lost);
  EXPECT_GT(shown.summary["lost"].value("events", 0), 0) << "nothing ran over: this tests nothing";
  EXPECT_GT(shown.partly, 0);
  EXPECT_EQ(armed, from_start + without + lost);
  EXPECT_LE(armed, sender.sent());
  // By our own numbers: what was shown are that many different packets, each one once.
  EXPECT_EQ(static_cast<int>(shown.packets.size()), armed - lost);
  const auto twice = std::ranges::count_if(shown.packets, [](const auto& one) { return one.second != 1; });
  EXPECT_EQ(twice, 0);
  EXPECT_EQ(shown.partly_unmarked, 0) << shown.example;
  EXPECT_LT(shown.whole_marked * 10, shown.whole) << "only what was near the hole";
  EXPECT_FALSE(shown.first_marked);
  EXPECT_FALSE(shown.last_marked);
  EXPECT_NE(program.err_text().find("events were lost, so at most 500,000 packets a second are traced"),
            std::string::npos)
      << program.err_text();
}

// Processes of ours in this network namespace, but for the test itself.
std::vector<std::string> find_processes() {
  std::vector<std::string> found;
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/ns/net", error);
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos || name == std::to_string(getpid()))
      continue;
    if (std::filesystem::read_symlink(entry.path() / "ns/net", error) != here || error) continue;
    const std::string comm = read_file(entry.path() / "comm");
    if (comm.starts_with("fwtrace")) found.push_back(name + " " + comm);
  }
  return found;
}

class FloodEnd : public testing::TestWithParam<int> {};

// 0: a pipe whose reader goes away.
TEST_P(FloodEnd, LeavesNothing) {
  std::string why;
  const auto box = Box::make(why);
  ASSERT_TRUE(box) << why;
  ASSERT_EQ(make_rules(), "");
  const auto without_counters = [] {
    return Box::run(
        "nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'; cat /proc/net/netfilter/nf_log");
  };
  const std::string before = without_counters();
  std::atomic<bool> more = true;
  Numbered sender(*box);
  int ends[2] = {-1, -1};
  if (GetParam() == 0) {
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  }
  Program program(kFlood, ends[1]);
  if (ends[1] >= 0) close(ends[1]);
  const pid_t pid = program.pid();
  std::thread flood([&] {
    while (more && sender.sent() < 100'000) sender.send(50);
  });
  if (GetParam() == 0) {
    char some[4096];
    for (int i = 0; i < 3; ++i) EXPECT_GT(read(ends[0], some, sizeof some), 0);
    close(ends[0]);
  } else {
    EXPECT_TRUE(wait_until([&] { return std::filesystem::file_size(program.out_path()) > 0; }));
    program.signal(GetParam());
  }
  EXPECT_EQ(program.end(), 0) << program.err_text();
  more = false;
  flood.join();
  if (GetParam() != 0) {
    const Shown shown = read_shown(program.out_path());
    ASSERT_TRUE(shown.summary.is_object());
    const json& live = shown.summary["live"];
    EXPECT_EQ(live.value("armed", 0), live.value("seen_from_start", 0) + live.value("seen_without_start", 0) +
                                          live.value("wholly_lost", 0));
    EXPECT_EQ(static_cast<int>(shown.packets.size()), live.value("armed", 0) - live.value("wholly_lost", 0));
    EXPECT_EQ(shown.partly_unmarked, 0) << shown.example;
  }
  EXPECT_EQ(without_counters(), before);
  EXPECT_TRUE(wait_until([] { return find_processes().empty(); })) << find_processes().front();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/run/fwtrace", error))
    EXPECT_EQ(entry.path().string().find(std::to_string(pid)), std::string::npos) << entry.path();
}

INSTANTIATE_TEST_SUITE_P(Ways, FloodEnd, testing::Values(SIGINT, SIGTERM, SIGHUP, 0), [](const auto& way) {
  switch (way.param) {
    case SIGINT: return "CtrlC";
    case SIGTERM: return "Terminated";
    case SIGHUP: return "HungUp";
    default: return "ClosedPipe";
  }
});

}  // namespace
}  // namespace fwtrace::live
