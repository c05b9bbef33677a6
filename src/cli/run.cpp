#include "cli/run.h"

#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "cli/doctor.h"
#include "cli/explain.h"
#include "cli/messages.h"
#include "cli/trace.h"
#include "cli/version.h"

namespace fwtrace::cli {
namespace {

struct Command {
  const CommandRow& row;
  int (*run)(const std::vector<std::string>&, World&);
};
const Command kCommands[] = {{kTrace, &trace_live}, {kExplain, &explain}, {kDoctor, &doctor}};

// How many letters to add, drop, change or swap to make one word of the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string overview() {
  std::string out =
      "fwtrace: what happened to this packet in the Linux firewall, rule by rule, and why\n\n"
      "usage: fwtrace COMMAND …\n\n";
  for (const Command& command : kCommands)
    out += "  fwtrace " + std::string(command.row.name) + " " + std::string(command.row.arguments) +
           "\n      " + std::string(command.row.purpose) + "\n";
  out +=
      "\n  fwtrace COMMAND --help    options and examples\n"
      "  fwtrace --version\n\n"
      "start here:\n"
      "  sudo fwtrace -p tcp --dport 80                          what happens to these packets, live\n"
      "  sudo fwtrace doctor                                     if nothing appears\n"
      "  fwtrace explain /var/log/kern.log --rules rules.save    (iptables-save > rules.save)\n";
  return out;
}

}  // namespace

int run(const std::vector<std::string>& args, World& world) {
  if (args.empty()) {
    world.err.append(overview());
    return kUsage;
  }
  const std::string& first = args.front();
  if (first == "--help" || first == "-h" || (first == "help" && args.size() == 1)) {
    world.out.append(overview());
    return kDone;
  }
  if (first == "--version" || first == "-V") {
    world.out.append("fwtrace " + std::string(kVersion) + "\n");
    return kDone;
  }
  std::vector<std::string> rest(args.begin() + 1, args.end());
  std::string name = first;
  if (first == "help") {
    name = rest.front();
    rest = {"--help"};
  }
  for (const Command& command : kCommands) {
    if (command.row.name == name) return command.run(rest, world);
  }
  const std::string list = "\"fwtrace --help\" lists the commands";
  if (first.starts_with("-") || first == "!") return trace_live(args, world);
  for (const std::string_view later : {"predict", "check", "rules", "snapshot"}) {
    if (name == later)
      return report_error(world,
                          {base::ErrorKind::Usage, "\"" + name + "\" is not in this version yet", {list}});
  }
  std::vector<std::string> hints;
  for (const Command& command : kCommands) {
    if (distance(name, command.row.name) <= 2)
      hints.push_back("did you mean \"" + std::string(command.row.name) + "\"?");
  }
  if (hints.empty() && ::access(first.c_str(), R_OK) == 0)
    hints.push_back("to read a log: fwtrace explain " + first);
  hints.push_back(list);
  return report_error(world, {base::ErrorKind::Usage, "unknown command \"" + name + "\"", hints});
}

}  // namespace fwtrace::cli
