#include "harness/case_file.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

namespace fwtrace::harness {
namespace {

constexpr std::string_view kNoNewline = "\\ no newline at end\n";

// The lines of a text, each with its newline; the last may lack one.
std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t size = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

std::string_view without_newline(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

std::string_view trim(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\n");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\n") - from + 1);
}

// What stands between "-- " and " --", if the line is a marker.
std::optional<std::string_view> find_marker(std::string_view line) {
  line = without_newline(line);
  if (line.size() < 7 || !line.starts_with("-- ") || !line.ends_with(" --")) return std::nullopt;
  return line.substr(3, line.size() - 6);
}

std::optional<int> to_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> to_switch(std::string_view word) {
  if (word == "yes" || word == "always") return true;
  if (word == "no" || word == "never") return false;
  return std::nullopt;
}

// Reads one file; gathers the place of the first thing that is wrong.
class Parser {
 public:
  Parser(std::string_view text, std::string_view path) : text_(text), path_(path) {}

  std::expected<CaseFile, std::string> parse() {
    if (!text_.empty() && !text_.ends_with('\n')) return fail(1, "the last line has no newline");
    if (auto error = read_sections()) return std::unexpected(*error);
    if (trim(case_.why).empty())
      return fail(1, "it must begin with a sentence that says why the case exists");
    if (case_.find("cmd") == nullptr) return fail(1, "there is no '-- cmd --' section");
    for (const Section& section : case_.sections) {
      if (auto error = read_meaning(section)) return std::unexpected(*error);
    }
    return std::move(case_);
  }

 private:
  std::string at(int line, std::string_view reason) const {
    return std::string(path_) + ":" + std::to_string(line) + ": " + std::string(reason);
  }
  std::unexpected<std::string> fail(int line, std::string_view reason) const {
    return std::unexpected(at(line, reason));
  }

  std::optional<std::string> read_sections() {
    std::set<std::string, std::less<>> seen;
    int number = 0;
    for (const std::string_view line : split_lines(text_)) {
      ++number;
      const auto marker = find_marker(line);
      if (!marker) {
        (case_.sections.empty() ? case_.why : case_.sections.back().text).append(line);
        continue;
      }
      if (!seen.emplace(*marker).second) return at(number, "a second '-- " + std::string(*marker) + " --'");
      Section section{.name = std::string(*marker), .argument = {}, .text = {}, .line = number};
      if (marker->starts_with("file ")) {
        section.name = "file";
        section.argument = trim(marker->substr(5));
        if (section.argument.empty() || section.argument.starts_with('/') ||
            section.argument.find("..") != std::string::npos) {
          return at(number, "a file needs a relative name without '..'");
        }
      } else if (*marker != "cmd" && *marker != "stdin" && *marker != "stdout" && *marker != "stderr" &&
                 *marker != "exit" && *marker != "env") {
        return at(number, "unknown section '" + section.name +
                              "'; there are cmd, file NAME, stdin, stdout, stderr, exit and env");
      }
      case_.sections.push_back(std::move(section));
    }
    return std::nullopt;
  }

  std::optional<std::string> read_meaning(const Section& section) {
    if (section.name == "cmd") return read_command(section);
    if (section.name == "env") return read_env(section);
    if (section.name == "exit") {
      const auto number = to_number(trim(section.text));
      if (!number || *number < 0 || *number > 255)
        return at(section.line + 1, "an exit status is a number from 0 to 255");
      case_.exit = *number;
    }
    return std::nullopt;
  }

  std::optional<std::string> read_command(const Section& section) {
    if (trim(section.text).find('\n') != std::string_view::npos)
      return at(section.line + 2, "a case is one command line");
    auto words = split_command(trim(section.text));
    if (!words) return at(section.line + 1, words.error());
    if (words->empty() || words->front() != "fwtrace")
      return at(section.line + 1, "the command must begin with 'fwtrace'");
    words->erase(words->begin());
    case_.args = std::move(*words);
    return std::nullopt;
  }

  std::optional<std::string> read_env(const Section& section) {
    int number = section.line;
    for (const std::string_view raw : split_lines(section.text)) {
      ++number;
      const std::string_view line = trim(raw);
      if (line.empty()) continue;
      const std::size_t space = std::min(line.find(' '), line.size());
      const std::string_view key = line.substr(0, space);
      const std::string_view value = trim(line.substr(space));
      if (key == "width") {
        const auto columns = to_number(value);
        if (!columns || *columns < 0) return at(number, "'width' takes a number of columns");
        case_.width = *columns;
      } else if (key == "terminal" || key == "color") {
        const auto on = to_switch(value);
        if (!on) return at(number, "'" + std::string(key) + "' takes yes or no");
        (key == "color" ? case_.color : case_.terminal) = *on;
      } else {
        return at(number, "unknown setting '" + std::string(key) + "'; there are width, terminal and color");
      }
    }
    return std::nullopt;
  }

