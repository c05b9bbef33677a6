#include "live/town.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "host/proc.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::optional<host::NetworkNamespace> make_namespace(const host::NetworkNamespace& home) {
  if (unshare(CLONE_NEWNET) != 0) return std::nullopt;
  auto made = host::NetworkNamespace::current();
  if (setns(home.fd(), CLONE_NEWNET) != 0 || !made) return std::nullopt;
  return std::move(*made);
}

sockaddr_storage place(const std::string& address, std::uint16_t port, bool v6, socklen_t& length) {
  sockaddr_storage at{};
  if (v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    inet_pton(AF_INET6, address.c_str(), &in.sin6_addr);
    std::memcpy(&at, &in, length = sizeof in);
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    inet_pton(AF_INET, address.c_str(), &in.sin_addr);
    std::memcpy(&at, &in, length = sizeof in);
  }
  return at;
}

void be_patient(const host::Fd& socket) {
  const timeval second{.tv_sec = 1, .tv_usec = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
}

}  // namespace

std::unique_ptr<Town> Town::make(std::string& why) {
  std::unique_ptr<Town> town(new Town);
  town->box_ = Box::make(why);
  if (!town->box_) return nullptr;
  const auto router = host::NetworkNamespace::current();
  if (!router) return why = router.error().message, nullptr;
  town->server_ = make_namespace(*router);
  town->guest_ = make_namespace(*router);
  if (!town->server_ || !town->guest_) return why = "no more network namespaces can be made here", nullptr;
  std::string said = Box::run(
      "set -e; ip link add virbr1 address 02:00:00:00:07:01 type bridge; ip addr add 10.7.0.1/24 dev virbr1;"
      "ip addr add fd07::1/64 dev virbr1 nodad; ip link set virbr1 up");
  // Everybody knows each other already: discovery would come in between.
  int number = 0;
  for (const auto* of : {&town->server_, &town->guest_}) {
    said +=
        Box::run(fmt::format("set -e; ip link add vm{0} type veth peer name eth0 netns /proc/{1}/fd/{2};"
                             "ip link set vm{0} master virbr1; ip link set vm{0} up;"
                             "for a in 10.7.0.{3} fd07::{3}; do"
                             " ip neigh add $a lladdr 02:00:00:00:07:0{3} dev virbr1; done",
                             number, getpid(), (*of)->fd(), number + 2));
    const auto inside = host::EnterNamespace::enter(**of);
    said +=
        Box::run(fmt::format("set -e; ip link set lo up; ip addr add 10.7.0.{0}/24 dev eth0;"
                             "ip link set eth0 address 02:00:00:00:07:0{0};"
                             "ip addr add fd07::{0}/64 dev eth0 nodad; ip link set eth0 up;"
                             "for n in 1 {1}; do for a in 10.7.0.$n fd07::$n; do"
                             " ip neigh add $a lladdr 02:00:00:00:07:0$n dev eth0; done; done;"
                             "ip route add default via 10.7.0.1; ip -6 route add default via fd07::1",
                             number + 2, 3 - number));
    ++number;
  }
  if (!said.empty()) return why = "the town cannot be set up: " + said, nullptr;
  return town;
}

std::string Town::address(Who who, bool v6) {
  switch (who) {
    case Who::Router: return v6 ? "fd09::1" : "10.9.0.1";
    case Who::Client: return v6 ? "fd09::2" : "10.9.0.2";
    case Who::Server: return v6 ? "fd07::2" : "10.7.0.2";
    case Who::Guest: return v6 ? "fd07::3" : "10.7.0.3";
  }
  return "";
}

bool Town::filter_bridge() {
  return Box::run("sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1")
      .empty();
}

host::Fd Town::socket(Who who, int domain, int type) const {
  const auto make = [&] { return host::Fd(::socket(domain, type | SOCK_CLOEXEC, 0)); };
  if (who == Who::Router) return make();
  const auto inside = host::EnterNamespace::enter(who == Who::Client   ? box_->neighbour()
                                                  : who == Who::Server ? *server_
                                                                       : *guest_);
  return make();
}

