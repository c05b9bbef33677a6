// Doctor: what the facts of a machine mean for tracing. One row for each thing that tracing needs, or that can hide a
// packet from it: its name, how to look, what it means, and the one command that mends it. No kernel is asked here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/doctor_facts.h"

namespace fwtrace::host {

enum class CheckStatus : std::uint8_t {
  Ok,         // ✓
  Missing,    // ✗ tracing needs it
  Mind,       // ! tracing works, but this can hide packets or events, or add some
  NotNeeded,  // – absent, and nothing here needs it
  Fact,       // · neither good nor bad
};
std::string_view to_text(CheckStatus status);  // "ok", "missing", "mind", "not needed", "fact"
std::string_view mark_of(CheckStatus status);  // "✓"

struct Check {
  std::string name;  // "NFLOG group 0"
  CheckStatus status = CheckStatus::Ok;
  std::string found;  // "ulogd (process 812) listens"
  std::string means;  // what follows from it; "" = nothing
  std::string mend;   // one command; "" = there is none, or nothing to mend
  bool operator==(const Check&) const = default;
};

struct Diagnosis {
  bool works = false;
  std::string answer;  // "tracing works here: …", "tracing cannot work here: …"
  std::string next;    // the line below it: "mend it: modprobe nfnetlink_log"
  std::vector<Check> checks;
};
Diagnosis diagnose(const Facts& facts);

}  // namespace fwtrace::host
