#include "host/repair.h"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>

#include "base/text.h"
#include "trace/markers.h"

namespace fwtrace::host {
namespace {

std::string print_changes_in_words(const Changes& changes) {
  std::string words;
  const auto add = [&](const std::string& part) { words += (words.empty() ? "" : ", ") + part; };
  for (const LoggerChange& logger : changes.loggers) {
    add(fmt::format("net.netfilter.nf_log.{} back to {}", logger.family, logger.before));
  }
  for (const packet::Family family : changes.families) {
    if (!changes.table.empty())
      add(fmt::format("table {} {} removed", packet::to_text(family), changes.table));
  }
  return words.empty() ? "it had changed nothing" : words;
}

}  // namespace

bool is_stray(const FoundTable& table) {
  if (table.owned || !trace::is_our_table(table.name)) return false;
  const auto pid = base::parse_number<int>(std::string_view(table.name).substr(table.name.rfind('-') + 1));
  // EPERM: there is such a process, somebody else's.
  return pid && *pid > 0 && kill(*pid, 0) != 0 && errno == ESRCH;
}

base::Result<Repaired> repair_all(const std::string& folder) {
  Repaired repaired;
  TRY(const std::vector<Leftover> leftovers, find_leftovers(folder));
  for (const Leftover& leftover : leftovers) {
    const Changes& changes = leftover.changes;
    const auto done = repair(leftover, folder);
    if (!done) {
      repaired.failed.push_back(fmt::format("run {}: {}", changes.pid, done.error().message));
      continue;
    }
    repaired.done.push_back(
        *done
            ? fmt::format("run {}: {}", changes.pid, print_changes_in_words(changes))
            : fmt::format("run {}: its network namespace is gone, and what it changed there with it: dropped",
                          changes.pid));
  }
  const auto tables = find_our_tables();
  if (!tables) {
    repaired.failed.push_back("our tables cannot be listed: " + tables.error().message);
    return repaired;
  }
  for (const FoundTable& table : *tables) {
    if (!is_stray(table)) continue;
    const std::string name = fmt::format("table {} {}", packet::to_text(table.family), table.name);
    if (auto removed = remove_table(table.family, table.name); !removed)
      repaired.failed.push_back(fmt::format("{}: {}", name, removed.error().message));
    else repaired.done.push_back(name + " removed: no process has it any more");
  }
  return repaired;
}

}  // namespace fwtrace::host
