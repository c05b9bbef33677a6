// Arming against the real kernel: what is in it, what it arms, what it leaves alone.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "host/nf_log.h"
#include "live/box.h"

namespace fwtrace::live {
namespace {

using Strings = std::vector<std::string>;

class ArmTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
  }
  // NFLOG has the legacy events only if this namespace logs there.
  static void log_to_netlink() {
    for (const int family : host::kLoggedFamilies) host::set_logger(family, host::kNetlinkLogger);
  }
  std::unique_ptr<Box> box_;
};

std::size_t count_of(const Strings& all, const std::string& one) {
  return static_cast<std::size_t>(std::ranges::count(all, one));
}

TEST_F(ArmTest, AllThreeSystemsSpeakOnOneSocketInTheOrderOfThePacket) {
  const std::string ours = host::Arming::table_name(getpid());
  ASSERT_EQ(
      Box::run(
          "iptables-legacy -t raw -A PREROUTING -p udp -j MARK --set-mark 0;"
          "iptables-legacy -A FORWARD -p udp -j ACCEPT;"
          "iptables-nft -A FORWARD -p udp --dport 53 -m comment --comment mine;"
          "nft 'table inet fw { chain f { type filter hook forward priority 10; udp dport 53 counter accept; }; }'"),
      "");
  const std::string before = Box::run("nft list tables; iptables-legacy-save -c");
  auto live = arm({"-p", "udp", "--dport", "53"});
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_TRUE((*live)->arming.owned());
  EXPECT_EQ((*live)->group, host::Group0::Ours);
  log_to_netlink();
  box_->send_udp("10.8.0.2", 53, 1);
  const Strings seen = texts(collect(**live));
  const Strings expected{"nft " + ours + ":start",
                         "legacy raw:PREROUTING:rule:1",
                         "legacy raw:PREROUTING:policy:2",
                         "nft " + ours + ":after-conntrack",
                         "nft " + ours + ":after-dnat",
                         "legacy filter:FORWARD:rule:1",
                         "nft filter:FORWARD",
                         "nft filter:FORWARD",
                         "nft filter:FORWARD",  // rule, end, policy
                         "nft fw:f",
                         "nft " + ours + ":before-snat",
                         "nft " + ours + ":left"};
  // Legacy and iptables-nft filter tables have one priority: their order is that of their making.
  Strings sorted_seen = seen, sorted_expected = expected;
  std::ranges::sort(sorted_seen);
  std::ranges::sort(sorted_expected);
  EXPECT_EQ(sorted_seen, sorted_expected) << testing::PrintToString(seen);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.front(), expected.front());
  EXPECT_EQ(seen.back(), expected.back());
  const auto counters = (*live)->arming.counters();
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->matched, 1U);
  EXPECT_EQ(counters->armed, 1U);
  EXPECT_TRUE((*live)->arming.disarm());
  live->reset();
  EXPECT_EQ(Box::run("nft list tables"), before.substr(0, before.find("# Generated")));
  EXPECT_NE(Box::run("iptables-legacy-save -c").find("[1:44] -A FORWARD -p udp -j ACCEPT"),
            std::string::npos);
}

TEST_F(ArmTest, IPv6ToTheBoxItselfAndItsIcmpErrorBack) {
  const std::string ours = host::Arming::table_name(getpid());
  auto live = arm({"-p", "udp", "--dport", "53", "-6"});
  ASSERT_TRUE(live) << live.error().message;
  box_->send_udp("fd09::1", 53, 1);  // nobody listens: port unreachable
  const Strings seen = texts(collect(**live));
  EXPECT_EQ(count_of(seen, "nft " + ours + ":start"), 1U) << testing::PrintToString(seen);
  EXPECT_EQ(count_of(seen, "nft " + ours + ":delivered"), 1U);
  EXPECT_EQ(count_of(seen, "nft " + ours + ":start-sent"), 1U);
  EXPECT_EQ(count_of(seen, "nft " + ours + ":left"), 1U);
}

