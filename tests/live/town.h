// Town: the whole story's stage: a client, a router with a bridge, a server and a guest at that bridge. And Traced: one
// run of the real program on it.
//
//   client 10.9.0.2 ── veth0 10.9.0.1 router ── virbr1 10.7.0.1 ─┬─ vm0 ── 10.7.0.2, fd07::2 server
//                                                               └─ vm1 ── 10.7.0.3, fd07::3 guest
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "live/box.h"

namespace fwtrace::live {

enum class Who { Router, Client, Server, Guest };

class Town {
 public:
  // Nothing, with the reason in `why`, where this machine does not allow it.
  static std::unique_ptr<Town> make(std::string& why);

  static std::string address(Who who, bool v6);
  // Frames between the bridge's ports go through iptables' hooks too (br_netfilter). False where the kernel has none.
  static bool filter_bridge();

  struct Call {
    Who from = Who::Client;
    std::string to;  // the address and the port that are dialled
    std::uint16_t port = 0;
    Who listens = Who::Server;
    std::uint16_t at = 0;  // the port there
  };
  // One TCP connection with one byte said; waits a second at most for each. False if it was refused or never came.
  bool connect(const Call& call, bool v6) const;
  host::Fd socket(Who who, int domain, int type) const;

 private:
  Town() = default;
  std::unique_ptr<Box> box_;
  std::optional<host::NetworkNamespace> server_, guest_;
};

// `fwtrace --json WORDS` in the router, from its start to its end.
class Traced {
 public:
  explicit Traced(const std::string& words);
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;
  ~Traced();

  // Its header was written: it has armed. False if it ended before that, or took too long.
  bool armed();
  bool runs();
  // Ctrl-C once it wrote nothing for `quiet_ms`; then its exit status, -1 if a signal ended it.
  int stop(int quiet_ms = 150);

  std::string said() const;  // stderr
  std::vector<nlohmann::json> journeys() const;
  nlohmann::json summary() const;

 private:
  std::vector<nlohmann::json> lines(const char* kind) const;
  std::string folder_;
  pid_t pid_ = -1;
  int status_ = 0;
};

}  // namespace fwtrace::live
