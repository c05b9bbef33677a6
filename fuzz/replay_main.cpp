// Runs a fuzz target over files that are already there, so that ctest holds every past input with any compiler:
//   fuzz_<name> [FILE|DIRECTORY]...
// A directory stands for all files under it; one that does not exist counts as empty. The empty input always runs.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

// The bytes are copied to a block of exactly their size, so that AddressSanitizer sees a read past the end.
void run_one(const std::vector<char>& bytes) {
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  static_cast<void>(LLVMFuzzerTestOneInput(exact.data(), exact.size()));
}

bool replay_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  // Said before it runs: after a crash this is the last line.
  std::printf("%s\n", path.c_str());
  std::fflush(stdout);
  run_one(std::vector<char>(std::istreambuf_iterator<char>(in), {}));
  return true;
}

std::vector<fs::path> files_under(const fs::path& path) {
  std::vector<fs::path> files;
  if (!fs::is_directory(path)) {
    files.push_back(path);
    return files;
  }
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  run_one({});
  std::size_t count = 1;
  bool all_read = true;
  for (const auto& arg : args) {
    if (!fs::exists(arg)) {
      std::printf("%s is absent: nothing to replay from it\n", arg.c_str());
      continue;
    }
    for (const auto& file : files_under(arg)) {
      all_read = replay_file(file) && all_read;
      ++count;
    }
  }
  std::printf("replayed %zu inputs, the empty one included\n", count);
  return all_read ? 0 : 1;
}
