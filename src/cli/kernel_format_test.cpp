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

void remove_flag(Json& value, const char* name) {
  if (value.is_object()) value.erase(name);
  if (value.is_structured()) {
    for (auto& inner : value) remove_flag(inner, name);
  }
}

// Which laws hold for a file, beyond equal journeys.
struct Law {
  bool bytes = true;    // the TRACE lines come back byte for byte
  bool damage = false;  // damaged lines: the log in between is whole, so the flag is gone
  bool loss = false;    // lines are missing and the source says so: what follows from that is gone
};

std::map<std::string, int> trace_lines(std::string_view text) {
  std::map<std::string, int> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t begin = line.find("TRACE: ");
    if (begin == std::string_view::npos) continue;
    line = line.substr(begin);
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    ++lines[std::string(line)];
  }
  return lines;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void expect_same_lines(const std::string& input, const std::string& output) {
  const auto expected = trace_lines(input), seen = trace_lines(output);
  for (const auto& [line, count] : expected) {
    const auto found = seen.find(line);
    EXPECT_EQ(found == seen.end() ? 0 : found->second, count) << "in the input: " << line;
  }
  for (const auto& [line, count] : seen) EXPECT_TRUE(expected.contains(line)) << "not in the input: " << line;
}

void expect_law(const fs::path& path, Law law = {}) {
  SCOPED_TRACE(path.filename());
  Answer before = parse_answer(run_explain({path, "--json", "--from", "kernel"}));
  const std::string lines = run_explain({path, "--format", "kernel", "--from", "kernel"});
  Answer after = parse_answer(run_explain({"-", "--json"}, lines));

  ASSERT_FALSE(before.journeys.empty());
  EXPECT_EQ(after.summary["input"]["line_kinds"]["trace"], after.summary["input"]["lines"]);
  EXPECT_EQ(after.summary["input"]["events"], before.summary["input"]["events"]);
  ASSERT_EQ(after.journeys.size(), before.journeys.size());
  for (std::size_t i = 0; i < before.journeys.size(); ++i) {
    Json was = before.journeys[i], is = after.journeys[i];
    for (Json* journey : {&was, &is}) {
      remove_wrapper(*journey);
      if (law.damage) {
        remove_flag(*journey, "damaged");
        remove_flag(*journey, "complete");
      }
      if (law.loss) {
        for (const char* name : {"overlaps_loss", "complete", "starts_late", "starts_late_why", "outcome"}) journey->erase(name);
      }
    }
    EXPECT_EQ(was, is) << "journey " << i + 1 << ": " << Json::diff(was, is).dump(1);
  }
  if (law.bytes) expect_same_lines(read_file(path), lines);
}

std::vector<fs::path> files_of(const fs::path& folder, std::initializer_list<std::string_view> extensions) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (std::find(extensions.begin(), extensions.end(), entry.path().extension().string()) != extensions.end())
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(KernelFormat, RecordedLogs) {
  const auto files = files_of(kFixtures / "kernel", {".kmsg"});
  EXPECT_GE(files.size(), 8U);
  for (const fs::path& file : files) expect_law(file, {.loss = file.stem() == "lost"});
}

TEST(KernelFormat, Demo) { expect_law(kFixtures / "demo/port-forward.log"); }

TEST(KernelFormat, Wrappers) {
  const auto files = files_of(kFixtures / "wrappers", {".txt", ".log", ".json", ".gz", ".xz", ".zst"});
  EXPECT_GE(files.size(), 25U);
  for (const fs::path& file : files) {
    const std::string extension = file.extension();
    // JSON escapes, and what is compressed, are not the bytes of the line.
    const bool plain = (extension == ".txt" || extension == ".log") && file.stem() != "dmesg-json";
    expect_law(file, {.bytes = plain});
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
  for (const fs::path& file : files) expect_law(file);
}

}  // namespace
}  // namespace fwtrace::cli
