#include "live/nat_box.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "host/after_nat.h"
#include "host/conntrack.h"
#include "ruleset/read_rules.h"

namespace fwtrace::live {
namespace {

bool is_v6(const std::string& address) { return address.find(':') != std::string::npos; }

sockaddr_storage place(const std::string& address, std::uint16_t port, socklen_t& length) {
  sockaddr_storage to{};
  if (is_v6(address)) {
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

}  // namespace

Peer::Peer(host::Fd fd) : fd_(std::move(fd)) {
  const timeval second{.tv_sec = 1, .tv_usec = 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
}

Peer::Peer(int type, const std::string& address, std::uint16_t port)
    : Peer(host::Fd(::socket(is_v6(address) ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0))) {
  const int on = 1;
  setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t length = 0;
  const sockaddr_storage to = place(address, port, length);
  EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&to), length), 0) << address;
  if (type == SOCK_STREAM) listen(fd_.get(), 4);
}

Peer Peer::to_connect() { return Peer(host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))); }

bool Peer::connect(const std::string& address, std::uint16_t port) {
  socklen_t length = 0;
  const sockaddr_storage to = place(address, port, length);
  return ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), length) == 0;
}

Peer Peer::accept() const { return Peer(host::Fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC))); }

bool Peer::send() const { return ::send(fd_.get(), "x", 1, MSG_NOSIGNAL) == 1; }

bool Peer::receive() const {
  char byte = 0;
  return ::recv(fd_.get(), &byte, 1, 0) == 1;
}

bool Peer::answer() const {
  sockaddr_storage from{};
  socklen_t length = sizeof from;
  char byte = 0;
  if (recvfrom(fd_.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &length) != 1) return false;
  return sendto(fd_.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), length) == 1;
}

void NatBox::SetUp() {
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
          " && ip addr add 10.7.0.1/24 dev vm0 && ip addr add fd07::1/64 dev vm0 nodad && ip link set vm0 address 02:00:00:00:07:01 && ip link set vm0 up && "
          "ip neigh add fd07::2 lladdr 02:00:00:00:07:02 dev vm0"),
      "");
  const auto inside = host::EnterNamespace::enter(*server_);
  ASSERT_EQ(Box::run("ip link set lo up && ip addr add 10.7.0.2/24 dev vm1 && "
                     "ip addr add fd07::2/64 dev vm1 nodad && ip link set vm1 up && "
                     "ip link set vm1 address 02:00:00:00:07:02 && ip route add default via 10.7.0.1 && "
                     "ip -6 route add default via fd07::1 && "
                     "ip neigh add fd07::1 lladdr 02:00:00:00:07:01 dev vm1"),
            "");
}

std::unique_ptr<Live> NatBox::arm_for(const std::vector<std::string>& words, const std::string& judged,
                                      bool replies, bool bridge, host::ArmingLimits limits) {
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
  auto live = arm(host::plan_arming(wish), limits);
  EXPECT_TRUE(live) << (live ? "" : live.error().message);
  if (!live) return nullptr;
  EXPECT_EQ((*live)->arming.behind_conntrack(), wish.conntrack.v4 || wish.conntrack.v6);
  return std::move(*live);
}

std::uint64_t NatBox::judged() {
  const std::string text = Box::run("nft list counter inet judge judged");
  const std::size_t at = text.find("packets ");
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + 8));
}

NatBox::Chains NatBox::met(Live& live, Chains chains) {
  for (const Seen& seen : collect(live)) {
    if (!seen.legacy && seen.table == live.arming.table()) ++chains[seen.chain];
  }
  const auto counters = live.arming.counters();
  EXPECT_TRUE(counters);
  EXPECT_EQ(counters->matched, judged()) << testing::PrintToString(chains);
  EXPECT_EQ(counters->armed, judged());
  EXPECT_EQ(chains["start"] + chains["start-original"] + chains["start-sent"] + chains["start-original-sent"],
            counters->armed)
      << testing::PrintToString(chains);
  return chains;
}

Peer NatBox::server(int type, std::uint16_t port, const std::string& address) const {
  const auto inside = host::EnterNamespace::enter(*server_);
  return {type, address, port};
}

Peer NatBox::client(int type, std::uint16_t port, const std::string& address) const {
  const auto inside = host::EnterNamespace::enter(box_->neighbour());
  return {type, address, port};
}

Peer NatBox::dial(const std::string& address, std::uint16_t port) const {
  const auto inside = host::EnterNamespace::enter(box_->neighbour());
  Peer made = Peer::to_connect();
  EXPECT_TRUE(made.connect(address, port));
  return made;
}

void NatTest::translate(const std::string& iptables, const std::string& nft_chain,
                        const std::string& nft_rule, bool v6) {
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

void NatTest::read(const std::string& text, bool v6) {
  base::Diagnostics diagnostics;
  ruleset::read_rules(text, 0, v6 ? "rules.v6" : "rules.v4", book_, diagnostics);
}

void NatTest::port_forward() {
  translate("-A PREROUTING -i veth0 -p tcp --dport 8080 -j DNAT --to-destination 10.7.0.2:80", "prerouting",
            "iifname \"veth0\" tcp dport 8080 dnat to 10.7.0.2:80");
}

std::string print_system(const testing::TestParamInfo<System>& system) {
  switch (system.param) {
    case System::Legacy: return "legacy";
    case System::IptablesNft: return "iptables_nft";
    case System::Nft: return "nft";
  }
  return "";
}

}  // namespace fwtrace::live
