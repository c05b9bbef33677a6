#include "packet/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace fwtrace::packet {
namespace {

IpAddress from_bytes(IpVersion version, const std::vector<std::uint8_t>& bytes) {
  IpAddress address;
  address.version = version;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

// Zero groups are common, so that every "::" comes up.
rc::Gen<IpAddress> any_ip() {
  const auto byte = rc::gen::oneOf(rc::gen::just(std::uint8_t{0}), rc::gen::arbitrary<std::uint8_t>());
  return rc::gen::mapcat(rc::gen::arbitrary<bool>(), [=](bool v4) {
    return rc::gen::map(
        rc::gen::container<std::vector<std::uint8_t>>(v4 ? 4 : 16, byte),
        [=](const auto& bytes) { return from_bytes(v4 ? IpVersion::V4 : IpVersion::V6, bytes); });
  });
}

RC_GTEST_PROP(Address, PrintedAddressesComeBack, ()) {
  const IpAddress address = *any_ip();
  RC_ASSERT(parse_ip(print_ip(address)) == address);
  std::string kernel;
  append_ip_kernel(kernel, address);
  RC_ASSERT(parse_ip(kernel) == address);
}

RC_GTEST_PROP(Address, PrintsAsTheCLibraryDoes, ()) {
  const IpAddress address = *any_ip();
  // glibc also shows ::1.2.3.4 (deprecated by RFC 4291 2.5.5.1) as IPv4; we do not.
  const bool compatible =
      std::all_of(address.bytes.begin(), address.bytes.begin() + 12, [](auto b) { return b == 0; });
  RC_PRE(address.version == IpVersion::V4 || !compatible);
  char text[INET6_ADDRSTRLEN];
  inet_ntop(address.version == IpVersion::V4 ? AF_INET : AF_INET6, address.bytes.data(), text, sizeof text);
  RC_ASSERT(print_ip(address) == text);
}

// Whatever the C library reads, we read the same; whatever it refuses, we refuse.
RC_GTEST_PROP(Address, ReadsAsTheCLibraryDoes, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("0123afF::::")));
  IpAddress expected;
  if (inet_pton(AF_INET6, text.c_str(), expected.bytes.data()) == 1) {
    expected.version = IpVersion::V6;
    RC_ASSERT(parse_ip(text) == expected);
  } else if (text.find(':') != std::string::npos) {
    RC_ASSERT(!parse_ip(text));
  }
}

RC_GTEST_PROP(Address, PrintedPrefixesComeBack, ()) {
  const IpAddress address = *any_ip();
  const int full = address.version == IpVersion::V4 ? 32 : 128;
  const auto prefix = parse_prefix(print_ip(address) + "/" + std::to_string(*rc::gen::inRange(0, full + 1)));
  RC_ASSERT(prefix.has_value());
  RC_ASSERT(parse_prefix(print_prefix(*prefix)) == prefix);
  RC_ASSERT(prefix->contains(address));
}

RC_GTEST_PROP(Address, PrintedMacsComeBack, (const MacAddress& mac)) {
  RC_ASSERT(parse_mac(print_mac(mac)) == mac);
}

TEST(Address, Ipv4) {
  EXPECT_EQ(parse_ip("1.20.255.0"), IpAddress::v4(0x0114ff00));
  EXPECT_EQ(parse_ip("010.000.0.1"), IpAddress::v4(0x0a000001));
  EXPECT_EQ(print_ip(IpAddress::v4(0x0114ff00)), "1.20.255.0");
  for (const char* bad :
       {"", "1", "1.2.3", "1.2.3.", "1.2.3.4.", "1.2.3.4.5", "1.2.3.256", "1.2.3.0004", "1..2.3", ".1.2.3",
        "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4", "1.2.3.-4", "0x1.2.3.4", "1.2.3.4/8", "99999999999.1.1.1"}) {
    EXPECT_EQ(parse_ip(bad), std::nullopt) << bad;
  }
}

