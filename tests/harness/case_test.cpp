// Every tests/cases/<topic>/<name>.case as a GoogleTest of its own, Case.<topic>/<name>, run in this process.

#include "harness/case_test.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/output.h"
#include "cli/run.h"
#include "harness/case_file.h"

namespace fwtrace::harness {
namespace {

namespace fs = std::filesystem;

std::string read_all(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_all(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

fs::path source_dir() { return FWTRACE_SOURCE_DIR; }

// Real logs that are not in the repository; beside the source tree unless FWTRACE_SHARED says otherwise.
fs::path corpus_dir() {
  const char* shared = std::getenv("FWTRACE_SHARED");
  return (shared != nullptr ? fs::path(shared) : source_dir().parent_path() / "shared") / "corpus";
}

// A fresh working directory with the case's files, `fixtures` and `corpus`; the old one is back at the end.
class Workplace {
 public:
  explicit Workplace(const CaseFile& test_case) : before_(fs::current_path()) {
    std::string name = (fs::temp_directory_path() / "fwtrace-case-XXXXXX").string();
    dir_ = mkdtemp(name.data()) == nullptr ? fs::path() : fs::path(name);
    if (dir_.empty()) return;
    fs::create_directory_symlink(source_dir() / "tests" / "fixtures", dir_ / "fixtures");
    if (fs::exists(corpus_dir())) fs::create_directory_symlink(fs::absolute(corpus_dir()), dir_ / "corpus");
    for (const Section& section : test_case.sections) {
      if (section.name == "file") write_all(dir_ / section.argument, to_bytes(section.text));
    }
    fs::current_path(dir_);
    stdin_ = open_stdin(test_case);
  }
  ~Workplace() {
    if (stdin_ >= 0) close(stdin_);
    std::error_code ignored;
    fs::current_path(before_, ignored);
    if (!dir_.empty()) fs::remove_all(dir_, ignored);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  bool ready() const { return stdin_ >= 0; }
  int standard_input() const { return stdin_; }

 private:
  // A file that has no name any more, so that the case's folder holds only what the case put there.
  static int open_stdin(const CaseFile& test_case) {
    if (test_case.find("stdin") == nullptr) return open("/dev/null", O_RDONLY | O_CLOEXEC);
    const fs::path path = ".stdin";
    write_all(fs::current_path() / path, to_bytes(test_case.expected("stdin")));
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    fs::remove(path);
    return fd;
  }

  fs::path before_;
  fs::path dir_;
  int stdin_ = -1;
};

struct Seen {
  std::string out;
  std::string err;
  int exit = 0;
};

Seen run_case(const CaseFile& test_case, int standard_input) {
  base::Output out = base::Output::to_string();
  base::Output err = base::Output::to_string();
  cli::World world{.out = out, .err = err};
  world.in = standard_input;
  world.root = ".";  // a case's machine has the files that the case gives it
  world.terminal = test_case.terminal;
  world.width = test_case.width;
  world.color = test_case.color;
  const int exit = cli::run(test_case.args, world);
  return {.out = out.text(), .err = err.text(), .exit = exit};
}

class CaseTest : public testing::Test {
 public:
  explicit CaseTest(fs::path path) : path_(std::move(path)) {}

  void TestBody() override {
    const std::string text = read_all(path_);
    const auto test_case = parse_case(text, path_.string());
    if (!test_case) {
      ADD_FAILURE_AT(path_.c_str(), 1) << test_case.error();
      return;
    }
    if (test_case->expected("cmd").find("corpus/") != std::string_view::npos && !fs::exists(corpus_dir())) {
      GTEST_SKIP() << "there is no " << corpus_dir().string()
                   << " (FWTRACE_SHARED names the folder that holds corpus)";
    }
    const Workplace workplace(*test_case);
    ASSERT_TRUE(workplace.ready()) << "cannot make a temporary directory in " << fs::temp_directory_path();
    const Seen seen = run_case(*test_case, workplace.standard_input());
    if (std::getenv("FWTRACE_REBASE") != nullptr) {
      write_back(*test_case, text, seen);
      return;
    }
    compare(*test_case, seen);
  }

 private:
  void compare(const CaseFile& test_case, const Seen& seen) const {
    const std::string out = diff(test_case.expected("stdout"), to_section_text(seen.out));
    const std::string err = diff(test_case.expected("stderr"), to_section_text(seen.err));
    std::string what;
    if (!out.empty()) what += "stdout (- expected, + seen):\n" + out;
    if (!err.empty()) what += "stderr (- expected, + seen):\n" + err;
    if (seen.exit != test_case.exit) {
      what += "exit status: expected " + std::to_string(test_case.exit) + ", seen " +
              std::to_string(seen.exit) + "\n";
    }
    if (what.empty()) return;
    ADD_FAILURE_AT(path_.c_str(), 1) << test_case.why << what
                                     << "If this is right: FWTRACE_REBASE=1, as CONTRIBUTING.md says.";
  }

  void write_back(const CaseFile& test_case, const std::string& text, const Seen& seen) const {
    const auto rebased = rebase(test_case, seen.out, seen.err, seen.exit);
    if (!rebased) {
      ADD_FAILURE_AT(path_.c_str(), 1) << rebased.error();
      return;
    }
    if (*rebased == text) GTEST_SKIP() << "rebased: nothing to change";
    write_all(path_, *rebased);
    GTEST_SKIP() << "rebased: " << path_.string() << " was rewritten";
  }

  fs::path path_;
};

// `-`, `:` and `*` mean something in a GoogleTest filter, and ctest asks for each test by a filter.
std::string to_test_name(const fs::path& relative) {
  std::string name = fs::path(relative).replace_extension().string();
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_';
  };
  std::ranges::replace_if(name, [&](char c) { return !is_plain(c); }, '_');
  return name;
}

void register_test(const std::string& name, const fs::path& path) {
  testing::RegisterTest("Case", name.c_str(), nullptr, nullptr, path.c_str(), 1,
                        [path]() -> testing::Test* { return new CaseTest(path); });
}

}  // namespace

void register_cases() {
  // Nothing of the machine's may show in what is printed.
  setenv("TZ", "UTC", 1);
  setenv("LC_ALL", "C.UTF-8", 1);
  unsetenv("NO_COLOR");

  const fs::path root = source_dir() / "tests" / "cases";
  if (!fs::exists(root)) return;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".case") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::map<std::string, fs::path> by_name;
  for (const fs::path& path : paths) {
    std::string name = to_test_name(path.lexically_relative(root));
    while (by_name.contains(name)) name += "_";  // a-b.case beside a_b.case
    by_name.emplace(std::move(name), path);
  }
  for (const auto& [name, path] : by_name) register_test(name, path);
}

}  // namespace fwtrace::harness
