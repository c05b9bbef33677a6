// What stands around a kernel message: syslog, dmesg, kmsg, journald, grep, logread … and what it says of time
// and host.
//
// Wrappers are read piece by piece from the left: each piece (a date, a priority, an uptime, "host kernel:") has
// a recogniser; what no recogniser knows is skipped. An unknown wrapper therefore costs the time and the host,
// never the message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/names.h"
#include "base/stamp.h"

namespace fwtrace::trace {

struct Wrapper {
  base::Stamp time;
  std::string_view host;                       // in the text that was read
  std::optional<std::uint64_t> kmsg_sequence;  // of a raw /dev/kmsg record
};

// `text` is everything before the message.
Wrapper read_wrapper(std::string_view text);

// Does this text begin like a logger's line of its own (a date, "[  123.456]", "<4>", "4,17,…;")? Then it cannot
// be the wrapped rest of the line before.
bool begins_like_log_line(std::string_view text);

// One line of `journalctl -o json`, of Docker's or any other logger's JSON: the first member that holds a
// message of ours ("MESSAGE", "message", "msg", "log", …), and time and host if journald's names are there.
struct JsonLine {
  std::string message;
  base::Stamp time;
  std::string host;
};
std::optional<JsonLine> read_json_line(std::string_view line);

}  // namespace fwtrace::trace
