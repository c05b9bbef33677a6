#include "base/text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace fwtrace::base {
namespace {

using Views = std::vector<std::string_view>;

TEST(Text, Splitting) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(split_words("  a  bc\td\n"), (Views{"a", "bc", "d"}));
  EXPECT_EQ(split_words(""), Views{});
  EXPECT_EQ(split("a,,b,", ','), (Views{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (Views{""}));
}

TEST(Text, NumbersAreWholeOrNothing) {
  EXPECT_EQ(parse_number<std::uint16_t>("65535"), 65535);
  EXPECT_EQ(parse_number<std::uint16_t>("ff", 16), 255);
  for (const char* bad : {"", "65536", "-1", "+1", " 1", "1 ", "1x", "0x1"})
    EXPECT_EQ(parse_number<std::uint16_t>(bad), std::nullopt) << bad;
  EXPECT_EQ(parse_unsigned("0x1F"), 31U);
  EXPECT_EQ(parse_unsigned("18446744073709551615"), ~std::uint64_t{0});
  for (const char* bad : {"", "0x", "0x-1", "18446744073709551616", "1f"})
    EXPECT_EQ(parse_unsigned(bad), std::nullopt) << bad;
}

TEST(Text, HexDigits) {
  EXPECT_EQ(hex_value('9'), 9);
  EXPECT_EQ(hex_value('a'), 10);
  EXPECT_EQ(hex_value('F'), 15);
  EXPECT_EQ(hex_value('g'), -1);
  EXPECT_FALSE(is_hex('\xff'));
}

// What could drive a terminal becomes visible; ordinary text of any language stays.
TEST(Text, Printable) {
  EXPECT_EQ(to_printable("Grüße → ✗ 日本"), "Grüße → ✗ 日本");
  EXPECT_EQ(to_printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(to_printable("a\tb\x7f"), "a b\\x7f");
  EXPECT_EQ(to_printable("\xc2\x9b"
                         "31m"),
            "\\xc2\\x9b31m");  // C1 control: CSI
  EXPECT_EQ(to_printable("\xe2\x80\xae"
                         "x"),
            "\\xe2\\x80\\xaex");                                                 // right-to-left override
  EXPECT_EQ(to_printable("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  EXPECT_EQ(to_printable("\xe2\x86"), "\\xe2\\x86");                             // cut short
}

RC_GTEST_PROP(Text, WhatIsMadePrintableIsPrintable, (const std::string& text)) {
  const std::string out = to_printable(text);
  RC_ASSERT(is_printable(out));
  RC_ASSERT(is_printable(text) == (out == text));
}

TEST(Text, WidthsAndCommas) {
  EXPECT_EQ(display_width("a→✗"), 3U);
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1'234'567), "1,234,567");
  EXPECT_EQ(with_commas(123'456), "123,456");
}

TEST(Text, AShellWordIsOneWord) {
  EXPECT_EQ(to_shell_word("eth0"), "eth0");
  EXPECT_EQ(to_shell_word("10.0.0.0/8"), "10.0.0.0/8");
  EXPECT_EQ(to_shell_word(""), "''");
  EXPECT_EQ(to_shell_word("a;reboot"), "'a;reboot'");
  EXPECT_EQ(to_shell_word("it's $HOME"), "'it'\\''s $HOME'");
}

}  // namespace
}  // namespace fwtrace::base
