#include "packet/filter.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace fwtrace::packet {
namespace {

const std::vector<std::string> kOurs = {"-c", "-w", "-N", "--netns", "--rules"};

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> result;
  for (const auto word : base::split_words(line)) result.emplace_back(word);
  return result;
}

Filter filter(std::string_view line) {
  auto taken = take_filter(words(line), kOurs);
  EXPECT_TRUE(taken) << line << ": " << (taken ? "" : taken.error().message);
  return taken ? taken->filter : Filter();
}

std::string error(std::string_view line) {
  const auto taken = take_filter(words(line), kOurs);
  if (taken) return "accepted";
  EXPECT_EQ(taken.error().kind, base::ErrorKind::Usage);
  return taken.error().message;
}

std::string hint(std::string_view line) {
  const auto taken = take_filter(words(line), kOurs);
  return taken || taken.error().hints.empty() ? "" : taken.error().hints[0];
}

// A SYN that is sent to another host and port by DNAT: two forms.
std::vector<Packet> dnat(base::Names& names) {
  Packet first;
  first.in = names.intern("em1");
  first.source = *parse_ip("10.36.7.11");
  first.destination = *parse_ip("10.32.105.30");
  first.protocol = proto::kTcp;
  first.ports = {std::uint16_t{54451}, std::uint16_t{80}};
  first.transport = Tcp();
  Packet second = first;
  second.out = names.intern("virbr1");
  second.destination = *parse_ip("192.168.101.10");
  second.ports.destination = 8080;
  second.mark = 0x2a;
  return {first, second};
}

TEST(Filter, TakesItsWordsAndLeavesTheRest) {
  const auto taken =
      take_filter(words("trace -p tcp -v --dport=80 -w -s file -c 5 --rules=-d -- -p udp"), kOurs);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->rest, words("trace -v -w -s file -c 5 --rules=-d -- -p udp"));
  EXPECT_EQ(print_filter(taken->filter), "tcp, destination port 80");
}

TEST(Filter, Prints) {
  EXPECT_EQ(print_filter(Filter()), "everything");
  EXPECT_TRUE(Filter().empty());
  EXPECT_EQ(print_filter(filter("-p tcp --dport 80 -i em1")), "tcp, destination port 80, in em1");
  EXPECT_EQ(print_filter(filter("-6 -p icmpv6 --icmpv6-type echo-request ! -s fd00::/8")),
            "IPv6, icmpv6, ICMPv6 type echo-request, not source fd00::/8");
  EXPECT_EQ(print_filter(filter("-o virbr+ -m mark --mark 0x1/0xff --sport :1024")),
            "out virbr+, mark 0x1/0xff, source port :1024");
}

TEST(Filter, EveryNameOfAnOption) {
  for (const char* line : {"-s 10.0.0.1", "--source 10.0.0.1", "--src 10.0.0.1", "--src=10.0.0.1"}) {
    EXPECT_EQ(filter(line).conditions.at(0).option, "source") << line;
  }
  for (const char* line : {"-d 10.0.0.1", "--destination 10.0.0.1", "--dst 10.0.0.1"}) {
    EXPECT_EQ(filter(line).conditions.at(0).option, "destination") << line;
  }
  for (const char* line : {"--dport 1", "--destination-port 1", "--dports 1"}) {
    EXPECT_EQ(filter(line).conditions.at(0).option, "destination-port") << line;
  }
  for (const char* line : {"--sport 1", "--source-port 1", "--sports 1"}) {
    EXPECT_EQ(filter(line).conditions.at(0).option, "source-port") << line;
  }
  for (const char* line : {"-p udp", "--protocol udp", "--proto udp", "-p 17", "-p UDP"}) {
    EXPECT_EQ(filter(line).conditions.at(0).number, 17) << line;
  }
  EXPECT_EQ(filter("--in-interface a").conditions.at(0).option, "in-interface");
  EXPECT_EQ(filter("--out-interface a").conditions.at(0).option, "out-interface");
  EXPECT_EQ(filter("--ipv4").version, IpVersion::V4);
  EXPECT_EQ(filter("-6").version, IpVersion::V6);
}

TEST(Filter, PastedMatchesAreSilent) {
  EXPECT_EQ(print_filter(filter("-p tcp -m tcp --match=multiport --dports 80 -m mark --mark 1 -p all")),
            "tcp, destination port 80, mark 1");
}

TEST(Filter, NegationOnEitherSide) {
  EXPECT_TRUE(filter("! -s 10.0.0.1").conditions.at(0).negated);
  EXPECT_TRUE(filter("-s ! 10.0.0.1").conditions.at(0).negated);
  EXPECT_TRUE(filter("! --dport=80").conditions.at(0).negated);
  const Filter two = filter("! -s 10.0.0.1 -d 10.0.0.2");
  EXPECT_TRUE(two.conditions.at(0).negated);
  EXPECT_FALSE(two.conditions.at(1).negated);
}

