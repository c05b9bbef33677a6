// What tests of host::Tracing share: a wish from filter words, a sender that still may send when rights were given up,
// and what was heard.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "host/tracing.h"
#include "live/box.h"

namespace fwtrace::live {

host::TracingWish wish(const std::vector<std::string>& filter_words);

// Sends UDP from the neighbour; made before tracing starts, which gives up the right to enter namespaces.
class Sender {
 public:
  Sender(const Box& box, const std::string& to, std::uint16_t port = 53);
  void send(int count) const;

 private:
  host::Fd socket_;
};

struct Heard {
  std::vector<std::string> events;
  std::string kernel_log;
  std::uint64_t lost = 0;
  std::size_t count(const std::string& event) const;
};
// Runs until nothing came for `quiet_ms`.
Heard listen(host::Tracing& tracing, int quiet_ms = 100);

// Runs `body` in a child, because starting to trace gives up capabilities for good. The test fails if a check in it does.
void in_child(const std::function<void()>& body);

// All that tracing may change, but for the binding of group 0, which lives as long as the socket.
std::string settings();
// With that binding.
std::string state();

}  // namespace fwtrace::live
