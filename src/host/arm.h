// Arming: our own nft table, put into the kernel in one batch, and taken out again.
//
// The table `fwtrace-<pid>` (family inet; a second one of family bridge when asked for) has the flag `owner`: no one
// else can change it, `nft flush ruleset` passes it by, and the kernel removes it when our socket is closed, however
// we die. Kernels before 5.12 do not know the flag; there the same table is not owned (the second rung), and the
// guardian removes it. In both cases nothing is armed any more some time after the last refresh(): the element of
// the set `alive`, which every arming rule asks for, has then expired.
//
// Which the kernel can do is found by trying, never by its version. A rule has a `ct` expression only where conntrack
// is on (arming_rules.h): one would switch it on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/arming_rules.h"
#include "host/netlink_socket.h"

namespace fwtrace::host {

// Each refresh is a change of the ruleset to the kernel, and who is reading the ruleset then must begin anew: with a
// refresh every second `nft list ruleset` never ended where it takes two (a set of 300,000 elements: 6 s). So the
// switch is slow, and slower where the owner flag does the work and only a hung fwtrace is left to guard against.
struct DeadMansSwitch {
  std::chrono::seconds lifetime, refresh_every;
};
inline constexpr DeadMansSwitch kOwnedSwitch{.lifetime = std::chrono::seconds(120),
                                             .refresh_every = std::chrono::seconds(50)};
inline constexpr DeadMansSwitch kUnownedSwitch{.lifetime = std::chrono::seconds(30),
                                               .refresh_every = std::chrono::seconds(10)};

struct ArmingLimits {
  // Packets armed per second, enforced by the kernel over all chains of a table. A plan has one table, and one more for
  // bridges; two instead of one where conntrack is on for one IP version only.
  std::uint32_t rate = 100;
  std::uint32_t burst = 20;                                       // and at once
  std::optional<DeadMansSwitch> dead_mans_switch = std::nullopt;  // nothing: one of the two above
};

// The counters of the arming rules, all tables together.
struct ArmingCounters {
  std::uint64_t matched = 0;  // packets that met the filter
  std::uint64_t armed = 0;    // of these: armed; the rest was over the rate
};

class Arming {
 public:
  // Puts the plan in. The socket must outlive the result; it is the owner of the tables.
  // `try_owner` false: as on a kernel without the flag (for tests). `before_unowned` is called before tables are made
  // that nobody owns, so that somebody can promise to remove them.
  static base::Result<Arming> arm(NetlinkSocket& socket, const ArmingPlan& plan, const ArmingLimits& limits,
                                  const std::string& table, bool try_owner = true,
                                  const std::function<base::Result<void>()>& before_unowned = {});
  static std::string table_name(int pid);  // "fwtrace-1234"

  bool owned() const { return owned_; }
  // Do the rules behind conntrack stand that the plan has? False also if it has none.
  bool behind_conntrack() const { return behind_conntrack_; }
  const std::string& table() const { return table_; }
  std::vector<packet::Family> families() const { return families_; }
  const DeadMansSwitch& dead_mans_switch() const { return switch_; }

  // Says once more that we live. Asynchronous: the acknowledgement comes by the listener, who calls this.
  void refresh();
  // From now on so many packets are armed per second, and in proportion at once. In one step: at no moment is nothing
  // armed, or twice as much. False if the kernel did not do it: then all is as it was.
  bool set_rate(std::uint32_t packets_per_second);
  // No packet is armed after it returns, but those that are may still meet our markers. disarm() follows.
  void let_go();
  // Takes the tables out at once; no packet is armed after it returns. Events of armed packets may still come.
  base::Result<void> disarm();
  // Read through a socket of its own.
  std::optional<ArmingCounters> counters() const;

 private:
  Arming(NetlinkSocket& socket, std::string table) : socket_(&socket), table_(std::move(table)) {}
  NetlinkSocket* socket_;
  std::string table_;
  std::vector<packet::Family> families_;
  DeadMansSwitch switch_ = kOwnedSwitch;
  bool owned_ = false, behind_conntrack_ = false;
  std::uint32_t rate_ = 0, burst_ = 0;  // as asked for at first
  std::uint32_t changes_of_rate_ = 0;
};

// Deletes a table that is not owned, through a socket of its own; no error if there is none.
base::Result<void> remove_table(packet::Family family, const std::string& table);
// Our tables ("fwtrace-…") in this namespace, whoever's they are.
struct FoundTable {
  packet::Family family = packet::Family::Inet;
  std::string name;
  bool owned = false;
};
base::Result<std::vector<FoundTable>> find_our_tables();

}  // namespace fwtrace::host
