#include "base/diagnostic.h"

#include <gtest/gtest.h>

namespace fwtrace::base {
namespace {

Diagnostic odd(std::uint32_t line, Severity severity = Severity::Warning) {
  Diagnostic diagnostic;
  diagnostic.severity = severity;
  diagnostic.code = "damaged-line";
  diagnostic.place.line = line;
  return diagnostic;
}

TEST(Diagnostics, CountsAllAndKeepsAFew) {
  Diagnostics diagnostics;
  for (std::uint32_t line = 1; line <= 100; ++line) diagnostics.add(odd(line));
  Diagnostic other;
  other.code = "loss";
  diagnostics.add(other);
  diagnostics.add(odd(101, Severity::Error));
  ASSERT_EQ(diagnostics.kinds().size(), 2U);
  const Diagnostics::Kind& kind = diagnostics.kinds()[0];
  EXPECT_EQ(kind.code, "damaged-line");
  EXPECT_EQ(kind.count, 101U);
  EXPECT_EQ(kind.severity, Severity::Error);
  ASSERT_EQ(kind.first.size(), Diagnostics::kKept);
  EXPECT_EQ(kind.first[0].place.line, 1U);
  EXPECT_EQ(diagnostics.count("loss"), 1U);
  EXPECT_EQ(diagnostics.count("never"), 0U);
}

TEST(Diagnostics, PlacesSayWhatIsKnown) {
  Sources sources;
  const std::uint32_t log = sources.add("kern.log");
  EXPECT_EQ(sources.print({}), "");
  EXPECT_EQ(sources.print({log, 0, 0}), "kern.log");
  EXPECT_EQ(sources.print({log, 17, 0}), "kern.log:17");
  EXPECT_EQ(sources.print({log, 17, 42}), "kern.log:17:42");
  EXPECT_EQ(sources.print({0, 17, 42}), "line 17:42");
  EXPECT_EQ(sources.name(99), "");
}

TEST(Diagnostics, PrintedWithLineCaretAndHint) {
  Sources sources;
  Diagnostic diagnostic = odd(3);
  diagnostic.place = {sources.add("kern.log"), 3, 5};
  diagnostic.message = "the line is damaged\x1b";
  diagnostic.hints = {"look here"};
  diagnostic.line = "IN=\x1b OUT";
  EXPECT_EQ(print_diagnostic(diagnostic, sources),
            "kern.log:3:5: warning: the line is damaged\\x1b\n"
            "    IN=\\x1b OUT\n"
            "           ^\n"
            "    hint: look here\n");
}

TEST(Diagnostics, LongLinesAreShownAroundTheColumn) {
  Diagnostic diagnostic = odd(1, Severity::Note);
  diagnostic.place.column = 201;
  diagnostic.line = std::string(200, 'a') + "B" + std::string(150, 'c');
  EXPECT_EQ(print_diagnostic(diagnostic, Sources()),
            "line 1:201: note: \n"
            "    …" +
                std::string(60, 'a') + "B" + std::string(39, 'c') +
                "…\n"
                "    " +
                std::string(61, ' ') + "^\n");
}

}  // namespace
}  // namespace fwtrace::base
