// Rule sources: iptables-save, -S, -L, with anything around them.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/diagnostic.h"
#include "fuzz_text.h"
#include "ruleset/read_rules.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  const std::string_view text = fuzz::to_text(data, size);
  constexpr auto kNames =
      std::to_array<std::string_view>({"rules", "rules.v6", "stdin", "ip6tables-save.txt"});
  const std::string_view name = kNames[fuzz::Choices(text).below(kNames.size())];

  base::Sources sources;
  ruleset::Rulebook book;
  base::Diagnostics diagnostics;
  const auto first = ruleset::read_rules(text, sources.add(std::string(name)), name, book, diagnostics);
  // A second file of the same: it is added to what is there, and is read as the first was.
  const auto second = ruleset::read_rules(text, sources.add("again"), name, book, diagnostics);
  CHECK(first.rules == second.rules);
  CHECK(first.other_lines == second.other_lines);
  for (const auto& kind : diagnostics.kinds()) {
    for (const auto& diagnostic : kind.first) CHECK(!base::print_diagnostic(diagnostic, sources).empty());
  }
  return 0;
}