bool Town::connect(const Call& call, bool v6) const {
  const int domain = v6 ? AF_INET6 : AF_INET;
  const host::Fd listener = socket(call.listens, domain, SOCK_STREAM);
  const host::Fd caller = socket(call.from, domain, SOCK_STREAM);
  if (!listener.open() || !caller.open()) return false;
  be_patient(listener), be_patient(caller);
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t length = 0;
  const sockaddr_storage at = place(v6 ? "::" : "0.0.0.0", call.at, v6, length);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), length) != 0) return false;
  listen(listener.get(), 1);
  const sockaddr_storage to = place(call.to, call.port, v6, length);
  if (::connect(caller.get(), reinterpret_cast<const sockaddr*>(&to), length) != 0) return false;
  const host::Fd taken(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!taken.open()) return false;
  be_patient(taken);
  char byte = 'x';
  return send(caller.get(), &byte, 1, MSG_NOSIGNAL) == 1 && recv(taken.get(), &byte, 1, 0) == 1;
}

Traced::Traced(const std::string& words) {
  std::string name = (fs::temp_directory_path() / "fwtrace-live-XXXXXX").string();
  folder_ = mkdtemp(name.data());
  const std::string out = folder_ + "/out", err = folder_ + "/err";
  const std::string command = "exec " FWTRACE_PROGRAM " --json " + words;
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // it ends with us, however we end
  if (getppid() != parent) _exit(1);
  const int null = open("/dev/null", O_RDONLY), out_file = open(out.c_str(), O_WRONLY | O_CREAT, 0600),
            err_file = open(err.c_str(), O_WRONLY | O_CREAT, 0600);
  if (null < 0 || out_file < 0 || err_file < 0) _exit(126);
  dup2(null, 0);
  dup2(out_file, 1);
  dup2(err_file, 2);
  execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
  _exit(127);
}

Traced::~Traced() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (!folder_.empty()) fs::remove_all(folder_);
}

bool Traced::runs() {
  if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

bool Traced::armed() {
  for (int i = 0; i < 2000 && runs(); ++i) {
    // A notice may stand before the header.
    const std::string text = said();
    if (text.starts_with("fwtrace: tracing") || text.find("\nfwtrace: tracing") != std::string::npos)
      return true;
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

int Traced::stop(int quiet_ms) {
  std::error_code none;
  auto size = fs::file_size(folder_ + "/out", none);
  const auto patience = Clock::now() + 20s;
  for (auto changed = Clock::now(); runs() && Clock::now() < patience;) {
    std::this_thread::sleep_for(10ms);
    if (const auto now = fs::file_size(folder_ + "/out", none); now != size)
      size = now, changed = Clock::now();
    if (Clock::now() - changed > std::chrono::milliseconds(quiet_ms)) break;
  }
  if (runs()) kill(pid_, SIGINT);
  for (int i = 0; i < 2000 && runs(); ++i) std::this_thread::sleep_for(5ms);
  if (runs()) return -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
}

std::string Traced::said() const { return host::read_proc(folder_ + "/err").value_or(""); }

std::vector<nlohmann::json> Traced::lines(const char* kind) const {
  std::vector<nlohmann::json> found;
  std::string line;
  for (std::istringstream all(host::read_proc(folder_ + "/out").value_or("")); std::getline(all, line);) {
    auto object = nlohmann::json::parse(line, nullptr, false);
    if (object.is_object() && object.contains(kind)) found.push_back(std::move(object[kind]));
  }
  return found;
}
std::vector<nlohmann::json> Traced::journeys() const { return lines("journey"); }
nlohmann::json Traced::summary() const {
  const auto all = lines("summary");
  return all.size() == 1 ? all.front() : nlohmann::json();
}

}  // namespace fwtrace::live
