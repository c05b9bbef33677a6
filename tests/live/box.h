// Box: a network namespace of a live test's own, with a neighbour to send packets from. Made by unshare(2), gone with
// the test. Nothing of the machine's own network is touched.
//
//   neighbour 10.9.0.2, fd09::2 ── veth ── 10.9.0.1, fd09::1 box ── out0 10.8.0.1/24, fd08::1/64 (forwarded there)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/arm.h"
#include "host/fd.h"
#include "host/listener.h"
#include "host/namespace.h"
#include "host/netlink_socket.h"

namespace fwtrace::live {

class Box {
 public:
  // Nothing, with the reason in `why`, where this machine does not allow it.
  static std::unique_ptr<Box> make(std::string& why);
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;
  ~Box();

  // Runs a shell command in the box; its output, and "(exit N)" if it failed.
  static std::string run(const std::string& command);
  // A socket made in the neighbour.
  host::Fd neighbour_socket(int domain, int type, int protocol = 0) const;
  const host::NetworkNamespace& neighbour() const { return *neighbour_; }
  // UDP datagrams from the neighbour; with `size` over 1472 they are fragmented on the way.
  void send_udp(const std::string& to, std::uint16_t port, int count, std::size_t size = 16,
                std::uint16_t from_port = 4000) const;
  // One echo request (IPv4), and whether an answer came within a second. From the neighbour, or from the box.
  enum class From { Neighbour, Box };
  bool ping(From from, const std::string& to) const;

 private:
  Box() = default;
  std::optional<host::NetworkNamespace> before_, neighbour_;
};

// One event as the tests look at it.
struct Seen {
  bool legacy = false;
  std::string table, chain;  // nft; legacy: chain holds the prefix "raw:PREROUTING:policy:1"
  std::string text() const { return legacy ? "legacy " + chain : "nft " + table + ":" + chain; }
};
std::optional<Seen> read_seen(std::span<const std::uint8_t> datagram);

// Everything that live tracing holds: socket, group, table.
struct Live {
  std::unique_ptr<host::NetlinkSocket> socket;  // the arming refers to it
  host::Group0 group;
  host::Arming arming;
};
base::Result<std::unique_ptr<Live>> arm(const std::vector<std::string>& filter_words,
                                        host::ArmingLimits limits = {}, bool try_owner = true,
                                        bool bridge = false, bool replies = true);
base::Result<std::unique_ptr<Live>> arm(const host::ArmingPlan& plan, host::ArmingLimits limits = {},
                                        bool try_owner = true);
host::ArmingPlan plan(const std::vector<std::string>& filter_words, bool bridge = false, bool replies = true);

// Events that arrive until nothing came for `quiet_ms`.
std::vector<Seen> collect(Live& live, int quiet_ms = 60);
std::vector<std::string> texts(const std::vector<Seen>& events);

}  // namespace fwtrace::live
