// The law of --format kernel: explain, then --format kernel, then explain again gives equal journeys; and the lines
// in between are the kernel's own, byte for byte.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "cli/run.h"

namespace fwtrace::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kFixtures = FWTRACE_SOURCE_DIR "/tests/fixtures";

fs::path corpus() {
  const char* shared = std::getenv("FWTRACE_SHARED");
  return fs::path(shared ? shared : FWTRACE_SOURCE_DIR "/../shared") / "corpus";
}

std::string run_explain(std::vector<std::string> args, std::string_view in = {}) {
  const int fd = ::memfd_create("log", MFD_CLOEXEC);
  EXPECT_EQ(::write(fd, in.data(), in.size()), static_cast<ssize_t>(in.size()));
  ::lseek(fd, 0, SEEK_SET);
  args.insert(args.begin(), "explain");
  auto out = base::Output::to_string(), err = base::Output::to_string();
  World world{.out = out, .err = err, .in = fd};
  EXPECT_EQ(run(args, world), 0) << err.text();
  ::close(fd);
  return out.text();
}

struct Answer {
  std::vector<Json> journeys;
  Json summary;
};

Answer parse_answer(const std::string& text) {
  Answer answer;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    Json line = Json::parse(text.substr(at, end - at));
    if (line.contains("journey")) answer.journeys.push_back(line["journey"]);
    else answer.summary = line["summary"];
    at = end + 1;
  }
  return answer;
}

// What a bare line of the kernel cannot carry.
void remove_wrapper(Json& value) {
  if (value.is_object()) {
    for (const char* name : {"time", "place", "host", "serial"}) value.erase(name);
  }
  if (value.is_structured()) {
    for (auto& inner : value) remove_wrapper(inner);
  }
}

struct Law {
  bool bytes = true;    // the TRACE lines come back byte for byte, but for those that a diagnostic names
  bool intact = false;  // no line deserves a diagnostic
  bool loss = false;    // lines are missing and the wrapper said so: what follows from knowing that is gone
};

// The text of each TRACE line without its wrapper and trailing blanks, and how often it is there. Runs of blanks count
// as one: pasting makes tabs and columns of them.
std::map<std::string, int> trace_lines(std::string_view text, const std::set<std::uint64_t>& but = {}) {
  std::map<std::string, int> lines;
  std::uint64_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t begin = line.find("TRACE: ");
    if (begin == std::string_view::npos || but.contains(++number)) continue;
    std::string words;
    for (const char c : line.substr(begin)) {
      const bool blank = c == ' ' || c == '\t' || c == '\r';
      if (!blank) words += c;
      else if (words.back() != ' ') words += ' ';
    }
    while (words.ends_with(' ')) words.pop_back();
    ++lines[words];
  }
  return lines;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "tests/x.log:17:42" → 17, for every diagnostic of the run.
std::set<std::uint64_t> lines_with_diagnostics(const Json& summary, const std::string& path) {
  std::set<std::uint64_t> lines;
  for (const Json& kind : summary["diagnostics"]) {
    EXPECT_EQ(kind["count"], kind["first"].size()) << "more than are kept: this test cannot tell which lines";
    for (const Json& diagnostic : kind["first"]) {
      const std::string place = diagnostic["place"];
      EXPECT_TRUE(place.starts_with(path + ":")) << place;
      lines.insert(std::stoull(place.substr(path.size() + 1)));
    }
  }
  return lines;
}

// Of those lines the ones that are TRACE lines, counted among TRACE lines.
std::set<std::uint64_t> among_trace_lines(std::string_view text, const std::set<std::uint64_t>& lines) {
  std::set<std::uint64_t> found;
  std::uint64_t line = 0, trace = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    ++line;
    if (text.substr(at, end - at).find("TRACE: ") != std::string_view::npos) {
      ++trace;
      if (lines.contains(line)) found.insert(trace);
    }
    at = end + 1;
  }
  return found;
}

