#include "cli/messages.h"

#include "base/text.h"

namespace fwtrace::cli {
namespace {

void say(World& world, std::string_view kind, std::string_view message) {
  world.err.append("fwtrace: ");
  world.err.append(kind);
  world.err.append(": ");
  world.err.append(base::to_printable(message));
  world.err.append("\n");
}

}  // namespace

int report_error(World& world, const base::Error& error) {
  say(world, "error", error.message);
  for (const std::string& one : error.hints) hint(world, one);
  switch (error.kind) {
    case base::ErrorKind::Usage: return kUsage;
    case base::ErrorKind::Input: return kInput;
    case base::ErrorKind::Permission: return kPermission;
  }
  return kInput;
}

void warn(World& world, std::string_view message) { say(world, "warning", message); }
void hint(World& world, std::string_view message) { say(world, "hint", message); }

void report_diagnostic(World& world, const base::Diagnostic& diagnostic, const base::Sources& sources) {
  world.err.append("fwtrace: ");
  world.err.append(base::print_diagnostic(diagnostic, sources));
}

}  // namespace fwtrace::cli
