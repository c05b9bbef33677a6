// Reading files: plain, packed, cut and damaged; and the order of rotated logs.

#include "base/input.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

namespace fwtrace::base {
namespace {

namespace fs = std::filesystem;

class InputTest : public testing::Test {
 public:
  InputTest() : dir_(fs::temp_directory_path() / ("fwtrace-input-" + std::to_string(::getpid()))) {
    fs::create_directories(dir_);
  }
  ~InputTest() override { fs::remove_all(dir_); }

 protected:
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(dir_ / name, std::ios::binary) << bytes;
    return dir_ / name;
  }
  // What could be read, and the error's message behind it.
  static std::string read(const std::string& path) {
    auto input = Input::open(path, -1);
    if (!input) return "! " + input.error().message;
    std::string text;
    while (true) {
      auto chunk = input->read();
      if (!chunk) return text + "! " + chunk.error().message;
      if (chunk->empty()) return text;
      text += *chunk;
    }
  }
  static std::string gzip(const std::string& text) {
    z_stream packer{};
    EXPECT_EQ(deflateInit2(&packer, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(text.size() + 1000, '\0');
    std::string in = text;
    packer.next_in = reinterpret_cast<Bytef*>(in.data());
    packer.avail_in = static_cast<uInt>(in.size());
    packer.next_out = reinterpret_cast<Bytef*>(out.data());
    packer.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&packer, Z_FINISH), Z_STREAM_END);
    out.resize(out.size() - packer.avail_out);
    deflateEnd(&packer);
    return out;
  }
  fs::path dir_;
};

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "line " + std::to_string(i * 7919) + "\n";
  return text;
}

TEST_F(InputTest, PlainAndPackedAreTheSame) {
  const std::string text = lines(50'000);
  EXPECT_EQ(read(write("a", text)), text);
  EXPECT_EQ(read(write("a.gz", gzip(text))), text);
  EXPECT_EQ(read(write("b.gz", gzip(text) + gzip("second member\n"))), text + "second member\n");
  EXPECT_EQ(read(write("empty", "")), "");
  EXPECT_EQ(read(write("empty.gz", gzip(""))), "");
}

TEST_F(InputTest, DamageIsSaidAndWhatWasGoodIsGiven) {
  const std::string text = lines(50'000), packed = gzip(text);
  const std::string cut = read(write("cut.gz", packed.substr(0, packed.size() / 2)));
  EXPECT_NE(cut.find("is damaged: it ends in the middle (truncated)"), std::string::npos);
  EXPECT_GT(cut.size(), text.size() / 3);
  std::string wrong = packed;
  wrong[wrong.size() - 6] = static_cast<char>(wrong[wrong.size() - 6] ^ 1);  // its sum
  EXPECT_NE(read(write("sum.gz", wrong)).find("incorrect data check"), std::string::npos);
  EXPECT_NE(read(write("tail.gz", packed + "junk")).find("something else follows"), std::string::npos);
}

TEST_F(InputTest, WhatCannotBeReadIsSaid) {
  EXPECT_EQ(read(dir_), "! \"" + dir_.string() + "\" is a directory");
  EXPECT_EQ(read(dir_ / "none"),
            "! cannot open \"" + (dir_ / "none").string() + "\": No such file or directory");
}

TEST(Rotation, OldestFirst) {
  using Paths = std::vector<std::string>;
  EXPECT_EQ(in_rotation_order({"kern.log", "kern.log.1", "kern.log.10.gz", "kern.log.2.gz"}),
            (Paths{"kern.log.10.gz", "kern.log.2.gz", "kern.log.1", "kern.log"}));
  EXPECT_EQ(in_rotation_order({"m", "m-20260201.xz", "m-20260101.xz"}),
            (Paths{"m-20260101.xz", "m-20260201.xz", "m"}));
  EXPECT_EQ(in_rotation_order({"b.log", "a.log", "b.log.1"}), (Paths{"b.log.1", "b.log", "a.log"}));
  EXPECT_EQ(in_rotation_order({"-"}), Paths{"-"});
}

}  // namespace
}  // namespace fwtrace::base