TEST(Address, Ipv6) {
  const std::pair<const char*, const char*> rows[] = {
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"fe80:0000:0000:0000:8ab9:07ff:fe65:0077", "fe80::8ab9:7ff:fe65:77"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::ffff:10.0.0.1", "::ffff:10.0.0.1"},
      {"64:ff9b::10.0.0.1", "64:ff9b::a00:1"},
  };
  for (const auto& [text, canonical] : rows) {
    const auto address = parse_ip(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(print_ip(*address), canonical);
  }
  for (const char* bad : {":", ":::", "1", "1:", ":1", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
                          "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "g::", "fe80::1%eth0",
                          "::1.2.3", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::1 ", "[::1]", "::/0"}) {
    EXPECT_EQ(parse_ip(bad), std::nullopt) << bad;
  }
}

TEST(Address, TheKernelWritesEveryDigit) {
  std::string out = "SRC=";
  append_ip_kernel(out, *parse_ip("fd77:1::2"));
  EXPECT_EQ(out, "SRC=fd77:0001:0000:0000:0000:0000:0000:0002");
  EXPECT_EQ(print_ip(IpAddress()), "");
  out.clear();
  append_ip_kernel(out, IpAddress());
  EXPECT_EQ(out, "");
}

TEST(Address, Prefixes) {
  const std::pair<const char*, const char*> rows[] = {
      {"10.0.0.0/8", "10.0.0.0/8"},
      {"10.1.2.3/8", "10.0.0.0/8"},
      {"10.0.0.0/255.0.0.0", "10.0.0.0/8"},
      {"10.0.0.1", "10.0.0.1"},
      {"10.0.0.1/32", "10.0.0.1"},
      {"0.0.0.0/0", "0.0.0.0/0"},
      {"10.0.0.5/255.0.0.255", "10.0.0.5/255.0.0.255"},
      {"fd00:1::/8", "fd00::/8"},
      {"fd00::1/ffff::", "fd00::/16"},
      {"fd00::1/::ff", "::1/::ff"},
      {"::/0", "::/0"},
  };
  for (const auto& [text, canonical] : rows) {
    const auto prefix = parse_prefix(text);
    ASSERT_TRUE(prefix) << text;
    EXPECT_EQ(print_prefix(*prefix), canonical);
  }
  for (const char* bad : {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8",
                          "fd00::/129", "fd00::/255.0.0.0", "10.0.0.0/fd00::", "eth0"}) {
    EXPECT_EQ(parse_prefix(bad), std::nullopt) << bad;
  }
}

TEST(Address, PrefixesContainOnlyTheirOwnVersion) {
  EXPECT_TRUE(parse_prefix("10.0.0.0/8")->contains(*parse_ip("10.1.2.3")));
  EXPECT_FALSE(parse_prefix("10.0.0.0/8")->contains(*parse_ip("11.1.2.3")));
  EXPECT_TRUE(parse_prefix("10.0.0.5/255.0.0.255")->contains(*parse_ip("10.9.9.5")));
  EXPECT_FALSE(parse_prefix("10.0.0.5/255.0.0.255")->contains(*parse_ip("10.9.9.6")));
  EXPECT_FALSE(parse_prefix("0.0.0.0/0")->contains(*parse_ip("::")));
  EXPECT_FALSE(parse_prefix("::/0")->contains(*parse_ip("0.0.0.0")));
  EXPECT_FALSE(parse_prefix("0.0.0.0/0")->contains(IpAddress()));
  EXPECT_FALSE(IpPrefix().contains(IpAddress()));
}

TEST(Address, Macs) {
  EXPECT_EQ(parse_mac("1e:30:b:18:A4:15"), (MacAddress{0x1e, 0x30, 0x0b, 0x18, 0xa4, 0x15}));
  EXPECT_EQ(print_mac({0x1e, 0x30, 0x0b, 0x18, 0xa4, 0x15}), "1e:30:0b:18:a4:15");
  for (const char* bad : {"", "1e:30:b:18:a4", "1e:30:b:18:a4:", "1e:30:b:18:a4:15:16", "1e:30::18:a4:15",
                          "1e:30:b:18:a4:150", "1e-30-0b-18-a4-15", "1e:30:0b:18:a4:1g"}) {
    EXPECT_EQ(parse_mac(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace fwtrace::packet
