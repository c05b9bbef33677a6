// Replies through NAT against the real kernel: which packets are armed, where, and how often they are decided on.
//
//   neighbour (client) 10.9.0.2 ── box (NAT) ── vm0 10.7.0.1 ── 10.7.0.2, fd07::2 server
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <thread>

#include "host/after_nat.h"
#include "host/conntrack.h"
#include "live/box.h"
#include "ruleset/read_rules.h"

namespace fwtrace::live {
namespace {

using Strings = std::vector<std::string>;

// A socket with an address of its own, made in some namespace.
class Peer {
 public:
  Peer(int type, const std::string& address, std::uint16_t port)
      : v6_(address.find(':') != std::string::npos) {
    fd_ = host::Fd(::socket(v6_ ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    socklen_t length = 0;
    const sockaddr_storage to = place(address, port, length);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&to), length), 0) << address;
    if (type == SOCK_STREAM) listen(fd_.get(), 4);
    patience();
  }
  explicit Peer(host::Fd fd) : fd_(std::move(fd)) { patience(); }

  bool connect(const std::string& address, std::uint16_t port) {
    socklen_t length = 0;
    const sockaddr_storage to = place(address, port, length);
    return ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), length) == 0;
  }
  Peer accept() const { return Peer(host::Fd(::accept(fd_.get(), nullptr, nullptr))); }
  bool send() const { return ::send(fd_.get(), "x", 1, MSG_NOSIGNAL) == 1; }
  bool receive() const {
    char byte = 0;
    return ::recv(fd_.get(), &byte, 1, 0) == 1;
  }
  // Takes one datagram and answers to where it came from.
  bool answer() const {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    char byte = 0;
    if (recvfrom(fd_.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &length) != 1) return false;
    return sendto(fd_.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), length) == 1;
  }

 private:
  void patience() const {
    const timeval second{.tv_sec = 1, .tv_usec = 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
  }
  sockaddr_storage place(const std::string& address, std::uint16_t port, socklen_t& length) const {
    sockaddr_storage to{};
    if (v6_) {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port);
      inet_pton(AF_INET6, address.c_str(), &in.sin6_addr);
      std::memcpy(&to, &in, sizeof in);
      length = sizeof in;
    } else {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      inet_pton(AF_INET, address.c_str(), &in.sin_addr);
      std::memcpy(&to, &in, sizeof in);
      length = sizeof in;
    }
    return to;
  }
  bool v6_ = false;
  host::Fd fd_;
};

enum class System { Legacy, IptablesNft, Nft };

class NatTest : public testing::TestWithParam<System> {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    auto box = host::NetworkNamespace::current();
    ASSERT_TRUE(box);
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    auto server = host::NetworkNamespace::current();
    ASSERT_TRUE(server);
    server_ = std::move(*server);
    ASSERT_EQ(setns(box->fd(), CLONE_NEWNET), 0);
    ASSERT_EQ(
        Box::run(
            "ip link add vm0 type veth peer name vm1 netns /proc/" + std::to_string(getpid()) + "/fd/" +
            std::to_string(server_->fd()) +
            " && ip addr add 10.7.0.1/24 dev vm0 && ip addr add fd07::1/64 dev vm0 nodad && ip link set vm0 up"),
        "");
    const auto inside = host::EnterNamespace::enter(*server_);
    ASSERT_EQ(Box::run("ip link set lo up && ip addr add 10.7.0.2/24 dev vm1 && "
                       "ip addr add fd07::2/64 dev vm1 nodad && ip link set vm1 up && "
                       "ip route add default via 10.7.0.1 && ip -6 route add default via fd07::1"),
              "");
  }

  // The same NAT rule in the words of the system under test. `iptables` are iptables' words behind "-t nat".
  void translate(const std::string& iptables, const std::string& nft_chain, const std::string& nft_rule,
                 bool v6 = false) {
    const std::string number = v6 ? "6" : "";
    if (GetParam() == System::Legacy) {
      ASSERT_EQ(Box::run("ip" + number + "tables-legacy -t nat " + iptables), "");
      read(Box::run("ip" + number + "tables-legacy-save"), v6);
    } else if (GetParam() == System::IptablesNft) {
      ASSERT_EQ(Box::run("ip" + number + "tables-nft -t nat " + iptables), "");
      read(Box::run("ip" + number + "tables-nft-save"), v6);
    } else {
      const bool source = nft_chain == "postrouting";
      ASSERT_EQ(Box::run("nft 'table ip" + number + " mynat { chain c { type nat hook " + nft_chain +
                         " priority " + (source ? "100" : "-100") + "; " + nft_rule + "; }; }'"),
                "");
      ruleset::Rule rule;
      rule.text = nft_rule;
      ruleset::Chain chain;
      chain.rules = {rule};
      ruleset::Table table;
      table.chains = {chain};
      ruleset::Ruleset rules;
      rules.family = v6 ? packet::Family::Ip6 : packet::Family::Ip;
      rules.tables = {table};
      book_.rulesets.push_back(rules);
    }
  }
  void read(const std::string& text, bool v6) {
    base::Diagnostics diagnostics;
    ruleset::read_rules(text, 0, v6 ? "rules.v6" : "rules.v4", book_, diagnostics);
  }

  // Arms as `fwtrace trace` would. The judge is a counter of the user's, before everything of ours.
  std::unique_ptr<Live> arm_for(const Strings& words, const std::string& judged, bool replies = true,
                                bool bridge = false) {
    host::ArmingWish wish;
    wish.filter = packet::take_filter(words, {})->filter;
    wish.replies = replies;
    wish.bridge = bridge;
    const auto own = host::find_own_addresses();
    EXPECT_TRUE(own);
    wish.after_nat = host::find_after_nat(wish.filter, book_, *own);
    wish.conntrack = host::find_conntrack_here(book_);
    EXPECT_EQ(
        Box::run(
            "nft 'table inet judge { counter judged {}; chain in { type filter hook prerouting priority -600; "
            "iifname != lo " +
            judged + " counter name judged; }; chain out { type filter hook output priority -600; " + judged +
            " counter name judged; }; }'"),
        "");
    auto live = arm(host::plan_arming(wish), {.rate = 10'000, .burst = 1000});
    EXPECT_TRUE(live) << (live ? "" : live.error().message);
    if (!live) return nullptr;
    EXPECT_EQ((*live)->arming.behind_conntrack(), wish.conntrack.v4 || wish.conntrack.v6);
    return std::move(*live);
  }
  static std::uint64_t judged() {
    const std::string text = Box::run("nft list counter inet judge judged");
    const std::size_t at = text.find("packets ");
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + 8));
  }
  // How often each of our chains was met, and that each packet that the judge saw was armed exactly once.
  using Chains = std::map<std::string, std::uint64_t>;
  static Chains met(Live& live, Chains chains = {}) {
    for (const Seen& seen : collect(live)) {
      if (!seen.legacy && seen.table == live.arming.table()) ++chains[seen.chain];
    }
    const auto counters = live.arming.counters();
    EXPECT_TRUE(counters);
    EXPECT_EQ(counters->matched, judged()) << testing::PrintToString(chains);
    EXPECT_EQ(counters->armed, judged());
    EXPECT_EQ(
        chains["start"] + chains["start-original"] + chains["start-sent"] + chains["start-original-sent"],
        counters->armed)
        << testing::PrintToString(chains);
    return chains;
  }
  Peer server(int type, std::uint16_t port, const std::string& address = "10.7.0.2") const {
    const auto inside = host::EnterNamespace::enter(*server_);
    return {type, address, port};
  }
  Peer client(int type, std::uint16_t port = 4000, const std::string& address = "10.9.0.2") const {
    const auto inside = host::EnterNamespace::enter(box_->neighbour());
    return {type, address, port};
  }
  static std::string tracked() { return Box::run("cat /proc/thread-self/net/nf_conntrack"); }

  void port_forward() {
    translate("-A PREROUTING -i veth0 -p tcp --dport 8080 -j DNAT --to-destination 10.7.0.2:80", "prerouting",
              "iifname \"veth0\" tcp dport 8080 dnat to 10.7.0.2:80");
  }

  std::unique_ptr<Box> box_;
  std::optional<host::NetworkNamespace> server_;
  ruleset::Rulebook book_;
};

