// Listener: drains the one socket on which all events of live tracing arrive.
//
// What costs the traced packet most is waking a reader that sleeps in poll() (measured: 15 us a packet). So while
// events flow the listener does not wait for them: it sleeps a few milliseconds and takes all there are, into a buffer
// of 64 MiB; only after a quiet time does it block in poll().
//
// Losses are counted exactly, by the socket's own counter (SO_MEMINFO); an nft trace message has no sequence number.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "host/arm.h"
#include "host/fd.h"
#include "host/netlink_socket.h"

namespace fwtrace::host {

// Makes the socket the listener of NFLOG group 0: packets are copied up to `copy_bytes`, with sequence numbers.
enum class Group0 : std::uint8_t {
  Ours,
  Taken,
  Absent
};  // Taken: somebody listens; Absent: the kernel has no NFLOG
base::Result<Group0> bind_group0(NetlinkSocket& socket, std::uint32_t copy_bytes = 128);
// Makes the socket a member of the nft trace group. False: this kernel has none (before 4.6).
bool join_nft_trace(NetlinkSocket& socket);

// SIGINT, SIGTERM and SIGHUP as something that poll() wakes for. They are blocked in the calling thread, so make it
// before other threads; what was blocked before is restored at the end.
class StopSignals {
 public:
  static base::Result<StopSignals> open();
  StopSignals(StopSignals&&) noexcept = default;
  StopSignals& operator=(StopSignals&&) = delete;
  ~StopSignals();
  int fd() const { return fd_.get(); }
  int take();  // the number of a signal that came; 0 = none

 private:
  StopSignals() = default;
  Fd fd_;
  std::vector<std::uint8_t> old_mask_;
};

struct ListenerPace {
  std::chrono::milliseconds nap{3};     // between drains, while events flow
  std::chrono::milliseconds quiet{50};  // without events: then poll()
  std::chrono::milliseconds tick{100};  // Receiver::tick is called at least this often
  std::chrono::milliseconds soon{10};   // or this, while Receiver::waits
};

class Listener {
 public:
  using Clock = std::chrono::steady_clock;
  struct Receiver {
    // One datagram as it came: netlink messages of NFLOG or nft trace. Valid during the call.
    std::function<void(std::span<const std::uint8_t>)> datagram;
    // That many messages were lost, all of them after the datagrams given so far or among those still queued.
    std::function<void(std::uint64_t)> lost;
    // The datagrams between hole(true) and hole(false) are those among which, or right before or behind which, the lost
    // ones are missing. After an overrun the kernel queues nothing more until all of its queue has been read (net/netlink:
    // NETLINK_S_CONGESTED), so the hole is where the queue runs empty.
    std::function<void(bool)> hole = {};
    // After each drain and each tick; false ends run().
    std::function<bool(Clock::time_point)> tick;
    // The kernel said no to a refresh of the dead man's switch (errno); the next one comes all the same.
    std::function<void(int)> refresh_failed;
    // Another source of events, drained as often as the socket; how many it gave. See also_listen_to().
    std::function<std::size_t()> other = {};
    // Does something wait for the time alone, without an event?
    std::function<bool()> waits = {};
  };

  // `arming` may be null (nothing to refresh). `wake` is a descriptor that ends a sleep, such as StopSignals::fd();
  // -1 = none; it is for tick() to look at it.
  Listener(NetlinkSocket& socket, Arming* arming, int wake, ListenerPace pace = {});

  void run(const Receiver& receiver);
  void stop_refreshing() { arming_ = nullptr; }  // it is disarmed
  // The descriptor of Receiver::other: a sleep ends when it is readable.
  void also_listen_to(int fd) { other_ = fd; }
  // One drain, without waiting: how many datagrams there were. `run` is this in a loop.
  std::size_t drain(const Receiver& receiver);

  std::uint64_t lost() const { return lost_; }
  std::uint64_t datagrams() const { return datagrams_; }

 private:
  void give(const Receiver& receiver, std::span<const std::uint8_t> datagram);
  void count_losses(const Receiver& receiver);
  bool passed_hole(std::size_t got);
  void sleep(bool flowing, Clock::time_point until) const;

  NetlinkSocket& socket_;
  Arming* arming_;
  int wake_, other_ = -1;
  ListenerPace pace_;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t lost_ = 0, datagrams_ = 0;
  std::uint32_t drops_seen_ = 0;
  bool hole_ahead_ = false;
  std::uint64_t queued_ = 0;  // bytes, when last asked
};

}  // namespace fwtrace::host
