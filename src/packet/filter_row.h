// The rows of the filter's table: one for each condition that a filter can have. Within this room only: filter.cpp
// holds the rows, take_filter.cpp finds their words in a command line.
#pragma once

#include <array>
#include <string_view>

#include "packet/filter.h"

namespace fwtrace::packet {

struct FilterRow {
  std::string_view option;                     // canonical long name
  std::string_view short_name;                 // "-p"; "" if there is none
  std::array<std::string_view, 4> long_names;  // without the dashes
  std::string_view label;                      // for print_filter
  std::string_view expected;                   // what a value looks like
  bool (*parse)(FilterCondition&);             // reads value; false: not understood
  bool (*holds)(const FilterCondition&, const Packet&);
};

// "-p", "--dport"; null for a word that is no condition.
const FilterRow* find_filter_row(std::string_view word);

}  // namespace fwtrace::packet
