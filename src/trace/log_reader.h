// The log reader: bytes of any text log in, Events out.
//
// It cuts the input into lines, strips the wrapper that syslog, dmesg, journald or a person put around a line
// (wrapper.h), and offers each line to the dialects: kernel log, nft monitor, xtables-monitor. Chunks may be of
// any size; a line may straddle them. Lines longer than kMaxLine are read in pieces, so memory is bounded.
// Every line is counted under one LineKind; the counts add up to the lines of the input.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/names.h"
#include "trace/event.h"

namespace fwtrace::trace {

class LogReader {
 public:
  static constexpr std::size_t kMaxLine = 1U << 20;

  // `only` restricts reading to one dialect (--from); otherwise each line is sniffed.
  LogReader(base::Names& names, Sink& sink, std::optional<Dialect> only = {});
  ~LogReader();

  void begin(std::uint32_t source);  // the next input; line numbers start at 1 again
  void push(std::string_view chunk);
  void finish();  // the end of that input: a last line without its newline is read

  std::uint64_t lines() const;
  std::uint64_t bytes() const;
  // Did every input so far number its records (raw kmsg), so that each loss is known?
  bool shows_losses() const;
  const std::array<std::uint64_t, kLineKinds>& line_kinds() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fwtrace::trace
