// Command lines: rows of options in, values out. Help, and later man pages and completions, come from the rows.
//
// Splitting words is CLI11's; the words of a FILTER are taken out before (packet/filter.h).
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fwtrace::cli {

struct OptionRow {
  std::string_view names;  // "-q,--quiet", as CLI11 takes them; the long name is the option's name
  std::string_view value;  // "FILE", or "" for a flag
  std::string_view help;   // one line, lower case
};

struct CommandRow {
  std::string_view name;
  std::string_view arguments;  // "FILE… [--rules FILE…] [FILTER]"
  std::string_view purpose;    // one line
  std::span<const OptionRow> options;
  std::span<const std::string_view> examples;
  bool takes_filter = false;
};

class Options {
 public:
  bool has(std::string_view long_name) const;
  std::string get(std::string_view long_name, std::string_view otherwise = "") const;  // the last one given
  std::vector<std::string> all(std::string_view long_name) const;
  std::vector<std::string> words;  // what is no option: file names

 private:
  friend base::Result<Options> parse_options(const CommandRow&, const std::vector<std::string>&);
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// Errors are ErrorKind::Usage and name the option.
base::Result<Options> parse_options(const CommandRow& command, const std::vector<std::string>& args);

// The options of a command that take a value, short and long names, for take_filter().
std::vector<std::string> options_with_value(const CommandRow& command);

std::string print_help(const CommandRow& command);

}  // namespace fwtrace::cli
