// For the tests of what reads netlink messages: the recordings of tests/record/netlink.py, and events in words.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "trace/monitor_test_support.h"

namespace fwtrace::trace::testing {

inline std::string in_words(const Seen& seen) {
  using packet::Hook;
  using packet::Verdict;
  const Event& e = seen.event;
  std::string out(e.dialect == Dialect::KernelLog ? "legacy " : "nft ");
  out.append(packet::to_text(e.family)).append(" ");
  out.append(e.table.text()).append(":").append(e.chain.text()).append(":").append(to_text(e.kind));
  if (e.number != 0) out += ":" + std::to_string(e.number);
  if (e.handle != 0) out += " handle " + std::to_string(e.handle);
  if (e.verdict != Verdict::None) out.append(" ").append(packet::to_text(e.verdict));
  if (!e.target_chain.empty()) out.append(" ").append(e.target_chain.text());
  if (e.continues_at_end) out += " at end";
  if (e.mark.value_or(0) != 0) out += " mark " + std::to_string(*e.mark);
  if (e.hook != Hook::None) out.append(" @").append(packet::to_text(e.hook));
  if (seen.packet) out.append(" ").append(packet::print_endpoints(*seen.packet));
  return out;
}

inline base::Stamp stamp(std::int64_t us) {
  base::Stamp stamp;
  stamp.wall_us = us;
  stamp.zone_known = stamp.year_known = true;
  stamp.seconds_only = false;
  return stamp;
}

struct Datagrams {
  std::map<std::uint32_t, std::string> devices;
  struct One {
    base::Stamp time;
    std::vector<std::uint8_t> bytes;
  };
  std::vector<One> all;
};

inline std::optional<Datagrams> read_datagrams(const std::string& name) {
  const auto file = read_fixture(name);
  if (!file || !file->starts_with("FWNL1\n")) return std::nullopt;
  Datagrams out;
  std::size_t at = 6;
  const auto number = [&]<class T>(T& to) {
    std::memcpy(&to, file->data() + at, sizeof to), at += sizeof to;
  };
  while (at < file->size()) {
    std::uint32_t index = 0, size = 0;
    std::uint64_t time = 0;
    const char kind = (*file)[at++];
    if (kind == 'D') number(index);
    else number(time);
    number(size);
    const std::string bytes = file->substr(at, size);
    at += size;
    if (kind == 'D') out.devices[index] = bytes;
    else out.all.push_back({stamp(static_cast<std::int64_t>(time)), {bytes.begin(), bytes.end()}});
  }
  return out;
}

}  // namespace fwtrace::trace::testing