TEST(Filter, Ports) {
  const auto range = [](const char* line) {
    const Filter f = filter(line);
    return std::pair(f.conditions.at(0).low, f.conditions.at(0).high);
  };
  EXPECT_EQ(range("--dport 80"), std::pair(80U, 80U));
  EXPECT_EQ(range("--dport 1024:2048"), std::pair(1024U, 2048U));
  EXPECT_EQ(range("--dport :1024"), std::pair(0U, 1024U));
  EXPECT_EQ(range("--dport 1024:"), std::pair(1024U, 65535U));
  for (const char* bad : {"65536", "2:1", ":", "1:2:3", "no-such-service", "-1", "80,443", "1-2"}) {
    EXPECT_NE(error("--dport " + std::string(bad)), "accepted") << bad;
  }
}

TEST(Filter, MessagesNameTheOptionAndWhatIsExpected) {
  EXPECT_EQ(
      error("! --dport 99999"),
      "\"! --dport 99999\": expected a port (0 to 65535), a range such as 1024:65535, or a service name such as http");
  EXPECT_EQ(error("-s 10.0.0.300"),
            "\"-s 10.0.0.300\": expected an address such as 10.0.0.1, 10.0.0.0/8 or fd00::/8");
  EXPECT_EQ(error("--proto=tpc"),
            "\"--proto tpc\": expected a protocol such as tcp, udp, icmp, icmpv6 or 47");
  EXPECT_EQ(error("-i eth0:1"),
            "\"-i eth0:1\": expected an interface such as eth0, or virbr+ for all that begin with virbr");
  EXPECT_EQ(
      error("-o abcdefghijklmnop+"),
      "\"-o abcdefghijklmnop+\": expected an interface such as eth0, or virbr+ for all that begin with virbr");
  EXPECT_EQ(error("--icmp-type 3/x"),
            "\"--icmp-type 3/x\": expected a type such as echo-request or 8, or a type and code such as 3/4");
  EXPECT_EQ(error("--mark 0x1ffffffff"), "\"--mark 0x1ffffffff\": expected a mark such as 0x1 or 0x1/0xff");
  EXPECT_EQ(hint("--dports 80,443"), "lists are not taken: give one value, or run fwtrace once for each");
  EXPECT_EQ(hint("--dport 80-90"), "write a range with a colon, as iptables does: 1024:65535");
}

TEST(Filter, MissingValues) {
  EXPECT_EQ(error("-p"), "\"-p\" needs a value: a protocol such as tcp, udp, icmp, icmpv6 or 47");
  EXPECT_EQ(error("-s -d 10.0.0.1"),
            "\"-s\" needs a value: an address such as 10.0.0.1, 10.0.0.0/8 or fd00::/8");
  EXPECT_EQ(error("--mark="), "\"--mark\" needs a value: a mark such as 0x1 or 0x1/0xff");
  EXPECT_EQ(error("-s !"), "\"! -s\" needs a value: an address such as 10.0.0.1, 10.0.0.0/8 or fd00::/8");
  EXPECT_EQ(error("-m"), "\"-m\" needs a value");
}

TEST(Filter, LoneNegation) {
  EXPECT_EQ(error("-p tcp !"), "\"!\": \"!\" stands before a condition that it turns round");
  EXPECT_EQ(error("! -4"), "\"! -4\": \"!\" stands before a condition that it turns round");
  EXPECT_EQ(error("! ! -s 10.0.0.1"), "\"! !\": \"!\" stands before a condition that it turns round");
  EXPECT_EQ(error("! -s ! 10.0.0.1"), "\"! -s !\" is turned round twice");
  EXPECT_EQ(error("! -p all"), "\"! -p all\" matches no packet");
}

TEST(Filter, WordsOfAPastedRuleAreRefused) {
  EXPECT_EQ(error("-A FORWARD -p tcp -j DROP"), "\"-A FORWARD\" belongs to a rule, not to a packet");
  EXPECT_EQ(error("-p tcp --jump DROP"), "\"--jump DROP\" belongs to a rule, not to a packet");
  EXPECT_EQ(error("-t"), "\"-t\" belongs to a rule, not to a packet");
  EXPECT_EQ(hint("-A FORWARD"),
            "leave out -A, -t, -j and their values: fwtrace takes only the words that describe a packet");
  EXPECT_EQ(error("-p tcp -c 10 840"), "\"-c 10 840\" are the counters of a rule, not of a packet");
  EXPECT_EQ(error("-m conntrack --ctstate NEW"),
            "\"-m conntrack\" is not a condition that fwtrace can filter by");
}

TEST(Filter, JoinedValuesAreRefused) {
  EXPECT_EQ(error("-ptcp"), "\"-ptcp\" is not understood");
  EXPECT_EQ(hint("-s10.0.0.1"), "write the value as a word of its own: -s 10.0.0.1");
}

