// The parts of bench/live that a shell cannot do. Runs in the network namespace that it is started in.
//
//   send TO PORT RATE SECONDS    paced UDP on core 0 (raw sockets, each packet with an IP id and a source port of its
//                                own): prints "packets elapsed_s in_line_us", the last the median time of a send
//   count                        the bare counter: NFLOG group 0 and the nft trace group on one socket of 64 MiB,
//                                every message counted and nothing else done; on SIGINT: "messages lost"
//   measure FILE COMMAND...      runs it; SIGUSR1 writes "user_s system_s" so far of its processes to FILE
//   first COMMAND...             runs it, sends 200 packets a second meanwhile, prints the ms from its start to the first byte
//                                of its output and its peak KiB, and stops it with SIGINT

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/sock_diag.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

void sleep_until(double when) {
  const double left = when - now();
  if (left <= 0) return;
  const timespec t{static_cast<time_t>(left),
                   static_cast<long>((left - static_cast<double>(static_cast<time_t>(left))) * 1e9)};
  nanosleep(&t, nullptr);
}

// Packets that differ as those of many flows do: the grouping of a reader sees neither one flow nor one IP id.
class Sender {
 public:
  Sender(const char* to, int port) {
    fd_ = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd_ < 0) fail("raw socket");
    to_.sin_family = AF_INET;
    inet_pton(AF_INET, to, &to_.sin_addr);
    for (std::size_t i = 0; i < kMost; ++i) {
      Packet& p = packets_[i];
      p.ip.version = 4;
      p.ip.ihl = 5;
      p.ip.tot_len = htons(sizeof(Packet));
      p.ip.ttl = 64;
      p.ip.protocol = IPPROTO_UDP;
      p.ip.daddr = to_.sin_addr.s_addr;
      p.udp.dest = htons(static_cast<std::uint16_t>(port));
      p.udp.len = htons(sizeof(udphdr) + sizeof p.data);
      places_[i] = {.iov_base = &p, .iov_len = sizeof p};
      messages_[i].msg_hdr = {.msg_name = &to_,
                              .msg_namelen = sizeof to_,
                              .msg_iov = &places_[i],
                              .msg_iovlen = 1,
                              .msg_control = nullptr,
                              .msg_controllen = 0,
                              .msg_flags = 0};
    }
  }

  static constexpr std::size_t kMost = 256;
  void send(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Packet& p = packets_[i];
      ++sent_;
      p.ip.id = htons(static_cast<std::uint16_t>(sent_ % 65'535 + 1));
      p.udp.source = htons(static_cast<std::uint16_t>(1024 + sent_ % 50'021));
    }
    for (std::size_t done = 0; done < count;) {
      const int n = sendmmsg(fd_, &messages_[done], static_cast<unsigned>(count - done), 0);
      if (n < 0) fail("sendmmsg");
      done += static_cast<std::size_t>(n);
    }
  }
  std::uint64_t sent() const { return sent_; }

 private:
  struct Packet {
    iphdr ip{};
    udphdr udp{};
    std::array<char, 16> data{};
  };
  int fd_ = -1;
  sockaddr_in to_{};
  std::array<Packet, kMost> packets_;
  std::array<iovec, kMost> places_{};
  std::array<mmsghdr, kMost> messages_{};
  std::uint64_t sent_ = 0;
};

int send(char** args) {
  cpu_set_t core;
  CPU_ZERO(&core);
  CPU_SET(0, &core);
  sched_setaffinity(0, sizeof core, &core);
  Sender sender(args[0], std::atoi(args[1]));
  const double rate = std::atof(args[2]), seconds = std::atof(args[3]);
  const auto total = static_cast<std::uint64_t>(rate * seconds);
  // Alone up to 4,000 a second; above that in bursts, one each millisecond.
  const double step = rate <= 4000 ? 1 / rate : 0.001;
  std::vector<double> took;
  took.reserve(1U << 16);
  const double begun = now();
  for (std::uint64_t turn = 0; sender.sent() < total; ++turn) {
    sleep_until(begun + static_cast<double>(turn) * step);
    const double due = (now() - begun) * rate + 1 - static_cast<double>(sender.sent());
    auto count = rate <= 4000 ? std::size_t{1} : static_cast<std::size_t>(std::max(due, 1.0));
    count = std::min({count, Sender::kMost, static_cast<std::size_t>(total - sender.sent())});
    const double before = now();
    sender.send(count);
    took.push_back((now() - before) / static_cast<double>(count));
  }
  const double elapsed = now() - begun;
  std::nth_element(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2), took.end());
  std::printf("%llu %.3f %.3f\n", static_cast<unsigned long long>(sender.sent()), elapsed,
              took[took.size() / 2] * 1e6);
  return 0;
}

volatile sig_atomic_t stopped = 0, asked = 0;
void on_stop(int) { stopped = 1; }
void on_ask(int) { asked = 1; }
void handle(int number, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;  // without SA_RESTART: a recv() ends
  sigaction(number, &action, nullptr);
}

void bind_group0(mnl_socket* socket) {
  alignas(nlmsghdr) std::array<char, 1024> buffer{};
  const auto head = [&] {
    buffer.fill(0);
    nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
    header->nlmsg_flags = NLM_F_REQUEST;
    mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg));
    return header;
  };
  nlmsghdr* header = head();
  const nfulnl_msg_config_cmd bind{.command = NFULNL_CFG_CMD_BIND};
  mnl_attr_put(header, NFULA_CFG_CMD, sizeof bind, &bind);
  if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0) fail("group 0");
  header = head();
  nfulnl_msg_config_mode mode{};
  mode.copy_range = htonl(128);
  mode.copy_mode = NFULNL_COPY_PACKET;
  mnl_attr_put(header, NFULA_CFG_MODE, sizeof mode, &mode);
  const std::uint16_t flags = htons(NFULNL_CFG_F_SEQ);
  mnl_attr_put(header, NFULA_CFG_FLAGS, sizeof flags, &flags);
  if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0) fail("copy range");
}

