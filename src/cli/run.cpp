#include "cli/run.h"

#include "base/text.h"
#include "cli/explain.h"
#include "cli/messages.h"
#include "cli/version.h"

namespace fwtrace::cli {
namespace {

struct Command {
  const CommandRow& row;
  int (*run)(const std::vector<std::string>&, World&);
};
const Command kCommands[] = {{kExplain, &explain}};

std::string overview() {
  std::string out =
      "fwtrace: what happened to this packet in the Linux firewall, rule by rule, and why\n\n"
      "usage: fwtrace COMMAND …\n\n";
  for (const Command& command : kCommands)
    out += "  fwtrace " + std::string(command.row.name) + " " + std::string(command.row.arguments) + "\n      " +
           std::string(command.row.purpose) + "\n";
  out += "\n  fwtrace COMMAND --help    options and examples\n"
         "  fwtrace --version\n\n"
         "start here:\n"
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
  std::vector<std::string> hints;
  if (first.starts_with("-")) hints.push_back("this version reads logs; it does not trace live yet: fwtrace explain FILE " + first + " …");
  else hints.push_back("to read a log: fwtrace explain " + first);
  hints.push_back("\"fwtrace --help\" lists the commands");
  return report_error(world, {base::ErrorKind::Usage, "unknown command \"" + name + "\"", hints});
}

}  // namespace fwtrace::cli