void expect_same_lines(const std::string& input, const std::set<std::uint64_t>& damaged,
                       const std::string& output) {
  const auto expected = trace_lines(input, damaged), seen = trace_lines(output);
  std::size_t others = 0;
  for (const auto& [line, count] : expected) {
    const auto found = seen.find(line);
    EXPECT_EQ(found == seen.end() ? 0 : found->second, count) << "in the input: " << line;
  }
  for (const auto& [line, count] : seen) {
    if (expected.contains(line)) continue;
    others += static_cast<std::size_t>(count);
    EXPECT_LE(others, damaged.size()) << "not in the input: " << line;
  }
}

void expect_law(const fs::path& path, Law law = {}) {
  SCOPED_TRACE(path.filename());
  Answer before = parse_answer(run_explain({path, "--json", "--from", "kernel"}));
  const std::string lines = run_explain({path, "--format", "kernel", "--from", "kernel"});
  Answer after = parse_answer(run_explain({"-", "--json"}, lines));

  ASSERT_FALSE(before.journeys.empty());
  if (law.intact) {
    for (const Json& diagnostic : before.summary["diagnostics"]) {
      // A LOG rule of traps.kmsg imitates a trace line with a table of its own.
      EXPECT_EQ(diagnostic["code"], "unknown-table") << "a diagnostic on an intact line";
    }
  }
  EXPECT_EQ(after.summary["input"]["line_kinds"]["trace"], after.summary["input"]["lines"]);
  EXPECT_EQ(after.summary["input"]["events"], before.summary["input"]["events"]);
  ASSERT_EQ(after.journeys.size(), before.journeys.size());
  for (std::size_t i = 0; i < before.journeys.size(); ++i) {
    Json was = before.journeys[i], is = after.journeys[i];
    for (Json* journey : {&was, &is}) {
      remove_wrapper(*journey);
      if (law.loss) {
        // An "incomplete" that became "undecided" is the same ignorance with another reason.
        const std::string verdict = (*journey)["outcome"]["verdict"];
        if (before.journeys[i]["outcome"]["verdict"] == "incomplete" &&
            (verdict == "undecided" || verdict == "incomplete"))
          journey->erase("outcome");
        for (const char* name : {"overlaps_loss", "complete"}) journey->erase(name);
      }
    }
    EXPECT_EQ(was, is) << "journey " << i + 1 << ": " << Json::diff(was, is).dump(1);
  }
  if (!law.bytes) return;
  const std::string input = read_file(path);
  expect_same_lines(input, among_trace_lines(input, lines_with_diagnostics(before.summary, path)), lines);
}

std::vector<fs::path> files_of(const fs::path& folder, std::initializer_list<std::string_view> extensions) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (std::find(extensions.begin(), extensions.end(), entry.path().extension().string()) !=
        extensions.end())
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(KernelFormat, RecordedLogs) {
  const auto files = files_of(kFixtures / "kernel", {".kmsg"});
  EXPECT_GE(files.size(), 8U);
  for (const fs::path& file : files) expect_law(file, {.intact = true, .loss = file.stem() == "lost"});
}

TEST(KernelFormat, Demo) { expect_law(kFixtures / "demo/port-forward.log", {.intact = true}); }

TEST(KernelFormat, Wrappers) {
  const auto files = files_of(kFixtures / "wrappers", {".txt", ".log", ".json", ".gz", ".xz", ".zst"});
  EXPECT_GE(files.size(), 25U);
  for (const fs::path& file : files) {
    const std::string extension = file.extension();
    // JSON escapes, and what is compressed, are not the bytes of the line.
    const bool plain = (extension == ".txt" || extension == ".log") && file.stem() != "dmesg-json";
    expect_law(file, {.bytes = plain, .intact = true});
  }
}

TEST(KernelFormat, RealLogs) {
  if (!fs::exists(corpus() / "logs")) GTEST_SKIP() << corpus() << " is absent";
  for (const fs::path& file : files_of(corpus() / "logs", {".log"})) expect_law(file);
}

TEST(KernelFormat, CapturedLogs) {
  if (!fs::exists(corpus() / "captured")) GTEST_SKIP() << corpus() << " is absent";
  const auto files = files_of(corpus() / "captured", {".dmesg", ".dmesg-T"});
  EXPECT_EQ(files.size(), 2U);
  for (const fs::path& file : files) expect_law(file, {.intact = true});
}

}  // namespace
}  // namespace fwtrace::cli