int count(bool legacy) {
  handle(SIGINT, on_stop);
  handle(SIGTERM, on_stop);
  mnl_socket* socket = mnl_socket_open(NETLINK_NETFILTER);
  if (socket == nullptr || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) fail("netfilter socket");
  const int fd = mnl_socket_get_fd(socket);
  const int size = 32 << 20;  // the kernel doubles it
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (legacy) bind_group0(socket);
  const int group = NFNLGRP_NFTRACE;
  if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) fail("nft trace group");
  std::array<char, 8192> buffer;
  unsigned long long messages = 0;
  std::puts("ready");
  std::fflush(stdout);
  while (!stopped) {
    const ssize_t got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (got < 0) continue;  // a signal, or an overrun
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (int left = static_cast<int>(got); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
      messages += message->nlmsg_type >= NLMSG_MIN_TYPE ? 1 : 0;
  }
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t length = sizeof info;
  getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &length);
  std::printf("%llu %u\n", messages, info[SK_MEMINFO_DROPS]);
  return 0;
}

// "user system", in seconds: of the process itself and of those that it waited for.
void write_times(pid_t child, const char* file) {
  std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
  std::string text;
  std::getline(stat, text);
  text.erase(0, std::min(text.rfind(')'), text.size()));
  std::array<double, 4> ticks{};
  if (std::sscanf(text.c_str(), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lf %lf %lf %lf", &ticks[0],
                  &ticks[1], &ticks[2], &ticks[3]) != 4)
    return;
  const auto hertz = static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::string fresh = std::string(file) + ".new";
  if (FILE* out = std::fopen(fresh.c_str(), "w")) {
    std::fprintf(out, "%.3f %.3f\n", (ticks[0] + ticks[2]) / hertz, (ticks[1] + ticks[3]) / hertz);
    std::fclose(out);
    std::rename(fresh.c_str(), file);
  }
}

int measure(char** args) {
  handle(SIGUSR1, on_ask);
  handle(SIGINT, on_stop);
  const pid_t child = fork();
  if (child == 0) {
    execvp(args[1], args + 1);
    fail(args[1]);
  }
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(child, &status, 0);
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (std::exchange(asked, 0)) write_times(child, args[0]);
    if (std::exchange(stopped, 0)) kill(child, SIGINT);
  }
}

int first(char** args) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) fail("pipe");
  Sender sender("10.7.0.2", 9);
  const double begun = now();
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execvp(args[0], args);
    fail(args[0]);
  }
  close(ends[1]);
  double shown = -1;
  while (now() - begun < 30) {
    sender.send(1);
    pollfd ready{.fd = ends[0], .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 5) <= 0) continue;
    shown = now() - begun;
    break;
  }
  kill(child, SIGINT);
  // It may still want to write its summary.
  std::array<char, 65536> buffer;
  while (read(ends[0], buffer.data(), buffer.size()) > 0) {
  }
  rusage used{};
  wait4(child, nullptr, 0, &used);
  std::printf("%.0f %ld\n", shown * 1e3, used.ru_maxrss);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "send" && argc == 6) return send(argv + 2);
  if (what == "count" && argc == 2) return count(true);
  if (what == "count-nft" && argc == 2) return count(false);
  if (what == "measure" && argc > 3) return measure(argv + 2);
  if (what == "first" && argc > 2) return first(argv + 2);
  std::fprintf(stderr, "usage: see the top of bench/live_tool.cpp\n");
  return 2;
}
