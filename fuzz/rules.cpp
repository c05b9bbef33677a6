// Rule sources: iptables-save, -S, -L, with anything around them.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/diagnostic.h"
#include "fuzz_text.h"
#include "ruleset/capture.h"
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
  // The same bytes as what the tools of a machine printed: no chain may stand in two rulesets of nft.
  ruleset::Capture capture;
  for (const char* command :
       {"nft -t -a list ruleset", "iptables-nft-save", "ebtables-nft-save", "iptables-legacy-save"})
    capture.listings.push_back({command, std::string(text)});
  const ruleset::Rulebook captured = ruleset::read_capture(capture, diagnostics);
  if (const auto* const saved = captured.find(packet::Family::Ip, ruleset::Backend::NftCompat)) {
    const auto* const native = captured.find(packet::Family::Ip, ruleset::Backend::Nft);
    for (const ruleset::Table& table : saved->tables) {
      const auto* const twin = native == nullptr ? nullptr : native->find_table(table.name);
      for (const ruleset::Chain& chain : table.chains) CHECK(!twin || !twin->find_chain(chain.name));
    }
  }
  CHECK(ruleset::legacy_text(capture).size() <= text.size() + 64);
  for (const auto& kind : diagnostics.kinds()) {
    for (const auto& diagnostic : kind.first) CHECK(!base::print_diagnostic(diagnostic, sources).empty());
  }
  return 0;
}
