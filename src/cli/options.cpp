#include "cli/options.h"

#include <CLI/CLI.hpp>

#include "base/text.h"

namespace fwtrace::cli {
namespace {

std::string long_name(std::string_view names) {
  for (const std::string_view name : base::split(names, ',')) {
    if (name.starts_with("--")) return std::string(name);
  }
  return std::string(names);
}

std::string value_of(const CommandRow& command, std::string_view name) {
  for (const OptionRow& row : command.options) {
    for (const std::string_view one : base::split(row.names, ',')) {
      if (one == name) return std::string(row.value);
    }
  }
  return {};
}

}  // namespace

bool Options::has(std::string_view name) const { return values_.find(name) != values_.end(); }

std::string Options::get(std::string_view name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() || found->second.empty() ? std::string(otherwise) : found->second.back();
}

std::vector<std::string> Options::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

base::Result<Options> parse_options(const CommandRow& command, const std::vector<std::string>& args) {
  Options options;
  CLI::App app;
  app.set_help_flag();  // ours is printed from the rows
  app.allow_extras(false);
  app.add_option("words", options.words);
  for (const OptionRow& row : command.options) {
    const std::string name = long_name(row.names);
    if (row.value.empty()) {
      app.add_flag_callback(std::string(row.names), [&options, name] { options.values_[name]; });
      continue;
    }
    auto take = [&options, name](const std::vector<std::string>& given) {
      for (const std::string& one : given) options.values_[name].push_back(one);
      return true;
    };
    CLI::Option* option = app.add_option(std::string(row.names), CLI::callback_t(take));
    // One value for each mention: --rules a --rules b.
    option->type_size(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  try {
    std::vector<std::string> reversed(args.rbegin(), args.rend());  // what CLI11 wants
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    std::string what = error.what();
    if (const auto end = what.find('\n'); end != std::string::npos) what.resize(end);
    for (char& c : what) {
      c = c >= 'A' && c <= 'Z' && &c == what.data() ? static_cast<char>(c - 'A' + 'a') : c;
    }
    for (const std::string& arg : args) {
      // CLI11's own sentence for an unknown option reads like a stack trace.
      if (arg.size() > 1 && arg[0] == '-' && arg != "--" && what.find(arg) != std::string::npos &&
          what.find("not expected") != std::string::npos)
        return base::fail(base::ErrorKind::Usage, "unknown option \"" + arg + "\"",
                          {"\"fwtrace " + std::string(command.name) + " --help\" lists the options"});
    }
    if (const auto at = what.find(": 1 required"); at != std::string::npos)
      return base::fail(
          base::ErrorKind::Usage,
          "\"" + what.substr(0, at) + "\" needs a value: " + value_of(command, what.substr(0, at)),
          {"\"fwtrace " + std::string(command.name) + " --help\" lists the options"});
    return base::fail(base::ErrorKind::Usage, what,
                      {"\"fwtrace " + std::string(command.name) + " --help\" lists the options"});
  }
  return options;
}

std::vector<std::string> options_with_value(const CommandRow& command) {
  std::vector<std::string> names;
  for (const OptionRow& row : command.options) {
    if (row.value.empty()) continue;
    for (const std::string_view name : base::split(row.names, ',')) names.emplace_back(name);
  }
  return names;
}

std::string print_help(const CommandRow& command) {
  std::string out =
      "usage: fwtrace " + std::string(command.name) + " " + std::string(command.arguments) + "\n";
  out += std::string(command.purpose) + "\n\n";
  std::size_t width = 0;
  std::vector<std::string> heads;
  for (const OptionRow& row : command.options) {
    std::string head;
    for (const std::string_view name : base::split(row.names, ','))
      head += (head.empty() ? "" : ", ") + std::string(name);
    if (!head.starts_with("-") || head.starts_with("--")) head = "    " + head;
    if (!row.value.empty()) head += " " + std::string(row.value);
    width = std::max(width, base::display_width(head));
    heads.push_back(std::move(head));
  }
  for (std::size_t i = 0; i < heads.size(); ++i) {
    out += "  " + heads[i] + std::string(width - base::display_width(heads[i]) + 2, ' ') +
           std::string(command.options[i].help) + "\n";
  }
  if (command.takes_filter) {
    out +=
        "\nFILTER: iptables' words for a packet, such as\n"
        "  -p tcp --dport 80   ! -s 10.0.0.0/8   -i eth0   -o virbr+   --icmp-type echo-request   -m mark --mark 1   -4\n"
        "  a condition holds if it held anywhere on the packet's way, before or after NAT\n";
  }
  if (!command.examples.empty()) out += "\nexamples:\n";
  for (const std::string_view example : command.examples) out += "  " + std::string(example) + "\n";
  return out;
}

}  // namespace fwtrace::cli