TEST(Filter, ContradictionsAreRefused) {
  EXPECT_EQ(error("-4 -6"), "\"-4\" and \"-6\" together match no packet");
  EXPECT_EQ(error("-4 -s fd00::1"),
            "\"-4\" and \"-s fd00::1\" together match no packet: one is of IPv4, the other of IPv6");
  EXPECT_EQ(error("-s fd00::1 -d 10.0.0.1"),
            "\"-s fd00::1\" and \"-d 10.0.0.1\" together match no packet: one is of IPv4, the other of IPv6");
  EXPECT_EQ(error("-p tcp -p udp"),
            "\"-p tcp\" and \"-p udp\" together match no packet: a packet has one protocol");
  EXPECT_EQ(error("--dport 80 -p icmp"),
            "\"-p icmp\" and \"--dport 80\" together match no packet: that protocol has no ports");
  EXPECT_EQ(error("-p icmpv6 --icmp-type 8"),
            "\"-p icmpv6\" and \"--icmp-type 8\" together match no packet: a packet has one protocol");
  EXPECT_EQ(error("-4 ! -s fd00::1"), "accepted");
  EXPECT_EQ(error("-d 10.0.0.1 -d 192.168.0.1"), "accepted");
}

TEST(Filter, AConditionHoldsIfItHeldForOneForm) {
  base::Names names;
  const auto forms = dnat(names);
  for (const char* yes :
       {"", "-p tcp", "-i em1 -o virbr1 -d 10.32.105.30", "-d 192.168.101.0/24 --dport 80",
        "--dport 8000:9000", "-d 10.32.105.30 -d 192.168.101.10", "-o virbr+", "--mark 0x2a",
        "--mark 0x22/0xf2", "--mark 0", "-4", "--sport 54451", "! -s 10.0.0.1", "! -p udp", "! --mark 1"}) {
    EXPECT_TRUE(matches(filter(yes), forms)) << yes;
  }
  for (const char* no :
       {"-p udp", "! -d 10.32.105.30", "! -d 192.168.101.10", "-i virbr1", "-o virbr", "--dport 81", "-6",
        "--mark 1", "--sport 80", "-d 10.0.0.0/16", "! --dport 80", "--icmp-type 8", "-s 192.168.101.10"}) {
    EXPECT_FALSE(matches(filter(no), forms)) << no;
  }
}

TEST(Filter, AMissingFieldDoesNotHold) {
  std::vector<Packet> forms(1);
  forms[0].damaged = true;
  for (const char* line :
       {"-p tcp", "-s 0.0.0.0/0", "--dport 0:", "-i eth0", "--mark 0", "--icmp-type 0", "-4"}) {
    EXPECT_FALSE(matches(filter(line), forms)) << line;
  }
  for (const char* line : {"! -p tcp", "! -s 0.0.0.0/0", "! --dport 0:", "! --mark 0"})
    EXPECT_TRUE(matches(filter(line), forms)) << line;
  EXPECT_TRUE(matches(Filter(), {}));
  EXPECT_FALSE(matches(filter("-p tcp"), {}));
  EXPECT_TRUE(matches(filter("! -p tcp"), {}));
}

TEST(Filter, IcmpTypesBelongToTheirProtocol) {
  std::vector<Packet> forms(1);
  Icmp icmp;
  icmp.type = 3;
  icmp.code = 3;
  forms[0].protocol = proto::kIcmp;
  forms[0].transport = icmp;
  for (const char* yes :
       {"--icmp-type 3", "--icmp-type 3/3", "-p icmp --icmp-type port-unreachable", "! --icmp-type 3/4"}) {
    EXPECT_TRUE(matches(filter(yes), forms)) << yes;
  }
  for (const char* no : {"--icmpv6-type 3", "--icmp-type 3/4", "--icmp-type 8"})
    EXPECT_FALSE(matches(filter(no), forms)) << no;
}

TEST(Filter, EspAsAnExtensionHeader) {
  std::vector<Packet> forms(1);
  forms[0].extensions.resize(1);
  forms[0].extensions[0].kind = Extension::Kind::Esp;
  EXPECT_TRUE(matches(filter("-p esp"), forms));
  EXPECT_FALSE(matches(filter("-p ah"), forms));
}

TEST(Filter, ArpAddresses) {
  std::vector<Packet> forms(1);
  Arp arp;
  arp.sender_ip = *parse_ip("10.0.0.1");
  arp.target_ip = *parse_ip("10.0.0.2");
  forms[0].transport = arp;
  EXPECT_TRUE(matches(filter("-s 10.0.0.1 -d 10.0.0.2"), forms));
  EXPECT_FALSE(matches(filter("-s 10.0.0.2"), forms));
}

}  // namespace
}  // namespace fwtrace::packet
