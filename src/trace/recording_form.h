// The bytes of a recording, for its writer and its reader: numbers, strings, tags (recording.h says what they mean).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/stamp.h"
#include "trace/recording.h"

namespace fwtrace::trace::recording {

inline constexpr std::string_view kMagic = "fwtrace recording 1\n";
inline constexpr std::string_view kMagicOfAll = "fwtrace recording ";  // of every form
inline constexpr std::size_t kHeader = 16;

inline constexpr std::string_view kHead = "HEAD", kLink = "LINK", kDatagram = "PKTS", kKernelLog = "KLOG",
                                  kLoss = "LOSS", kGeneration = "GENR", kRules = "RULE", kDone = "DONE";

inline constexpr std::size_t kMaxListings = 1U << 16;  // of a capture, and problems of one

inline std::size_t longest(std::string_view tag) {
  if (tag == kDatagram) return kMaxDatagram;
  return tag == kRules ? kMaxCapture : kMaxRecord;
}

template <class T>
void put(std::string& to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}
inline void put_text(std::string& to, std::string_view text) {
  put(to, static_cast<std::uint32_t>(text.size()));
  to += text;
}
inline void put_facts(std::string& to, const RecordedFacts& facts) {
  for (const auto& [name, value] : facts) {
    if (to.size() + name.size() + value.size() + 8 > kMaxRecord) return;  // no sane command line
    put_text(to, name);
    put_text(to, value);
  }
}

// Takes numbers and strings from the front. What is not there is 0 or "", and ok() is false from then on.
class Take {
 public:
  explicit Take(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  T number() {
    if (bytes_.size() < sizeof(T)) return fail(), T{};
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      value = static_cast<T>(value | static_cast<T>(static_cast<unsigned char>(bytes_[i])) << (8 * i));
    bytes_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view text() {
    const auto size = number<std::uint32_t>();
    if (size > bytes_.size()) return fail(), std::string_view();
    const std::string_view out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return out;
  }
  std::string_view rest() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  bool ok() const { return ok_; }

 private:
  void fail() { ok_ = false, bytes_ = {}; }
  std::string_view bytes_;
  bool ok_ = true;
};

inline std::int64_t to_wire(const base::Stamp& time) { return time.wall_us; }

// Far beyond any date counts as not known: nobody computes with it then.
inline base::Stamp to_time(std::int64_t wall_us) {
  base::Stamp time;
  constexpr std::int64_t kEnd = std::int64_t{1} << 58;
  if (wall_us < 0 || wall_us > kEnd) return time;
  time.wall_us = wall_us;
  time.zone_known = time.year_known = true;
  time.seconds_only = false;
  return time;
}

}  // namespace fwtrace::trace::recording
