// Small questions about text: numbers, words, trimming, and making hostile bytes safe to show.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::base {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_hex(char c);
int hex_value(char c);  // 0 to 15, or -1

std::string_view trim(std::string_view text);
std::vector<std::string_view> split_words(std::string_view text);  // at runs of white space
std::vector<std::string_view> split(std::string_view text, char separator);

// The whole text as a number of the given base; nothing for anything else (signs, blanks, overflow, rest).
template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}
// Like parse_number, and also "0x1f".
std::optional<std::uint64_t> parse_unsigned(std::string_view text);

// Control characters, escape sequences and bytes that are not UTF-8 become visible ("\x1b"): whatever stands in
// a log line, a rule comment or an interface name cannot drive the user's terminal.
std::string to_printable(std::string_view text);
bool is_printable(std::string_view text);  // to_printable would change nothing

// A word as a shell must be told it: quoted unless it is plain. For commands that we print to be copied.
std::string to_shell_word(std::string_view word);

// Columns that UTF-8 text takes on a terminal (one per code point; we print no wide characters ourselves).
std::size_t display_width(std::string_view text);

// "1,234,567"
std::string with_commas(std::uint64_t value);

}  // namespace fwtrace::base
