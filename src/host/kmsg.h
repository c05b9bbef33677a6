// The kernel's own log, read as it is written (/dev/kmsg): where the events of iptables-legacy go when NFLOG cannot be
// had.
//
// Each record is given as it is, "4,20382,1576125328,-;TRACE: …\n", as trace::LogReader takes it: the second number
// counts every record of the machine, so the reader sees each loss. That also holds for one before our first record,
// because the first line given is a made-up one with the number of the last record from before open().
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/fd.h"

namespace fwtrace::host {

class KernelLog {
 public:
  // What was logged before is passed over.
  static base::Result<KernelLog> open(const std::string& path = "/dev/kmsg");

  int fd() const { return fd_.get(); }  // readable when there is something: for poll()
  // All that is there now, without waiting; how many records.
  std::size_t drain(const std::function<void(std::string_view)>& text);
  // How often we were overtaken by the writer; how many records that were, the reader of the text knows.
  std::uint64_t overruns() const { return overruns_; }

 private:
  KernelLog() = default;
  // One record into record_; false: none is there.
  bool next();
  Fd fd_;
  std::vector<char> buffer_;
  std::string_view record_;
  std::string opening_;  // the made-up line, until it is given
  std::uint64_t overruns_ = 0;
};

}  // namespace fwtrace::host
