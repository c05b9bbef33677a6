// Where something stands in what the user gave us: file, line, column; all counted from 1, 0 = unknown.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::base {

struct Place {
  std::uint32_t source = 0;  // index into Sources; 0 = no source
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  auto operator<=>(const Place&) const = default;
};

// The names of everything read in one run, so that a Place stays twelve bytes.
class Sources {
 public:
  std::uint32_t add(std::string name);
  std::string_view name(std::uint32_t source) const;  // "" for 0
  std::string print(const Place& place) const;        // "kern.log:17:42", as much of it as is known

 private:
  std::vector<std::string> names_;
};

}  // namespace fwtrace::base
