#include "base/names.h"

#include <cstring>

namespace fwtrace::base {
namespace {

// FNV-like over eight bytes at a time; names are short.
std::size_t hash_of(std::string_view text) {
  std::size_t hash = 0x9E3779B97F4A7C15ULL ^ text.size();
  while (text.size() >= 8) {
    std::size_t word = 0;
    std::memcpy(&word, text.data(), 8);
    hash = (hash ^ word) * 0x9FB21C651E98DF25ULL;
    hash ^= hash >> 32;
    text.remove_prefix(8);
  }
  std::size_t word = 0;
  std::memcpy(&word, text.data(), text.size());
  hash = (hash ^ word) * 0x9FB21C651E98DF25ULL;
  return hash ^ (hash >> 29);
}

}  // namespace

Names::Names() : slots_(1024) {}
Names::~Names() = default;

Name Names::intern(std::string_view text) {
  if (text.empty()) return Name();
  if (text.size() > kMaxLength) text = text.substr(0, kMaxLength);
  const std::size_t hash = hash_of(text);
  std::size_t i = hash & (slots_.size() - 1);
  while (slots_[i].text != nullptr) {
    if (slots_[i].hash == hash && *slots_[i].text == text) return Name(slots_[i].text);
    i = (i + 1) & (slots_.size() - 1);
  }
  if (texts_.size() >= kMaxNames) {
    ++refused_;
    if (overflow_.empty()) {
      texts_.push_back(std::make_unique<std::string>("(too many names)"));
      overflow_ = Name(texts_.back().get());
    }
    return overflow_;
  }
  texts_.push_back(std::make_unique<std::string>(text));
  slots_[i] = {hash, texts_.back().get()};
  const Name name(slots_[i].text);
  if (texts_.size() * 2 > slots_.size()) grow();
  return name;
}

void Names::grow() {
  std::vector<Slot> bigger(slots_.size() * 2);
  for (const Slot& slot : slots_) {
    if (slot.text == nullptr) continue;
    std::size_t i = slot.hash & (bigger.size() - 1);
    while (bigger[i].text != nullptr) i = (i + 1) & (bigger.size() - 1);
    bigger[i] = slot;
  }
  slots_ = std::move(bigger);
}

}  // namespace fwtrace::base
