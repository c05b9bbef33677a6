// Names: each distinct table, chain, interface and host name once, so that an event holds eight bytes for a
// name and comparing two is comparing two pointers.
//
// A pool is bounded (kMaxNames): hostile input with endless new names gets the name "(too many names)" instead
// of our memory. Names from one pool are valid while the pool lives.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::base {

class Name {
 public:
  Name() = default;
  std::string_view text() const { return text_ ? std::string_view(*text_) : std::string_view(); }
  bool empty() const { return text_ == nullptr; }
  bool operator==(const Name& other) const { return is(other) || text() == other.text(); }
  // Equality within one pool: names of one pool are equal exactly if they are the same.
  bool is(const Name& other) const { return text_ == other.text_; }
  const void* address() const { return text_; }  // for hashing within one pool

 private:
  friend class Names;
  explicit Name(const std::string* text) : text_(text) {}
  const std::string* text_ = nullptr;
};

class Names {
 public:
  static constexpr std::size_t kMaxNames = 1U << 18;
  static constexpr std::size_t kMaxLength = 512;  // longer names are cut here

  Names();
  ~Names();
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  Name intern(std::string_view text);  // "" gives the empty Name
  std::size_t refused() const { return refused_; }

 private:
  struct Slot {
    std::size_t hash = 0;
    const std::string* text = nullptr;
  };
  void grow();
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<std::string>> texts_;
  Name overflow_;
  std::size_t refused_ = 0;
};

}  // namespace fwtrace::base
