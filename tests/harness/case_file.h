// One test case as a text file (*.case): how it is read, written back, and how its output is compared.
//
//   Why this case exists, in a sentence.
//   -- cmd --
//   fwtrace explain seed.log
//   -- file seed.log --
//   ...
//   -- stdout --
//   ...
//
// CONTRIBUTING.md has the whole format. Nothing here knows what fwtrace does.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace fwtrace::harness {

// A `-- name --` line and the lines below it, byte for byte, each with its newline.
struct Section {
  std::string name;      // "cmd", "file", "stdin", "stdout", "stderr", "exit", "env"
  std::string argument;  // the NAME of `-- file NAME --`, otherwise empty
  std::string text;
  int line = 0;  // of the marker, from 1
};

struct CaseFile {
  std::string why;  // the lines before the first marker
  std::vector<Section> sections;

  // What the sections mean.
  std::vector<std::string> args;  // the words of the command without `fwtrace`
  int exit = 0;
  int width = 0;
  bool terminal = false;
  bool color = false;

  const Section* find(std::string_view name) const;        // null when absent
  std::string_view expected(std::string_view name) const;  // the text of a section; empty when absent
};

// The case, or `file:line: reason`. `path` is only for the message.
std::expected<CaseFile, std::string> parse_case(std::string_view text, std::string_view path);

// Splits as a shell does ('…', "…", \), but nothing is expanded. Or the reason why it cannot.
std::expected<std::vector<std::string>, std::string> split_command(std::string_view line);

// The bytes that a section stands for: a last line "\ no newline at end" takes the newline before it away.
std::string to_bytes(std::string_view section_text);
// The reverse, so that every output can be a section: always ends in a newline unless empty.
std::string to_section_text(std::string_view bytes);

// The same case with other expectations: sections stay where they are, one that becomes empty goes, a new one comes
// last. Or the reason why the output cannot be written down (a line of it looks like a marker).
std::expected<std::string, std::string> rebase(const CaseFile& from, std::string_view out,
                                               std::string_view err, int exit);

// Line by line: "- expected", "+ seen", "  both"; empty when equal. Long equal stretches are left out.
std::string diff(std::string_view expected, std::string_view seen);

}  // namespace fwtrace::harness
