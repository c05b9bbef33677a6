// Conditions of rsyslog's configuration, asked about one line: a TRACE line of the kernel, as imklog hands it on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::host {

enum class Truth : std::uint8_t { No, Unknown, Yes };  // in this order: the smaller one decides an "and"
inline Truth no_is_yes(Truth t) {
  return t == Truth::Unknown ? t : (t == Truth::Yes ? Truth::No : Truth::Yes);
}

// "kern.*", "*.info;mail.none": does it take kern.warning (kernel: trace_loginfo of ip_tables.c has level 4)?
struct Selected {
  bool takes = false;
  bool names_kernel = false;  // kern is named, not only *
};
Selected select(std::string_view selector);

// A property filter: contains, isequal, startswith. Lower case.
Truth compare(std::string_view property, std::string_view operation, const std::string& value);

// What stands between "if" and "then".
struct Decided {
  Truth holds = Truth::Unknown;
  bool specific = false;  // it asks for something of the message at all
};
Decided decide(std::string_view expression);

// name="value" pairs of action(…); names in lower case.
struct Parameter {
  std::string name, value;
};
std::vector<Parameter> read_parameters(std::string_view inside);

}  // namespace fwtrace::host
