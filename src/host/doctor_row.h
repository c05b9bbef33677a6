// What looking at one thing gives, and the looks that stand in doctor_hides.cpp. Within this room only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/doctor.h"

namespace fwtrace::host {

// What looking gave; the row adds its name. A row can give several, or none.
struct Found {
  CheckStatus status = CheckStatus::Ok;
  std::string found, means, mend;
};
using Finds = std::vector<Found>;

// "1 rule", "1,234 rules".
std::string counted(std::uint64_t number, std::string_view what);
std::string join(const std::vector<std::string>& parts);
// A command of the administrator's, in the namespace that was asked about.
std::string in_namespace(const Facts& facts, std::string command);

Finds look_at_legacy(const Facts& f);
Finds look_at_nft(const Facts& f);
Finds look_at_both(const Facts& f);
Finds look_at_unread(const Facts& f);
Finds look_at_trace_rules(const Facts& f);
Finds look_at_group0_rules(const Facts& f);
Finds look_at_log_rules(const Facts& f);
Finds look_at_flowtables(const Facts& f);
Finds look_at_ingress(const Facts& f);
Finds look_at_bridges(const Facts& f);
Finds look_at_namespaces(const Facts& f);
Finds look_at_forwarding(const Facts& f);

}  // namespace fwtrace::host
