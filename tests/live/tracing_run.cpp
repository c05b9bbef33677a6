#include "live/tracing_run.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "packet/filter.h"

namespace fwtrace::live {

host::TracingWish wish(const std::vector<std::string>& filter_words) {
  auto taken = packet::take_filter(filter_words, {});
  EXPECT_TRUE(taken && taken->rest.empty());
  host::TracingWish wish;
  wish.arming.filter = taken->filter;
  return wish;
}

Sender::Sender(const Box& box, const std::string& to, std::uint16_t port) {
  const bool v6 = to.find(':') != std::string::npos;
  socket_ = box.neighbour_socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  const auto join = [&](const auto& address) {
    EXPECT_EQ(connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  };
  if (v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    inet_pton(AF_INET6, to.c_str(), &in.sin6_addr);
    join(in);
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    inet_pton(AF_INET, to.c_str(), &in.sin_addr);
    join(in);
  }
}

void Sender::send(int count) const {
  for (int i = 0; i < count; ++i) EXPECT_EQ(::send(socket_.get(), "fwtrace", 7, 0), 7);
}

std::size_t Heard::count(const std::string& event) const {
  return static_cast<std::size_t>(std::ranges::count(events, event));
}

Heard listen(host::Tracing& tracing, int quiet_ms) {
  using Clock = std::chrono::steady_clock;
  Heard heard;
  auto last = Clock::now();
  tracing.run({.datagram =
                   [&](std::span<const std::uint8_t> datagram) {
                     last = Clock::now();
                     if (const auto seen = read_seen(datagram)) heard.events.push_back(seen->text());
                   },
               .kernel_log =
                   [&](std::string_view text) {
                     last = Clock::now();
                     heard.kernel_log += text;
                   },
               .lost = [&](std::uint64_t more) { heard.lost += more; },
               .tick = [&] { return Clock::now() - last < std::chrono::milliseconds(quiet_ms); }});
  return heard;
}

void in_child(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "child ended with " << status;
}

std::string settings() {
  return Box::run(
      "nft list ruleset; save() { [ -r /proc/net/$2 ] || return; for t in $(sort /proc/net/$2); do"
      "  $1 -t $t | sed '/^#/d; s/\\[[0-9:]*\\]//'; done; };"
      "save iptables-legacy-save ip_tables_names; save ip6tables-legacy-save ip6_tables_names;"
      "cat /proc/net/netfilter/nf_log");
}

std::string state() { return settings() + Box::run("cat /proc/net/netfilter/nfnetlink_log"); }

}  // namespace fwtrace::live