  std::string_view text_;
  std::string_view path_;
  CaseFile case_;
};

// For each line of `a` and `b`, the length of the longest common subsequence of what follows; row by row.
std::vector<std::uint32_t> common_lengths(const std::vector<std::string_view>& a,
                                          const std::vector<std::string_view>& b) {
  const std::size_t columns = b.size() + 1;
  std::vector<std::uint32_t> lengths((a.size() + 1) * columns, 0);
  for (std::size_t i = a.size(); i-- > 0;) {
    for (std::size_t j = b.size(); j-- > 0;) {
      lengths[i * columns + j] = a[i] == b[j]
                                     ? lengths[(i + 1) * columns + j + 1] + 1
                                     : std::max(lengths[(i + 1) * columns + j], lengths[i * columns + j + 1]);
    }
  }
  return lengths;
}

struct DiffLine {
  char sign;  // ' ', '-' or '+'
  std::string_view text;
};

std::vector<DiffLine> diff_lines(std::vector<std::string_view> a, std::vector<std::string_view> b) {
  std::vector<DiffLine> result;
  std::size_t same = 0;
  while (same < a.size() && same < b.size() && a[same] == b[same]) result.push_back({' ', a[same++]});
  a.erase(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(same));
  b.erase(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(same));
  std::vector<DiffLine> tail;
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    tail.push_back({' ', a.back()});
    a.pop_back();
    b.pop_back();
  }
  constexpr std::size_t kMostCells = 4'000'000;
  std::size_t i = 0;
  std::size_t j = 0;
  if (a.size() * b.size() <= kMostCells) {
    const auto lengths = common_lengths(a, b);
    const std::size_t columns = b.size() + 1;
    while (i < a.size() && j < b.size()) {
      if (a[i] == b[j]) {
        result.push_back({' ', a[i++]});
        ++j;
      } else if (lengths[(i + 1) * columns + j] >= lengths[i * columns + j + 1]) {
        result.push_back({'-', a[i++]});
      } else {
        result.push_back({'+', b[j++]});
      }
    }
  }
  while (i < a.size()) result.push_back({'-', a[i++]});
  while (j < b.size()) result.push_back({'+', b[j++]});
  result.insert(result.end(), tail.rbegin(), tail.rend());
  return result;
}

}  // namespace

const Section* CaseFile::find(std::string_view name) const {
  const auto found = std::ranges::find(sections, name, &Section::name);
  return found == sections.end() ? nullptr : &*found;
}

std::string_view CaseFile::expected(std::string_view name) const {
  const Section* section = find(name);
  return section == nullptr ? std::string_view() : section->text;
}

std::expected<CaseFile, std::string> parse_case(std::string_view text, std::string_view path) {
  return Parser(text, path).parse();
}

std::expected<std::vector<std::string>, std::string> split_command(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool escapes = c == '\\' && quote != '\'' && i + 1 < line.size() &&
                         (quote == 0 || line[i + 1] == '"' || line[i + 1] == '\\');
    if (escapes) {
      word += line[++i];
      in_word = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return std::unexpected(std::string("a quote is not closed"));
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::string to_bytes(std::string_view section_text) {
  if (section_text.ends_with(kNoNewline)) {
    section_text.remove_suffix(kNoNewline.size());
    section_text = without_newline(section_text);
  }
  return std::string(section_text);
}

std::string to_section_text(std::string_view bytes) {
  std::string text(bytes);
  if (!text.empty() && !text.ends_with('\n')) text.append("\n").append(kNoNewline);
  return text;
}

std::expected<std::string, std::string> rebase(const CaseFile& from, std::string_view out,
                                               std::string_view err, int exit) {
  std::vector<std::pair<std::string_view, std::string>> seen = {{"stdout", to_section_text(out)},
                                                                {"stderr", to_section_text(err)},
                                                                {"exit", std::to_string(exit) + "\n"}};
  for (const auto& [name, text] : seen) {
    for (const std::string_view line : split_lines(text)) {
      if (find_marker(line))
        return std::unexpected("a line of its " + std::string(name) +
                               " looks like a section marker: " + std::string(line));
    }
  }
  std::string result = from.why;
  const auto put = [&result](std::string_view marker, std::string_view text) {
    result.append("-- ").append(marker).append(" --\n").append(text);
  };
  for (const Section& section : from.sections) {
    const auto it = std::ranges::find(seen, section.name, &std::pair<std::string_view, std::string>::first);
    if (it == seen.end()) {
      put(section.name == "file" ? "file " + section.argument : section.name, section.text);
      continue;
    }
    if (!it->second.empty()) put(section.name, it->second);
    seen.erase(it);
  }
  for (const auto& [name, text] : seen) {
    if (!text.empty() && !(name == "exit" && exit == 0)) put(name, text);
  }
  return result;
}

std::string diff(std::string_view expected, std::string_view seen) {
  if (expected == seen) return {};
  constexpr std::size_t kContext = 3;
  const auto lines = diff_lines(split_lines(expected), split_lines(seen));
  std::vector<bool> shown(lines.size(), false);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].sign == ' ') continue;
    const std::size_t first = i < kContext ? 0 : i - kContext;
    for (std::size_t j = first; j < std::min(lines.size(), i + kContext + 1); ++j) shown[j] = true;
  }
  std::string text;
  bool gap = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!shown[i]) {
      gap = true;
      continue;
    }
    if (std::exchange(gap, false)) text.append("  ...\n");
    text.append(1, lines[i].sign).append(" ").append(without_newline(lines[i].text)).append("\n");
  }
  return text;
}

}  // namespace fwtrace::harness
