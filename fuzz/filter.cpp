// The iptables-word FILTER: the input is a command line, split at blanks.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/names.h"
#include "base/text.h"
#include "fuzz_text.h"
#include "packet/filter.h"
#include "trace/kernel_packet.h"

namespace fwtrace {
namespace {

constexpr std::string_view kPackets[] = {
    "IN=em1 OUT=virbr1 MAC=52:54:00:32:69:1e:52:54:00:24:07:0b:08:00 SRC=10.36.7.11 DST=192.168.101.10 LEN=60 TOS=0x00 "
    "PREC=0x00 TTL=58 ID=671 DF PROTO=TCP SPT=54451 DPT=80 SEQ=560281341 ACK=0 WINDOW=64240 RES=0x00 SYN URGP=0 MARK=0x2a ",
    "IN=lan0 OUT= SRC=fd77:0001:0000:0000:0000:0000:0000:0002 DST=fd77:0002:0000:0000:0000:0000:0000:0002 LEN=80 TC=0 "
    "HOPLIMIT=64 FLOWLBL=1 PROTO=ICMPv6 TYPE=128 CODE=0 ID=7 SEQ=9 ",
    "IN= OUT= ",
};

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && !base::is_space(text[end])) ++end;
    if (end > at) words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::size_t count_left(const std::vector<std::string>& words, const packet::FilterAndRest& taken) {
  // What is rest came from the words, in their order.
  std::size_t at = 0;
  for (const std::string& rest : taken.rest) {
    while (at < words.size() && words[at] != rest) ++at;
    if (at == words.size()) return 1;
    ++at;
  }
  return 0;
}

}  // namespace
}  // namespace fwtrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  const std::vector<std::string> words = split(fuzz::to_text(data, size));
  const auto taken = packet::take_filter(words, {"--rules", "--from", "--host", "--format", "--color", "-c"});
  if (!taken) {
    CHECK(!taken.error().message.empty());
    return 0;
  }
  CHECK(count_left(words, *taken) == 0);
  CHECK(!packet::print_filter(taken->filter).empty());
  base::Names names;
  std::vector<packet::Packet> forms;
  for (const std::string_view text : kPackets) {
    packet::Packet packet;
    trace::scan_packet(text, names, packet);
    forms.push_back(std::move(packet));
  }
  static_cast<void>(packet::matches(taken->filter, {}));
  const bool all = packet::matches(taken->filter, forms);
  if (taken->filter.empty()) CHECK(all);
  return 0;
}
