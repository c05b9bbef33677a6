// What the user wants to see, and in which form: the options that explain and trace have in common, and the journeys
// on their way from "over" to the screen: decided, filtered, counted, shown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/place.h"
#include "base/result.h"
#include "cli/options.h"
#include "cli/run.h"
#include "journey/decide.h"
#include "journey/journey.h"
#include "journey/summary.h"
#include "packet/filter.h"
#include "report/text.h"

namespace fwtrace::cli {

enum class Form { Text, Json, Kernel, Nothing };  // Nothing: standard output is taken (-w -)

struct Showing {
  Form form = Form::Text;
  report::TextStyle style;
  packet::Filter filter;
  bool dropped = false;
  bool strict = false;
  std::string host;
  std::uint64_t most = 0;  // packets; 0 = all
};

// From --dropped --host -c -v -q --json --format --color --strict, as far as the command has them.
base::Result<Showing> read_showing(const Options& options, const packet::Filter& filter, const World& world,
                                   std::uint64_t most_by_default);

class Shower {
 public:
  Shower(World& world, const Showing& showing, const base::Sources& sources);

  // Does the user want this packet? Remembers the hosts of those that only --host hides.
  bool wants(const journey::Journey& journey);
  bool enough(const journey::Summary& summary) const;  // -c is reached, or nobody reads us any more
  void show(const journey::Journey& journey);
  void finish(const journey::Summary& summary);  // the summary, and hints that belong to it
  // Is something left open that --strict minds?
  static bool is_open(const journey::Summary& summary);
  static bool is_dropped(const journey::Journey& journey);  // or most likely so

 private:
  World& world_;
  const Showing& showing_;
  const base::Sources& sources_;
  report::TextReport text_;
  std::vector<std::string> hosts_;
  std::uint64_t without_number_ = 0;  // lines of --format kernel that could not name a rule number
};

}  // namespace fwtrace::cli
