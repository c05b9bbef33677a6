// Capture: the rules of a running machine as its own tools printed them at one moment, and what is needed to know
// when they were true. Plain text, so that a recording can keep it and anyone can read it.
//
// nft counts generations: what was listed between two readings of the same generation is exactly that generation's.
// iptables-legacy counts nothing: its text is true at an event only if captures before and after it agree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "ruleset/model.h"

namespace fwtrace::ruleset {

struct Capture {
  // What one tool printed on standard output.
  struct Listing {
    std::string command;  // "iptables-legacy-save", "nft -t -a list ruleset" …
    std::string text;
    bool operator==(const Listing&) const = default;
  };
  std::vector<Listing> listings;
  // nft's generation before the first and behind the last nft listing (kernel: NFT_MSG_GETGEN); 0 = not known.
  std::uint32_t generation_before = 0, generation_after = 0;
  std::vector<std::string> problems;  // one line each: "iptables-legacy-save: not installed"
  bool nft_exact() const { return generation_before != 0 && generation_before == generation_after; }
  bool operator==(const Capture&) const = default;
};

// Reads all listings into one Rulebook; rules that iptables-nft wrote have both their iptables text and their
// handle: Backend::NftCompat; what is only nft's is Backend::Nft, and no chain is in both. What is odd is told in
// `diagnostics`. The listings are sources first_source, first_source + 1 …; 0 = places have no source.
Rulebook read_capture(const Capture& capture, base::Diagnostics& diagnostics, std::uint32_t first_source = 0);

// The legacy listings without what changes by itself (counters, dates, process numbers): equal texts mean equal
// rules. "" if there are no legacy rules.
std::string legacy_text(const Capture& capture);

}  // namespace fwtrace::ruleset
