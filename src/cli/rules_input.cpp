#include "cli/rules_input.h"

#include <algorithm>

#include "base/input.h"
#include "cli/messages.h"
#include "host/capability.h"
#include "host/capture_rules.h"
#include "ruleset/read_rules.h"

namespace fwtrace::cli {
namespace {

constexpr std::uint64_t kMaxRules = 512ULL << 20;
constexpr std::size_t kShown = 3;  // diagnostics of one kind shown in full

bool holds_rules(const ruleset::Rulebook& book, packet::Family family, ruleset::Backend backend) {
  const ruleset::Ruleset* found = book.find(family, backend);
  return found != nullptr && found->rule_count() > 0;
}

void say_diagnostics(const base::Diagnostics& diagnostics, World& world, const base::Sources& sources) {
  for (const auto& kind : diagnostics.kinds()) {
    if (kind.severity == base::Severity::Note) continue;
    for (std::size_t i = 0; i < std::min(kind.first.size(), kShown); ++i)
      report_diagnostic(world, kind.first[i], sources);
    if (kind.count > kShown)
      hint(world, std::to_string(kind.count - kShown) + " more like this (" + std::string(kind.code) + ")");
  }
}

bool warn_of_two_backends(const ruleset::Rulebook& book, World& world) {
  bool both = false;
  for (const packet::Family family : {packet::Family::Ip, packet::Family::Ip6}) {
    if (!holds_rules(book, family, ruleset::Backend::Legacy) ||
        !holds_rules(book, family, ruleset::Backend::NftCompat))
      continue;
    both = true;
    warn(world,
         std::string("two backends hold ") + (family == packet::Family::Ip ? "IPv4" : "IPv6") +
             " rules at once (iptables-legacy and iptables-nft): a packet must pass both, and kernel TRACE "
             "lines show the legacy one only");
  }
  return both;
}

}  // namespace

base::Result<ruleset::Rulebook> read_live_rules(World& world, base::Sources& sources) {
  TRY_VOID(host::require_capability(host::Capability::NetAdmin, "reading the running rules"));
  const ruleset::Capture capture = host::capture_rules();
  std::uint32_t first_source = 0;
  for (const ruleset::Capture::Listing& listing : capture.listings) {
    const std::uint32_t source = sources.add(listing.command);
    if (first_source == 0) first_source = source;
  }
  base::Diagnostics diagnostics;
  ruleset::Rulebook book = ruleset::read_capture(capture, diagnostics, first_source);
  for (const std::string& problem : capture.problems) warn(world, "rules of this machine: " + problem);
  if (capture.generation_before != capture.generation_after)
    warn(world, "the nft rules changed while they were read: some may be shown as they no longer are");
  say_diagnostics(diagnostics, world, sources);
  warn_of_two_backends(book, world);
  return book;
}

base::Result<ruleset::Rulebook> read_rule_files(const std::vector<std::string>& paths, World& world,
                                                base::Sources& sources) {
  ruleset::Rulebook book;
  base::Diagnostics diagnostics;
  bool legacy_warning = false;
  for (const std::string& path : paths) {
    if (path == "live") {
      if (paths.size() == 1) return read_live_rules(world, sources);
      return base::fail(base::ErrorKind::Usage, "--rules live goes with no other --rules",
                        {"live are all rules that this machine has; name either them or files"});
    }
    auto whole = base::read_whole(path, world.in, kMaxRules);
    if (!whole) {
      base::Error error = std::move(whole.error());
      if (error.message.find("directory") != std::string::npos &&
          error.message.find("No such") == std::string::npos)
        error.hints = {"name the file with the rules, made by: iptables-save > rules.save"};
      return std::unexpected(std::move(error));
    }
    const std::string& text = *whole;
    const std::uint32_t source = sources.add(path == "-" ? "stdin" : path);
    const ruleset::RulesFound found = ruleset::read_rules(text, source, path, book, diagnostics);
    legacy_warning |= found.legacy_tables_warning;
    if (found.rules + found.chains + found.tables > 0) continue;
    if (found.is_nft_json)
      return base::fail(
          base::ErrorKind::Input, "\"" + path + "\" is nft's JSON, which is not read yet",
          {"its text is: nft -a list ruleset > rules.nft; then --rules rules.nft",
           "the lines of nft monitor trace carry the rules' text themselves: leave out --rules"});
    say_diagnostics(diagnostics, world, sources);
    return base::fail(
        base::ErrorKind::Input, "\"" + path + "\" holds no rules",
        {"what is read: iptables-save, iptables -S [-v], iptables -L -n -v --line-numbers, nft -a list ruleset",
         text.find("TRACE: ") != std::string::npos ? "it looks like a log: fwtrace explain " + path
                                                   : "save them with: iptables-save > rules.save"});
  }
  say_diagnostics(diagnostics, world, sources);
  if (warn_of_two_backends(book, world)) legacy_warning = false;
  if (legacy_warning) {
    warn(world,
         "two backends at once: the saved rules are those of iptables-nft, and the save says that "
         "iptables-legacy tables are present too; kernel TRACE lines speak of the legacy ones");
    hint(world, "save those as well: iptables-legacy-save > legacy.save; then --rules legacy.save");
  }
  return book;
}

}  // namespace fwtrace::cli
