// Insertion: the third rung. TRACE rules in the user's own raw table, put in by iptables-legacy, for kernels without
// nf_tables, and only if the user allowed it.
//
// All of one IP version goes in by one iptables-restore, and so does each renewal: at no moment are there two rules of
// ours in one chain, or none. The rules that lead to ours hold only until a time (xt_time), so tracing ends by itself
// when nobody renews them; they are taken out by stop(), or by the guardian, or by the next run.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/arm.h"
#include "host/arming_rules.h"
#include "host/guardian.h"

namespace fwtrace::host {

class Insertion {
 public:
  // `notes`: what is less than the plan. The guardian must outlive the result.
  static base::Result<Insertion> insert(const ArmingPlan& plan, const ArmingLimits& limits,
                                        Guardian& guardian, std::vector<std::string>& notes);
  // How many rules insert() would add to the built-in chains of the user's raw tables.
  static std::size_t entries(const ArmingPlan& plan);

  // Into the raw table of which IP versions?
  bool inserted(packet::IpVersion version) const;
  // Renews the time limit if it is time to.
  void renew();
  bool set_rate(std::uint32_t packets_per_second);
  // Nothing is armed any more when it returns; remove() follows.
  void let_go();
  base::Result<void> remove();
  std::optional<ArmingCounters> counters() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Part {
    packet::IpVersion version;
    std::string restore;             // full path of iptables-restore
    std::int64_t stop;               // until when the rules that stand hold
    bool stands = false;             // the rules that lead to our chains are there
    std::uint64_t armed_before = 0;  // by limit rules that were replaced
  };
  explicit Insertion(Guardian& guardian) : guardian_(&guardian) {}
  base::Result<void> put(Part& part, const std::vector<std::string>& chains,
                         const std::vector<std::string>& rules);
  Guardian* guardian_;
  std::string name_;
  std::vector<Part> parts_;
  ArmingLimits limits_;
  Clock::time_point next_renewal_;
};

// Takes out what process `pid` inserted by `program` (a full path), as far as it is there.
base::Result<void> remove_inserted(const std::string& program, int pid);
// Is it the full path of a program that remove_inserted() may run?
bool is_restore_program(std::string_view path);

}  // namespace fwtrace::host
