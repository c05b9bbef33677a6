// The listener under load: every event is received or counted as lost, and signals wake it.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "live/box.h"

namespace fwtrace::live {
namespace {

using namespace std::chrono_literals;
using Clock = host::Listener::Clock;

constexpr host::ArmingLimits kNoLimit{.rate = 1'000'000, .burst = 1'000'000};
// A forwarded packet tells of: start, after-conntrack, after-dnat, before-snat, left.
constexpr std::uint64_t kEventsOfOne = 5;

class ListenerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
  }
  std::unique_ptr<Box> box_;
};

// Listens until nothing came for a while.
struct Heard {
  std::uint64_t datagrams = 0, lost = 0;
  std::uint64_t losses_told = 0;
};
Heard listen(Live& live) {
  host::Listener listener(*live.socket, &live.arming, -1);
  Heard heard;
  auto last = Clock::now();
  listener.run({.datagram = [&](std::span<const std::uint8_t>) { last = Clock::now(); },
                .lost = [&](std::uint64_t more) { heard.losses_told += more; },
                .tick = [&](Clock::time_point now) { return now - last < 150ms; },
                .refresh_failed = [](int error) { ADD_FAILURE() << "refresh: " << error; }});
  heard.datagrams = listener.datagrams();
  heard.lost = listener.lost();
  return heard;
}

TEST_F(ListenerTest, NothingIsLostWithTheBigBuffer) {
  auto live = arm({"-p", "udp", "--dport", "53"}, kNoLimit, true, false, false);
  ASSERT_TRUE(live) << live.error().message;
  constexpr std::size_t kBuffer = std::size_t{64} << 20;
  if ((*live)->socket->grow_buffer(kBuffer) < kBuffer) GTEST_SKIP() << "SO_RCVBUFFORCE is refused here";
  std::thread sender([&] { box_->send_udp("10.8.0.2", 53, 20'000); });
  const Heard heard = listen(**live);
  sender.join();
  EXPECT_EQ((*live)->arming.counters()->armed, 20'000U);
  EXPECT_EQ(heard.datagrams, 20'000 * kEventsOfOne);
  EXPECT_EQ(heard.lost, 0U);
}

TEST_F(ListenerTest, WhatIsLostIsCountedExactly) {
  auto live = arm({"-p", "udp", "--dport", "53"}, kNoLimit, true, false, false);
  ASSERT_TRUE(live) << live.error().message;
  const int small = 64 << 10;
  setsockopt((*live)->socket->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  box_->send_udp("10.8.0.2", 53, 5'000);  // nobody reads: the buffer overflows
  const Heard heard = listen(**live);
  EXPECT_GT(heard.lost, 0U);
  EXPECT_EQ(heard.losses_told, heard.lost);
  EXPECT_EQ(heard.datagrams + heard.lost, (*live)->arming.counters()->armed * kEventsOfOne);
}

TEST_F(ListenerTest, ASignalWakesItAndIdlingCostsNothing) {
  auto live = arm({"-p", "udp"}, {}, true, false, false);
  ASSERT_TRUE(live) << live.error().message;
  auto stop = host::StopSignals::open();
  ASSERT_TRUE(stop) << stop.error().message;
  host::Listener listener(*(*live)->socket, &(*live)->arming, stop->fd());
  const pthread_t self = pthread_self();
  Clock::time_point sent;
  rusage before{}, after{};
  getrusage(RUSAGE_THREAD, &before);
  std::thread killer([&] {
    std::this_thread::sleep_for(550ms);
    sent = Clock::now();
    pthread_kill(self, SIGTERM);  // NOLINT(bugprone-bad-signal-to-kill-thread)
  });
  int number = 0;
  listener.run({.datagram = [](std::span<const std::uint8_t>) {},
                .lost = {},
                .tick = [&](Clock::time_point) { return (number = stop->take()) == 0; },
                .refresh_failed = {}});
  const auto woken = Clock::now();
  killer.join();
  getrusage(RUSAGE_THREAD, &after);
  EXPECT_EQ(number, SIGTERM);
  EXPECT_LT(woken - sent, 50ms);
  EXPECT_LT(after.ru_nvcsw - before.ru_nvcsw, 60) << "it sleeps in poll() when idle";
}

}  // namespace
}  // namespace fwtrace::live