TEST_P(NatTest, PortForwardFromTheFirstPacketOn) {
  port_forward();
  const auto live = arm_for({"-p", "tcp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  const Peer listener = server(SOCK_STREAM, 80);
  {
    const auto inside = host::EnterNamespace::enter(box_->neighbour());
    Peer client(host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    ASSERT_TRUE(client.connect("10.9.0.1", 8080));
    const Peer accepted = listener.accept();
    ASSERT_TRUE(accepted.send());
    ASSERT_TRUE(client.receive());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  auto chains = met(*live);
  EXPECT_GE(chains["start"], 6U) << "SYN, SYN-ACK, ACK, data, ACK, FINs";
  EXPECT_EQ(chains["start-original"], 0U) << "the SYN had taught what its answer looks like";
  EXPECT_EQ(chains["left"], chains["start"]);
  EXPECT_EQ(chains["original"], chains["start"])
      << "one event for each packet, none of them decided on again";
  EXPECT_EQ(chains["after-conntrack"], 0U) << "'original' says the same";
}

TEST_P(NatTest, PortForwardThatWasThereBefore) {
  port_forward();
  const Peer listener = server(SOCK_STREAM, 80);
  const Peer client = [&] {
    const auto inside = host::EnterNamespace::enter(box_->neighbour());
    Peer made(host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    EXPECT_TRUE(made.connect("10.9.0.1", 8080));
    return made;
  }();
  const Peer accepted = listener.accept();
  const auto live = arm_for({"-p", "tcp", "-d", "10.9.0.1", "--dport", "8080"}, "meta l4proto tcp");
  ASSERT_TRUE(live);
  ASSERT_TRUE(accepted.send());
  ASSERT_TRUE(client.receive());
  auto chains = met(*live);
  EXPECT_EQ(chains["start-original"], 1U) << "the first data that we see goes in reply direction: armed late";
  EXPECT_EQ(chains["start"], 1U) << "its ACK";
  ASSERT_TRUE(accepted.send());
  ASSERT_TRUE(client.receive());
  chains = met(*live, std::move(chains));
  EXPECT_EQ(chains["start-original"], 1U);
  EXPECT_EQ(chains["start"], 3U) << "the ACK taught it: the second data is armed before raw";
}

INSTANTIATE_TEST_SUITE_P(All, NatTest, testing::Values(System::Legacy, System::IptablesNft, System::Nft),
                         [](const auto& one) {
                           return one.param == System::Legacy ? "legacy"
                                  : one.param == System::Nft  ? "nft"
                                                              : "iptables_nft";
                         });

}  // namespace
}  // namespace fwtrace::live
