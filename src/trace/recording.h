// Recordings (-w FILE): everything that a live run read, so that `fwtrace explain FILE` tells the same journeys again.
//
// A recording is the line "fwtrace recording 1", then records, each of them
//
//   tag     4 letters
//   length  u32, bytes of what follows the 16 bytes of this header
//   time    i64, microseconds since 1970-01-01 UTC, when it was read; the smallest number: not known
//
// All numbers of ours are little-endian. What the kernel sent is kept as it came, and netlink's headers are in the byte
// order of that machine: the first record says which that was, and a machine of the other order refuses.
//
//   HEAD  names and values: which machine, which fwtrace, what was asked for; always the first record
//   LINK  u32 index, name: an interface, before the first datagram that speaks of it and when its name changes
//   PKTS  a netlink datagram: NFLOG's or nft's trace messages
//   KLOG  text of /dev/kmsg, where group 0 could not be had; any piece, lines may straddle records
//   LOSS  u64: so many messages did not fit into the socket; 0: the datagrams near which they are missing begin, or end
//   GENR  u32: what was queued has been read, and this was nft's generation of rules then (0: not known)
//   RULE  the rules as the machine's own tools printed them; a text that is as in the RULE before stands there only
//   DONE  names and values: why it ended, what the kernel counted; always the last record
//
// A reader leaves out a record whose tag it does not know. A recording without DONE was cut: that is said.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/names.h"
#include "base/output.h"
#include "base/result.h"
#include "base/stamp.h"
#include "trace/event.h"
#include "trace/log_reader.h"
#include "trace/netlink_events.h"

namespace fwtrace::trace {

// Names and values that the writer of a recording wants to give its reader; a name may come more than once.
using RecordedFacts = std::vector<std::pair<std::string, std::string>>;

struct RecordingHead {
  base::Stamp start;
  std::string version;                      // of the fwtrace that wrote it
  std::string host, kernel, machine;        // "router", "6.1.0-18-amd64", "x86_64"
  bool little_endian = is_little_endian();  // the machine's
  std::vector<std::string> words;           // the FILTER as typed
  RecordedFacts facts;

  static bool is_little_endian();  // of this machine
  bool operator==(const RecordingHead&) const = default;
};

// A ruleset::Capture in this room's words.
struct RecordedCapture {
  struct Listing {
    std::string command, text;
    bool operator==(const Listing&) const = default;
  };
  base::Stamp time;
  std::vector<Listing> listings;
  std::uint32_t generation_before = 0, generation_after = 0;
  std::uint64_t begun = 0;  // how many events had been read when it was begun; it was done where it stands
  std::vector<std::string> problems;
  bool operator==(const RecordedCapture&) const = default;
};

struct RecordingEnd {
  base::Stamp time;
  std::string stopped_by;                       // "Ctrl-C", "-c 20" …
  std::optional<std::uint64_t> matched, armed;  // packets, by the arming rules' counters
  std::uint64_t drops = 0;                      // messages that the socket lost
  RecordedFacts facts;
  bool operator==(const RecordingEnd&) const = default;
};

// Longest payload of a record; what says more of itself is damaged.
inline constexpr std::size_t kMaxDatagram = 256 * 1024;  // kernel: NFULNL_NLBUFSIZ_MAX is 128 KiB
inline constexpr std::size_t kMaxCapture = std::size_t{512} << 20;
inline constexpr std::size_t kMaxRecord = std::size_t{1} << 20;  // all others

class RecordingWriter {
 public:
  using Bytes = std::span<const std::uint8_t>;

  RecordingWriter(base::Output& out, const RecordingHead& head);
  RecordingWriter(const RecordingWriter&) = delete;
  RecordingWriter& operator=(const RecordingWriter&) = delete;
  ~RecordingWriter();  // flushes; without end() the recording is one that was cut

  void datagram(Bytes bytes, const base::Stamp& time);
  void kernel_log(std::string_view text, const base::Stamp& time);
  // The name of an interface; written once, and again when it changes. Told while a datagram is being read, that is
  // just behind datagram(), it is written before that datagram.
  void device(std::uint32_t index, std::string_view name, const base::Stamp& time);
  void loss(std::uint64_t messages, const base::Stamp& time);
  void generation(std::uint32_t generation, const base::Stamp& time);
  void capture(const RecordedCapture& capture);
  void end(const RecordingEnd& end);

  void flush();  // at ticks: what was written so far survives us
  // Once: what went wrong with writing (disk full). Nothing more is written then.
  std::optional<base::Error> take_problem();
  bool closed() const { return out_.closed(); }  // the reader of our pipe has gone
  std::uint64_t bytes() const { return bytes_; }

 private:
  void record(std::string_view tag, const base::Stamp& time, std::string_view payload);
  void give_held();

  base::Output& out_;
  std::string held_;  // the last datagram's record: device() may have to go before it
  std::string payload_;
  std::map<std::uint32_t, std::string> devices_;
  std::vector<RecordedCapture::Listing> last_listings_;
  std::uint64_t bytes_ = 0;
  bool problem_told_ = false;
};

// What a recording holds besides events. Any of these may be empty.
struct RecordingListener {
  std::function<void(const RecordingHead&)> head;
  std::function<void(const base::Stamp&)> moment;  // the time of each record, before what it holds
  std::function<void(NetlinkEvents::Bytes, const base::Stamp&)> datagram;  // as it came, before its events
  std::function<void(std::string_view, const base::Stamp&)> kernel_log;    // likewise
  std::function<void(std::uint32_t, std::string_view)> device;
  // As the socket counted; messages of group 0 among them are in NetlinkEvents::lost() too.
  std::function<void(std::uint64_t, const base::Stamp&)> loss;
  std::function<void(std::uint32_t, const base::Stamp&)> generation;
  std::function<void(const RecordedCapture&)> capture;
  std::function<void(const RecordingEnd&)> end;
};

class RecordingReader {
 public:
  // Events go to `sink`, read by NetlinkEvents and LogReader, and so do diagnostics.
  // `kernel_log`: where the events of KLOG records go, if not to `sink` as all others.
  RecordingReader(base::Names& names, Sink& sink, RecordingListener listener = {},
                  Sink* kernel_log = nullptr);
  ~RecordingReader();

  // Do these bytes begin a recording, of this form or of a later one? Its first 18 bytes tell.
  static bool looks_like(std::string_view first_bytes);

  void begin(std::uint32_t source);
  void push(std::string_view chunk);  // any size; records may straddle
  void finish();                      // the end of the input

  // Nothing of it can be used: another byte order, a later form, no recording at all.
  const std::optional<base::Error>& refusal() const;
  bool complete() const;  // its end record was read
  std::uint64_t bytes() const;
  std::uint64_t records() const;
  const NetlinkEvents& netlink() const;
  const LogReader& kernel_log() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fwtrace::trace
