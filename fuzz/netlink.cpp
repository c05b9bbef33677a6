// Netlink messages: nothing is read beyond them, equal form numbers mean equal packets, every message is counted once.
#include "trace/netlink_events.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "base/check.h"

namespace fwtrace {
namespace {

class Checking final : public trace::Sink {
 public:
  void event(const trace::Event& event) override {
    ++events;
    CHECK((event.packet == nullptr) == (event.form == 0));
    if (event.packet == nullptr) return;
    const auto [known, added] = forms_.try_emplace(event.form, *event.packet);
    CHECK(added || known->second == *event.packet);
  }
  void loss(const trace::Loss& loss) override { lost += loss.lines; }
  void diagnostic(base::Diagnostic diagnostic) override {
    CHECK(!diagnostic.message.empty());
    ++diagnostics;
  }
  std::uint64_t events = 0, lost = 0, diagnostics = 0;

 private:
  std::unordered_map<std::uint64_t, packet::Packet> forms_;
};

}  // namespace
}  // namespace fwtrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  using Kind = trace::NetlinkEvents::Kind;
  base::Names names;
  Checking sink;
  trace::NetlinkEvents events(names, sink, [&](std::uint32_t index) {
    return index == 0 ? base::Name() : names.intern("if" + std::to_string(index % 7));
  });
  const std::vector<std::uint8_t> bytes(data, data + size);  // aligned, and a look beyond it is seen
  events.datagram(bytes, {});
  events.message(bytes, {});
  events.forget_devices();
  events.datagram(bytes, {});
  CHECK(sink.diagnostics == events.count(Kind::Damaged));
  CHECK(sink.lost == events.lost());
  CHECK(sink.events >= events.count(Kind::LegacyTrace) + events.count(Kind::NftTrace));
  return 0;
}
