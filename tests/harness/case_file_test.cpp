#include "harness/case_file.h"

#include <gtest/gtest.h>

namespace fwtrace::harness {
namespace {

using Words = std::vector<std::string>;

constexpr std::string_view kFull =
    "Why: every section at once.\n"
    "-- cmd --\n"
    "fwtrace explain 'a b.log' --rules \"x\\\"y\"\n"
    "-- env --\n"
    "width 80\n"
    "terminal yes\n"
    "color always\n"
    "-- file a b.log --\n"
    "line one\n"
    "\n"
    "-- stdin --\n"
    "typed\n"
    "-- stdout --\n"
    "out\n"
    "-- exit --\n"
    "3\n";

std::string error_of(std::string_view text) {
  const auto parsed = parse_case(text, "x.case");
  return parsed ? "no error" : parsed.error();
}

TEST(CaseFile, ReadsEverySection) {
  const auto parsed = parse_case(kFull, "x.case");
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->why, "Why: every section at once.\n");
  EXPECT_EQ(parsed->args, (Words{"explain", "a b.log", "--rules", "x\"y"}));
  EXPECT_EQ(parsed->width, 80);
  EXPECT_TRUE(parsed->terminal);
  EXPECT_TRUE(parsed->color);
  EXPECT_EQ(parsed->exit, 3);
  ASSERT_NE(parsed->find("file"), nullptr);
  EXPECT_EQ(parsed->find("file")->argument, "a b.log");
  EXPECT_EQ(parsed->find("file")->text, "line one\n\n");
  EXPECT_EQ(parsed->expected("stdin"), "typed\n");
  EXPECT_EQ(parsed->expected("stdout"), "out\n");
  EXPECT_EQ(parsed->expected("stderr"), "");
}

TEST(CaseFile, AbsentSectionsHaveDefaults) {
  const auto parsed = parse_case("Why.\n-- cmd --\nfwtrace\n", "x.case");
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(parsed->args, Words{});
  EXPECT_EQ(parsed->exit, 0);
  EXPECT_EQ(parsed->width, 0);
  EXPECT_FALSE(parsed->terminal);
  EXPECT_FALSE(parsed->color);
}

TEST(CaseFile, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of("-- cmd --\nfwtrace\n"),
            "x.case:1: it must begin with a sentence that says why the case exists");
  EXPECT_EQ(error_of("Why.\n-- stdout --\n"), "x.case:1: there is no '-- cmd --' section");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nls\n"), "x.case:3: the command must begin with 'fwtrace'");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace 'x\n"), "x.case:3: a quote is not closed");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace\nfwtrace\n"), "x.case:4: a case is one command line");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace\n-- exit --\nfour\n"),
            "x.case:5: an exit status is a number from 0 to 255");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace\n-- env --\n\nheight 3\n"),
            "x.case:6: unknown setting 'height'; there are width, terminal and color");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace\n-- env --\nwidth wide\n"),
            "x.case:5: 'width' takes a number of columns");
  EXPECT_EQ(
      error_of("Why.\n-- cmd --\nfwtrace\n-- sdtout --\n"),
      "x.case:4: unknown section 'sdtout'; there are cmd, file NAME, stdin, stdout, stderr, exit and env");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace\n-- exit --\n0\n-- exit --\n0\n"),
            "x.case:6: a second '-- exit --'");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace\n-- file ../x --\n"),
            "x.case:4: a file needs a relative name without '..'");
  EXPECT_EQ(error_of("Why.\n-- cmd --\nfwtrace"), "x.case:1: the last line has no newline");
}

TEST(CaseFile, SplitsAsAShellDoes) {
  EXPECT_EQ(split_command("  a\tb  c ").value(), (Words{"a", "b", "c"}));
  EXPECT_EQ(split_command(R"(a'b c'd "" '')").value(), (Words{"ab cd", "", ""}));
  EXPECT_EQ(split_command(R"("a\"b\\c\d" 'e\f' g\ h)").value(), (Words{R"(a"b\c\d)", R"(e\f)", "g h"}));
  EXPECT_EQ(split_command("$HOME * ~ >x").value(), (Words{"$HOME", "*", "~", ">x"}));
  EXPECT_FALSE(split_command("\"a"));
}

TEST(CaseFile, BytesSurviveSections) {
  for (const std::string_view bytes : {"", "a", "a\n", "a\nb", "\n", "a\n\n", "\\ no newline at end"}) {
    EXPECT_EQ(to_bytes(to_section_text(bytes)), bytes);
  }
  EXPECT_EQ(to_section_text("a"), "a\n\\ no newline at end\n");
}

TEST(CaseFile, RebaseOfWhatIsExpectedChangesNothing) {
  const auto parsed = parse_case(kFull, "x.case");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(rebase(*parsed, "out\n", "", 3).value(), kFull);
}

TEST(CaseFile, RebaseKeepsTheOrderAndTheWhy) {
  const auto parsed =
      parse_case("Why.\n-- stdout --\nold\n-- cmd --\nfwtrace\n-- stderr --\nold\n", "x.case");
  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(rebase(*parsed, "new\n", "", 2).value(),
            "Why.\n-- stdout --\nnew\n-- cmd --\nfwtrace\n-- exit --\n2\n");
  EXPECT_FALSE(rebase(*parsed, "-- stdout --\n", "", 0));
}

TEST(CaseFile, DiffShowsTheLinesThatDiffer) {
  EXPECT_EQ(diff("a\nb\n", "a\nb\n"), "");
  EXPECT_EQ(diff("a\nb\nc\n", "a\nx\nc\n"), "  a\n- b\n+ x\n  c\n");
  EXPECT_EQ(diff("", "a\n"), "+ a\n");
  EXPECT_EQ(diff("1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n6\n"), "  ...\n  3\n  4\n  5\n+ 6\n");
}

}  // namespace
}  // namespace fwtrace::harness
