// Bytes of packets, whole and as nft gives them apart: nothing is read beyond them, they give the same Packet twice,
// and the Packet comes back from the kernel's form of it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/check.h"
#include "fuzz_text.h"
#include "packet/decode.h"
#include "report/kernel_log.h"
#include "trace/kernel_packet.h"

namespace fwtrace {
namespace {

using Bytes = std::vector<std::uint8_t>;  // each in a block of its own, so that a look beyond it is seen

void expect_comes_back(const packet::Packet& decoded) {
  std::string printed, again;
  report::append_kernel_packet(printed, decoded);
  base::Names names;
  packet::Packet read;
  const trace::PacketScan scan = trace::scan_packet(printed, names, read);
  if (scan.damaged) return;  // the kernel's form cannot say all: "FRAG:TRUNCATED", "TRUNCATED] "
  report::append_kernel_packet(again, read);
  if (printed == again) return;
  std::fprintf(stderr, "printed %s\nagain   %s\n", printed.c_str(), again.c_str());
  CHECK(printed == again);
}

void decode_whole(const Bytes& bytes, std::uint16_t type, std::size_t whole) {
  packet::Packet one, two;
  const bool is_one = packet::decode_packet(bytes, type, one, whole);
  CHECK(is_one == packet::decode_packet(bytes, type, two, whole));
  CHECK(one == two);
  CHECK(is_one || one == packet::Packet());
  if (is_one && whole == bytes.size())
    expect_comes_back(one);  // the kernel's form has no words for "not copied"
}

}  // namespace
}  // namespace fwtrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  namespace et = packet::ethertype;
  fuzz::Choices choices(fuzz::to_text(data, size));
  const Bytes all(data, data + size);
  for (const std::uint16_t type : {et::kNone, et::kIpv4, et::kIpv6, et::kArp}) {
    decode_whole(all, type, 0);
    decode_whole(all, type, size);
    decode_whole(all, type, size + choices.below(100'000));
  }
  const Bytes part(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(choices.below(size + 1)));
  decode_whole(part, et::kNone, 0);

  const std::size_t network = std::min<std::size_t>(size, choices.below(41));
  const std::size_t transport = std::min<std::size_t>(size - network, choices.below(21));
  packet::Packet apart;
  const auto at = all.begin() + static_cast<std::ptrdiff_t>(network);
  packet::decode_headers(Bytes(all.begin(), at), Bytes(at, at + static_cast<std::ptrdiff_t>(transport)),
                         et::kNone, apart);

  packet::Link link;
  packet::decode_link(all, link);
  CHECK(link.printed);
  return 0;
}
