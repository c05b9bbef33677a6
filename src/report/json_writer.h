// JsonWriter: writes JSON into a string as it goes; nothing is built in memory. Commas are its business; that keys
// and values alternate and that every begin has its end is the caller's.
//
// Strings come out as valid JSON whatever bytes go in: a byte that is not UTF-8 becomes U+FFFD. Control characters
// (C0, DEL, C1) and direction overrides are written as \u escapes, so that JSON shown on a terminal drives nothing.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace fwtrace::report {

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  // Names are ours: literals that need no escaping.
  void key(std::string_view name) {
    comma();
    out_ += '"';
    out_ += name;
    out_ += "\":";
    first_ = true;  // the value stands right behind
  }

  void value(std::string_view text) {
    comma();
    out_ += '"';
    append_escaped(text);
    out_ += '"';
  }
  void value(const char* text) { value(std::string_view(text)); }
  void value(bool yes) {
    comma();
    out_ += yes ? "true" : "false";
  }
  template <std::integral T>
    requires(!std::same_as<T, bool> && !std::same_as<T, char>)
  void value(T number) {
    comma();
    char digits[24];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
    if (error == std::errc()) out_.append(digits, end);
  }

  template <class T>
  void field(std::string_view name, const T& what) {
    key(name);
    value(what);
  }
  // Fields that are left out if there is nothing to say. Anything that is empty or holds nothing.
  template <class Optional>
    requires requires(const Optional& o) {
      *o;
      o.has_value();
    }
  void maybe(std::string_view name, const Optional& what) {
    if (what) field(name, *what);
  }
  void maybe(std::string_view name, std::string_view text) {
    if (!text.empty()) field(name, text);
  }
  void if_true(std::string_view name, bool yes) {
    if (yes) field(name, true);
  }

 private:
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  void open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    first_ = false;
  }

  void append_unicode(unsigned code) {
    static constexpr char kHex[] = "0123456789abcdef";
    out_ += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out_ += kHex[(code >> shift) & 15];
  }

  // Decodes the sequence at the front of text; size 0 if it is not well-formed UTF-8.
  struct Decoded {
    std::uint32_t code = 0;
    std::size_t size = 0;
  };
  static Decoded decode(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    const std::size_t size = lead >= 0xC2 && lead < 0xE0   ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
    if (size == 0 || text.size() < size) return {};
    std::uint32_t code = lead & (0x7FU >> size);
    for (std::size_t i = 1; i < size; ++i) {
      if ((byte(i) & 0xC0) != 0x80) return {};
      code = code << 6 | (byte(i) & 0x3FU);
    }
    const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (overlong || surrogate || code > 0x10FFFF) return {};
    return {code, size};
  }

  void append_escaped(std::string_view text) {
    std::size_t plain = 0;  // what is copied as it is, from here
    for (std::size_t i = 0; i < text.size();) {
      const unsigned char c = static_cast<unsigned char>(text[i]);
      if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
        ++i;
        continue;
      }
      const Decoded decoded = c < 0x80 ? Decoded{c, 1} : decode(text.substr(i));
      const std::uint32_t code = decoded.code;
      const bool harmless = c >= 0x80 && decoded.size != 0 && code >= 0xA0 &&
                            !(code >= 0x2028 && code <= 0x202E) && !(code >= 0x2066 && code <= 0x2069);
      if (harmless) {
        i += decoded.size;
        continue;
      }
      out_.append(text.substr(plain, i - plain));
      if (c == '"' || c == '\\') out_.append(1, '\\').append(1, text[i]);
      else if (c == '\n') out_ += "\\n";
      else if (c == '\t') out_ += "\\t";
      else append_unicode(decoded.size == 0 ? 0xFFFD : code);
      i += decoded.size == 0 ? 1 : decoded.size;
      plain = i;
    }
    out_.append(text.substr(plain));
  }

  std::string& out_;
  bool first_ = true;
};

}  // namespace fwtrace::report
