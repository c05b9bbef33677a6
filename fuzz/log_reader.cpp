// The log reader, all dialects and wrappers: every line is counted under one kind, and it does not matter in what
// pieces the bytes come.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_map>

#include "base/check.h"
#include "fuzz_text.h"
#include "report/kernel_log.h"
#include "trace/log_reader.h"

namespace fwtrace {
namespace {

// What a reader said, in words that can be compared.
class Heard final : public trace::Sink {
 public:
  void event(const trace::Event& event) override {
    std::string said = std::to_string(event.place.line) + " ";
    said.append(to_text(event.dialect)).append(" ").append(to_text(event.kind)).append(" ");
    for (const base::Name name : {event.host, event.table, event.chain, event.target_chain})
      said.append(name.text()).append("|");
    for (const std::uint64_t number :
         {std::uint64_t{event.number}, event.handle, std::uint64_t{event.trace_id},
          static_cast<std::uint64_t>(event.family), static_cast<std::uint64_t>(event.verdict),
          static_cast<std::uint64_t>(event.has_trace_id)})
      said.append(std::to_string(number)).append(" ");
    said.append(event.rule_text);
    if (event.packet != nullptr) {
      std::string printed;
      report::append_kernel_packet(printed, *event.packet);
      said += printed;
      if (event.form != 0) {
        // Equal form numbers promise equal packets; each dialect counts for itself.
        const auto [known, added] =
            forms_[static_cast<std::size_t>(event.dialect)].try_emplace(event.form, *event.packet);
        CHECK(added || known->second == *event.packet);
      }
    }
    events += said + "\n";
  }
  void loss(const trace::Loss& loss) override {
    losses += std::to_string(loss.place.line) + " " + std::to_string(loss.lines) + " " + loss.reason + "\n";
  }
  void diagnostic(base::Diagnostic diagnostic) override {
    CHECK(!diagnostic.code.empty());
    CHECK(!diagnostic.message.empty());
    diagnostics += std::string(diagnostic.code) + " " + std::to_string(diagnostic.place.line) + ":" +
                   std::to_string(diagnostic.place.column) + " " + diagnostic.message + "\n";
  }

  std::string events, losses, diagnostics;
  std::string kinds;

 private:
  std::array<std::unordered_map<std::uint64_t, packet::Packet>, 3> forms_;
};

enum class Pieces { Whole, Chosen };

void read(std::string_view text, Pieces pieces, std::optional<trace::Dialect> only, Heard& heard) {
  base::Names names;
  trace::LogReader reader(names, heard, only);
  reader.begin(0);
  if (pieces == Pieces::Whole) {
    reader.push(text);
  } else {
    fuzz::Choices choices(text);
    const std::size_t most = std::size_t{1} << choices.below(10);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = choices.below(most + 1);
      // Each piece in a block of its own, so that a look beyond it, or back at an old one, is seen.
      const std::string piece(text.substr(at, size));
      reader.push(piece);
      at += size;
    }
  }
  reader.finish();
  std::uint64_t sum = 0;
  for (const std::uint64_t count : reader.line_kinds()) {
    sum += count;
    heard.kinds += std::to_string(count) + " ";
  }
  CHECK(sum == reader.lines());
  CHECK(reader.bytes() == text.size());
}

void expect_same(const char* what, const std::string& whole, const std::string& pieces) {
  if (whole == pieces) return;
  std::fprintf(stderr, "%s differ\n-- whole --\n%s\n-- in pieces --\n%s\n", what, whole.c_str(),
               pieces.c_str());
  CHECK(whole == pieces);
}

void read_both_ways(std::string_view text, std::optional<trace::Dialect> only) {
  Heard whole, pieces;
  read(text, Pieces::Whole, only, whole);
  read(text, Pieces::Chosen, only, pieces);
  expect_same("kinds of lines", whole.kinds, pieces.kinds);
  expect_same("events", whole.events, pieces.events);
  expect_same("losses", whole.losses, pieces.losses);
  expect_same("diagnostics", whole.diagnostics, pieces.diagnostics);
}

}  // namespace
}  // namespace fwtrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  using trace::Dialect;
  const std::string_view text = fuzz::to_text(data, size);
  read_both_ways(text, {});
  constexpr Dialect kDialects[] = {Dialect::KernelLog, Dialect::NftMonitor, Dialect::XtablesMonitor};
  read_both_ways(text, kDialects[size % 3]);
  return 0;
}
