// A law over two rooms, trace and report, which do not know each other: what the one reads the other writes.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "report/kernel_log.h"
#include "trace/kernel_packet.h"

namespace fwtrace {
namespace {

// The kernel is the judge: every line that it wrote comes back byte for byte.
std::size_t expect_lines_come_back(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line);) {
    const std::size_t at = line.find("IN=");
    if (line.find("TRACE: ") == std::string::npos || at == std::string::npos) continue;
    base::Names names;
    packet::Packet packet;
    trace::scan_packet(std::string_view(line).substr(at), names, packet);
    std::string printed;
    report::append_kernel_packet(printed, packet);
    EXPECT_EQ(printed, line.substr(at)) << file << " line " << lines + 1;
    ++lines;
  }
  return lines;
}

TEST(KernelLines, RecordedLinesComeBackByteForByte) {
  std::size_t lines = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FWTRACE_SOURCE_DIR "/tests/fixtures/kernel")) {
    if (entry.path().extension() == ".kmsg") lines += expect_lines_come_back(entry.path());
  }
  EXPECT_GT(lines, 100U);
}

TEST(KernelLines, CapturedLinesComeBackByteForByte) {
  const char* shared = std::getenv("FWTRACE_SHARED");
  const auto file = std::filesystem::path(shared ? shared : FWTRACE_SOURCE_DIR "/../shared") /
                    "corpus/captured/legacy189-router.dmesg";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is absent";
  EXPECT_GT(expect_lines_come_back(file), 50U);
}

}  // namespace
}  // namespace fwtrace
