// Recordings: nothing is read beyond them, memory is bounded, and it does not matter in what pieces the bytes come.
#include "trace/recording.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "fuzz_text.h"

namespace fwtrace {
namespace {

class Heard final : public trace::Sink {
 public:
  void event(const trace::Event& event) override {
    said += std::string(event.table.text()) + ":" + std::string(event.chain.text()) + " " +
            std::to_string(event.number) + " " + std::to_string(event.handle) + " " +
            (event.packet == nullptr ? "" : std::string(event.packet->in.text())) + "\n";
  }
  void loss(const trace::Loss& loss) override { said += "lost " + std::to_string(loss.lines) + "\n"; }
  void diagnostic(base::Diagnostic diagnostic) override {
    CHECK(!diagnostic.message.empty());
    said += diagnostic.message + "\n";
  }
  std::string said;
};

std::string read(std::string_view bytes, bool whole) {
  base::Names names;
  Heard heard;
  trace::RecordingListener listener;
  listener.head = [&](const trace::RecordingHead& head) { heard.said += "head " + head.host + "\n"; };
  listener.loss = [&](std::uint64_t n, const base::Stamp&) {
    heard.said += "dropped " + std::to_string(n) + "\n";
  };
  listener.generation = [&](std::uint32_t n, const base::Stamp&) { heard.said += std::to_string(n) + "\n"; };
  listener.capture = [&](const trace::RecordedCapture& capture) {
    for (const auto& one : capture.listings)
      heard.said += one.command + std::to_string(one.text.size()) + "\n";
  };
  listener.end = [&](const trace::RecordingEnd& end) { heard.said += "end " + end.stopped_by + "\n"; };
  trace::RecordingReader reader(names, heard, listener);
  reader.begin(1);
  if (whole) {
    reader.push(bytes);
  } else {
    fuzz::Choices choices(bytes);
    const std::size_t most = std::size_t{1} << choices.below(10);
    for (std::size_t at = 0; at < bytes.size();) {
      const std::string piece(bytes.substr(at, choices.below(most + 1)));
      reader.push(piece);
      at += piece.size();
    }
  }
  reader.finish();
  CHECK(reader.bytes() == bytes.size());
  CHECK(!reader.complete() || !reader.refusal());
  if (reader.refusal()) heard.said += reader.refusal()->message;
  return heard.said;
}

}  // namespace
}  // namespace fwtrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  const std::string_view bytes = fuzz::to_text(data, size);
  CHECK(read(bytes, true) == read(bytes, false));
  return 0;
}
