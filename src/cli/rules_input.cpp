#include "cli/rules_input.h"

#include <algorithm>

#include "base/input.h"
#include "cli/messages.h"
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

}  // namespace

base::Result<ruleset::Rulebook> read_rule_files(const std::vector<std::string>& paths, World& world,
                                                base::Sources& sources) {
  ruleset::Rulebook book;
  base::Diagnostics diagnostics;
  bool legacy_warning = false;
  for (const std::string& path : paths) {
    if (path == "live")
      return base::fail(base::ErrorKind::Usage, "--rules live is not built yet",
                        {"save them first: iptables-save > rules.save; then --rules rules.save"});
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
      return base::fail(base::ErrorKind::Input, "\"" + path + "\" is an nft ruleset, which is not read yet",
                        {"the lines of nft monitor trace carry the rules' text themselves: leave out --rules",
                         "for rules that iptables wrote: iptables-save > rules.save"});
    say_diagnostics(diagnostics, world, sources);
    return base::fail(
        base::ErrorKind::Input, "\"" + path + "\" holds no iptables rules",
        {"what is read: iptables-save, iptables -S [-v], iptables -L -n -v --line-numbers",
         text.find("TRACE: ") != std::string::npos ? "it looks like a log: fwtrace explain " + path
                                                   : "save them with: iptables-save > rules.save"});
  }
  say_diagnostics(diagnostics, world, sources);
  for (const packet::Family family : {packet::Family::Ip, packet::Family::Ip6}) {
    if (holds_rules(book, family, ruleset::Backend::Legacy) &&
        holds_rules(book, family, ruleset::Backend::NftCompat)) {
      warn(world,
           std::string("two backends hold ") + (family == packet::Family::Ip ? "IPv4" : "IPv6") +
               " rules at once (iptables-legacy and iptables-nft): a packet must pass both, and kernel TRACE "
               "lines show the legacy one only");
      legacy_warning = false;
    }
  }
  if (legacy_warning) {
    warn(world,
         "two backends at once: the saved rules are those of iptables-nft, and the save says that "
         "iptables-legacy tables are present too; kernel TRACE lines speak of the legacy ones");
    hint(world, "save those as well: iptables-legacy-save > legacy.save; then --rules legacy.save");
  }
  return book;
}

}  // namespace fwtrace::cli
