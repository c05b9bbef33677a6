// Output: where text goes, buffered: a file descriptor or a string. A closed pipe is remembered, not fatal.
#pragma once

#include <string>
#include <string_view>

namespace fwtrace::base {

class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  static Output to_string() { return Output(-1); }  // collects; see text()
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  Output(Output&& other) noexcept;
  Output& operator=(Output&&) = delete;

  void append(std::string_view text) {
    buffer_.append(text);
    if (buffer_.size() >= kFlushAt && fd_ >= 0) flush();
  }
  // For writers that format in place: append to buffer(), then call wrote().
  std::string& buffer() { return buffer_; }
  void wrote() {
    if (buffer_.size() >= kFlushAt && fd_ >= 0) flush();
  }
  void flush();
  bool closed() const { return closed_; }              // the reader of our pipe has gone (EPIPE)
  int write_error() const { return write_error_; }     // errno of a failed write (disk full); 0 = none
  const std::string& text() const { return buffer_; }  // what to_string() has collected

 private:
  static constexpr std::size_t kFlushAt = 1U << 16;
  int fd_;
  std::string buffer_;
  bool closed_ = false;
  int write_error_ = 0;
};

}  // namespace fwtrace::base