TEST_F(ArmTest, TheRateIsSpentOnceForEachPacket) {
  // Conntrack on, so that the chain behind defragmentation is of use.
  ASSERT_EQ(
      Box::run(
          "nft 'table inet track { chain c { type filter hook prerouting priority 0; ct state new accept; }; }'"),
      "");
  auto live = arm({"-p", "udp"}, {.rate = 10, .burst = 10}, true, false, false);
  ASSERT_TRUE(live) << live.error().message;
  const auto begin = std::chrono::steady_clock::now();
  box_->send_udp("10.8.0.2", 53, 20'000);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Strings seen = texts(collect(**live));
  const auto counters = (*live)->arming.counters();
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->matched, 20'000U);
  // kernel: nft_limit_eval lets `burst` and then `rate` a second through.
  EXPECT_GE(counters->armed, 10U);
  EXPECT_LE(counters->armed, 10U + static_cast<std::uint64_t>(10 * seconds) + 1);
  const std::string ours = "nft " + host::Arming::table_name(getpid());
  EXPECT_EQ(count_of(seen, ours + ":start"), counters->armed);
  EXPECT_EQ(count_of(seen, ours + ":left"), counters->armed);
  EXPECT_EQ(count_of(seen, ours + ":start-fragment"), 0U);
  RecordProperty("armed", static_cast<int>(counters->armed));
}

TEST_F(ArmTest, FragmentsWithConntrackAreOneJourney) {
  ASSERT_EQ(
      Box::run(
          "nft 'table inet track { chain c { type filter hook prerouting priority 0; ct state new accept; }; }'"),
      "");
  for (const char* to : {"10.8.0.2", "fd08::2"}) {
    auto live = arm({"-p", "udp"}, {}, true, false, false);
    ASSERT_TRUE(live) << live.error().message;
    box_->send_udp(to, 53, 1, 4000);
    const Strings seen = texts(collect(**live));
    const std::string ours = "nft " + host::Arming::table_name(getpid());
    EXPECT_EQ(count_of(seen, ours + ":start"), 1U) << to << testing::PrintToString(seen);
    EXPECT_EQ(count_of(seen, ours + ":start-fragment"), 0U) << to;
    EXPECT_EQ(count_of(seen, ours + ":after-dnat"), 1U) << to;
    EXPECT_EQ(count_of(seen, ours + ":left"), 1U) << to;
    EXPECT_EQ((*live)->arming.counters()->armed, 1U) << to;
  }
}

TEST_F(ArmTest, FragmentsWithoutConntrackAreOneJourneyEach) {
  for (const char* to : {"10.8.0.2", "fd08::2"}) {
    auto live = arm({"-p", "udp"}, {}, true, false, false);
    ASSERT_TRUE(live) << live.error().message;
    box_->send_udp(to, 53, 1, 4000);
    const Strings seen = texts(collect(**live));
    const std::string ours = "nft " + host::Arming::table_name(getpid());
    EXPECT_EQ(count_of(seen, ours + ":start"), 1U) << to << testing::PrintToString(seen);
    EXPECT_EQ(count_of(seen, ours + ":start-fragment"), 2U) << to;
    EXPECT_EQ(count_of(seen, ours + ":left"), 3U) << to;
    EXPECT_EQ((*live)->arming.counters()->armed, 3U) << to;
  }
}

TEST_F(ArmTest, LoopbackIsDecidedOnOnce) {
  auto live = arm({"-p", "icmp"});
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_TRUE(box_->ping(Box::From::Box, "127.0.0.1"));
  const Strings seen = texts(collect(**live));
  const std::string ours = "nft " + host::Arming::table_name(getpid());
  EXPECT_EQ(count_of(seen, ours + ":start-sent"), 2U) << testing::PrintToString(seen);  // request and reply
  EXPECT_EQ(count_of(seen, ours + ":start"), 0U);
  EXPECT_EQ(count_of(seen, ours + ":first"), 2U);  // traced already: it says that it comes in
  EXPECT_EQ((*live)->arming.counters()->armed, 2U);
}

TEST_F(ArmTest, WithoutTheOwnerFlagTheSwitchLetsGo) {
  constexpr host::DeadMansSwitch kSecond{.lifetime = std::chrono::seconds(1),
                                         .refresh_every = std::chrono::seconds(1)};
  auto live = arm({"-p", "udp"}, {.dead_mans_switch = kSecond}, false, false, false);
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_FALSE((*live)->arming.owned());
  box_->send_udp("10.8.0.2", 53, 1);
  EXPECT_FALSE(collect(**live).empty());
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  (*live)->arming.refresh();
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  box_->send_udp("10.8.0.2", 53, 1);
  EXPECT_FALSE(collect(**live).empty()) << "the refresh kept it armed";
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  box_->send_udp("10.8.0.2", 53, 1);
  EXPECT_TRUE(collect(**live).empty()) << "nobody refreshed";
  (*live)->arming.refresh();
  box_->send_udp("10.8.0.2", 53, 1);
  EXPECT_FALSE(collect(**live).empty()) << "a late refresh arms again";
  EXPECT_EQ((*live)->arming.counters()->matched, 4U);
  EXPECT_EQ((*live)->arming.counters()->armed, 3U);
  live->reset();
  auto left = host::find_our_tables();
  ASSERT_TRUE(left);
  ASSERT_EQ(left->size(), 1U);
  EXPECT_TRUE(host::remove_table(left->front().family, left->front().name));
  EXPECT_EQ(Box::run("nft list tables"), "");
}

TEST_F(ArmTest, SurvivesFlushRuleset) {
  auto live = arm({"-p", "udp"}, {}, true, true);
  ASSERT_TRUE(live) << live.error().message;
  const std::string ours = host::Arming::table_name(getpid());
  EXPECT_EQ(Box::run("nft list tables"), "table inet " + ours + "\ntable bridge " + ours + "\n");
  EXPECT_EQ(Box::run("nft flush ruleset"), "");
  EXPECT_EQ(Box::run("nft list tables"), "table inet " + ours + "\ntable bridge " + ours + "\n");
  box_->send_udp("10.8.0.2", 53, 1);
  EXPECT_FALSE(collect(**live).empty());
  // What `nft list ruleset` prints of us can be read back: an admin may save it while we are there.
  EXPECT_EQ(
      Box::run("nft list ruleset | sed 's/fwtrace-[0-9]*/copy/; s/flags owner//' >/tmp/fwtrace-live.nft;"
               "nft -c -f /tmp/fwtrace-live.nft; rm -f /tmp/fwtrace-live.nft"),
      "");
  live->reset();
  EXPECT_EQ(Box::run("nft list tables"), "");
}

TEST_F(ArmTest, GroupTaken) {
  auto first = arm({"-p", "udp"});
  ASSERT_TRUE(first) << first.error().message;
  auto second = host::NetlinkSocket::open();
  ASSERT_TRUE(second);
  auto group = host::bind_group0(*second);
  ASSERT_TRUE(group) << group.error().message;
  EXPECT_EQ(*group, host::Group0::Taken);
  const auto holder = host::find_group0_holder();
  ASSERT_TRUE(holder);
  EXPECT_NE(holder->find("(process " + std::to_string(getpid()) + ")"), std::string::npos) << *holder;
}

TEST_F(ArmTest, BridgedAndThenRoutedIsDecidedOnOnce) {
  ASSERT_EQ(Box::run("ip link add br0 type bridge; ip addr flush dev veth0; ip link set veth0 master br0;"
                     "ip addr add 10.9.0.1/24 dev br0; ip link set br0 up; sleep 0.1"),
            "");
  EXPECT_TRUE(box_->ping(Box::From::Neighbour, "10.9.0.1"));
  const std::string ours = "nft " + host::Arming::table_name(getpid());
  for (const bool bridge : {false, true}) {
    for (const char* br_netfilter : {"0", "1"}) {
      SCOPED_TRACE(std::string(bridge ? "bridge armed, " : "inet only, ") + "br_netfilter " + br_netfilter);
      Box::run(std::string("sysctl -qw net.bridge.bridge-nf-call-iptables=") + br_netfilter);
      auto live = arm({"-p", "udp"}, {}, true, bridge, false);
      ASSERT_TRUE(live) << live.error().message;
      box_->send_udp("10.8.0.2", 53, 3);
      const Strings seen = texts(collect(**live));
      EXPECT_EQ(count_of(seen, ours + ":start"), 3U) << testing::PrintToString(seen);
      EXPECT_EQ(count_of(seen, ours + ":first"), bridge ? 3U : 0U);  // of the inet table: "was here"
      EXPECT_EQ(count_of(seen, ours + ":left"), 3U);
      EXPECT_EQ((*live)->arming.counters()->armed, 3U);
    }
  }
}

struct FilterCase {
  Strings words;
  std::uint64_t armed;  // of the packets that send_all() sends
};

// One datagram each: v4 53, v4 54, v6 53, v6 54 (all from port 4000, forwarded), one ping each way of v4 (2 packets),
TEST_F(ArmTest, FiltersArmWhatTheySay) {
  const std::vector<FilterCase> cases{
      {{"-p", "udp"}, 4},
      {{"--dport", "53"}, 2},
      {{"-p", "udp", "--dport", "50:53"}, 2},
      {{"--sport", "4000", "-4"}, 2},
      {{"--dport", "80"}, 0},
      {{"-s", "10.9.0.0/24", "-p", "udp"}, 2},
      {{"-s", "10.9.0.2", "-d", "10.8.0.0/255.255.255.0"}, 2},
      {{"-d", "fd08::/16", "-p", "udp"}, 2},
      {{"-d", "fd08::2", "-p", "17", "--dport", "54"}, 1},
      {{"-p", "udp", "!", "--dport", "53"}, 2},
      {{"-p", "udp", "!", "-s", "10.9.0.2"}, 2},
      {{"-p", "udp", "!", "-d", "10.8.0.2", "!", "--dport", "53"}, 1},
      {{"-i", "veth0", "-p", "udp"}, 4},
      {{"-i", "veth+", "-p", "udp"}, 4},
      {{"-i", "veth", "-p", "udp"}, 0},
      {{"!", "-i", "veth+", "-p", "udp"}, 0},
      {{"-o", "out0", "-p", "udp"}, 4},
      {{"-p", "icmp"}, 2},
      {{"--icmp-type", "echo-request"}, 1},
      {{"--icmp-type", "0/0"}, 1},
      {{"-4", "!", "--icmp-type", "echo-request", "-s", "10.9.0.2"}, 2},
      {{"-p", "udp", "-m", "mark", "--mark", "7"}, 4},
      {{"-p", "udp", "!", "--mark", "0"}, 0},
      {{"-p", "udp", "!", "--mark", "1/1"}, 4},
      {{"-6", "-p", "udp"}, 2},
  };
  for (const FilterCase& one : cases) {
    auto live = arm(one.words, {.rate = 10'000, .burst = 1000}, true, false, false);
    ASSERT_TRUE(live) << testing::PrintToString(one.words) << live.error().message;
    for (const char* to : {"10.8.0.2", "fd08::2"}) {
      box_->send_udp(to, 53, 1);
      box_->send_udp(to, 54, 1);
    }
    EXPECT_TRUE(box_->ping(Box::From::Neighbour, "10.9.0.1"));
    EXPECT_EQ((*live)->arming.counters()->armed, one.armed) << testing::PrintToString(one.words);
  }
}

TEST_F(ArmTest, RepliesAreArmedByTheMirroredTuple) {
  auto live = arm({"--icmp-type", "echo-request", "-d", "10.9.0.1"});
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_TRUE(box_->ping(Box::From::Neighbour, "10.9.0.1"));
  EXPECT_TRUE(box_->ping(Box::From::Neighbour, "10.9.0.1"));
  EXPECT_EQ((*live)->arming.counters()->armed, 4U);
}

TEST_F(ArmTest, AnExcludedConnectionIsNotArmed) {
  host::ArmingWish wish;
  wish.filter = packet::take_filter({"-p", "tcp"}, {})->filter;
  host::Connection connection;
  connection.local = *packet::parse_ip("10.9.0.1");
  connection.remote = *packet::parse_ip("10.9.0.2");
  connection.local_port = 22;
  connection.remote_port = 40022;
  wish.excluded = {connection};
  auto socket = host::NetlinkSocket::open();
  ASSERT_TRUE(socket);
  auto arming = host::Arming::arm(*socket, host::plan_arming(wish), {}, host::Arming::table_name(getpid()));
  ASSERT_TRUE(arming) << arming.error().message;
  const auto dial = [&](int from, int to) {
    const auto inside = host::EnterNamespace::enter(box_->neighbour());
    Box::run(
        "timeout 10 python3 -c 'import socket as s; k=s.socket(); k.setsockopt(s.SOL_SOCKET,s.SO_REUSEADDR,1);"
        "k.bind((\"10.9.0.2\"," +
        std::to_string(from) + ")); k.connect((\"10.9.0.1\"," + std::to_string(to) + "))'");
  };
  dial(40022, 22);  // refused: SYN and RST, both excluded
  EXPECT_EQ(arming->counters()->matched, 0U);
  dial(40023, 22);
  EXPECT_EQ(arming->counters()->matched, 2U);
}

}  // namespace
}  // namespace fwtrace::live
