// NetlinkSocket: one NETLINK_NETFILTER socket, and the kernel's answers on it.
//
// The same socket owns our nft table, listens to NFLOG group 0 and is a member of the nft trace group, so that all
// events stand in one queue, in the order in which they happened. Answers to our own requests arrive in that queue
// too: transact() keeps the events that it meets while it waits, and take_pending() gives them back.
//
// It is close-on-exec: a child that kept it open would keep our table alive after our death.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/fd.h"

namespace fwtrace::host {

// Messages to be sent in one datagram; each can have a label for errors.
class NetlinkRequest {
 public:
  explicit NetlinkRequest(std::uint32_t first_sequence) : sequence_(first_sequence) {}

  // The place for the next message (kRoom bytes), and its sequence number. `label` says what it does, for errors.
  static constexpr std::size_t kRoom = 8192;
  char* next(std::string label);
  std::uint32_t sequence() const { return sequence_ - 1; }  // of the last message
  void finish();                                            // the last message is complete: take its length
  void begin_batch();  // nfnetlink: what follows succeeds or fails as one
  void end_batch();

  struct Label {
    std::uint32_t sequence = 0;
    std::string text;
    bool answered = false;  // the kernel is asked to acknowledge it
  };
  std::span<const char> bytes() const { return {buffer_.data(), used_}; }
  std::vector<Label>& labels() { return labels_; }
  std::uint32_t next_sequence() const { return sequence_; }

 private:
  std::vector<char> buffer_;
  std::size_t used_ = 0;
  std::uint32_t sequence_;
  std::vector<Label> labels_;
};

// What the kernel said to a request: nothing wrong, or the first thing it refused.
struct Answer {
  int error = 0;      // errno; 0 = done
  std::string label;  // of the message that was refused
  bool ok() const { return error == 0; }
};

class NetlinkSocket {
 public:
  static base::Result<NetlinkSocket> open();

  int fd() const { return fd_.get(); }
  std::uint32_t port() const { return port_; }
  NetlinkRequest request() { return NetlinkRequest(next_sequence_); }

  // Sends and waits (at most two seconds) until every message that asks for it is acknowledged. Replies that are no
  // acknowledgements go to `reply`, if given; foreign datagrams are kept for take_pending().
  Answer transact(NetlinkRequest& request, const std::function<void(const void* message)>& reply = {});
  // Sends only. The listener will see the acknowledgements.
  int send(NetlinkRequest& request);

  std::deque<std::vector<std::uint8_t>> take_pending() { return std::move(pending_); }

  // 64 MiB if we may (SO_RCVBUFFORCE), else as much as the system allows. Returns what the kernel then says.
  std::size_t grow_buffer(std::size_t bytes);
  std::uint64_t queued_bytes() const;  // what the queue is charged for now (SO_MEMINFO)
  std::uint64_t drops() const;  // messages that the kernel could not queue since open(): SO_MEMINFO, exact

 private:
  Fd fd_;
  std::uint32_t port_ = 0;
  std::uint32_t next_sequence_ = 1;
  std::deque<std::vector<std::uint8_t>> pending_;
};

}  // namespace fwtrace::host
