// What the targets share: bytes as text, and choices that depend on nothing but the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fwtrace::fuzz {

inline std::string_view to_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// FNV-1a over the input, then one number after the other. The input keeps no byte for choices, so that a seed is
// simply a file of the kind that is read.
class Choices {
 public:
  explicit Choices(std::string_view text) {
    for (const char c : text) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  }
  std::size_t below(std::size_t limit) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::size_t>((state_ >> 11) % limit);
  }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

}  // namespace fwtrace::fuzz
