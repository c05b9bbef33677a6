// NatBox: a Box with a server behind it, for tests of replies through NAT; and a judge that counts packets beside us.
//
//   neighbour (client) 10.9.0.2 ── box (NAT) ── vm0 10.7.0.1 ── 10.7.0.2, fd07::2 server
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "live/box.h"
#include "ruleset/model.h"

namespace fwtrace::live {

// A socket with an address of its own, made in the namespace of the calling thread. It waits a second at most.
class Peer {
 public:
  Peer(int type, const std::string& address, std::uint16_t port);  // SOCK_STREAM: listens
  static Peer to_connect();                                        // TCP, IPv4

  bool connect(const std::string& address, std::uint16_t port);
  Peer accept() const;
  bool send() const;  // a byte
  bool receive() const;
  bool answer() const;  // takes one datagram and answers to where it came from

 private:
  explicit Peer(host::Fd fd);
  host::Fd fd_;
};

class NatBox : public testing::Test {
 protected:
  using Chains = std::map<std::string, std::uint64_t>;

  void SetUp() override;
  // Arms as `fwtrace trace` would. The judge is a counter of the user's, before everything of ours: `judged` are nft
  // words that say what it counts.
  std::unique_ptr<Live> arm_for(const std::vector<std::string>& words, const std::string& judged,
                                bool replies = true, bool bridge = false,
                                host::ArmingLimits limits = {.rate = 10'000, .burst = 1000});
  static std::uint64_t judged();
  // How often each of our chains was met; and each packet that the judge saw must have been armed exactly once.
  static Chains met(Live& live, Chains chains = {});

  Peer server(int type, std::uint16_t port, const std::string& address = "10.7.0.2") const;
  Peer client(int type, std::uint16_t port = 4000, const std::string& address = "10.9.0.2") const;
  // A TCP connection of the client's.
  Peer dial(const std::string& address, std::uint16_t port) const;

  std::unique_ptr<Box> box_;
  std::optional<host::NetworkNamespace> server_;
  ruleset::Rulebook book_;  // what fwtrace knows of the rules
};

// With the same NAT rule in the words of each system.
enum class System { Legacy, IptablesNft, Nft };
class NatTest : public NatBox, public testing::WithParamInterface<System> {
 protected:
  // `iptables` are iptables' words behind "-t nat".
  void translate(const std::string& iptables, const std::string& nft_chain, const std::string& nft_rule,
                 bool v6 = false);
  void port_forward();  // TCP 8080 to the server's 80

 private:
  void read(const std::string& text, bool v6);
};
std::string print_system(const testing::TestParamInfo<System>& system);

}  // namespace fwtrace::live
