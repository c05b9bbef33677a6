// Input: the bytes of a file or of standard input, in chunks, whatever it was compressed with.
//
// Plain files are read with read(2) into one buffer. What begins with the magic of gzip, xz, zstd, bzip2, lz4 or
// compress is unpacked by libarchive on the way. Memory is one or two buffers, however long the input.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fwtrace::base {

class Input {
 public:
  // "-" is the given standard input. Fails with what is wrong and what to do: no such file, a directory, no
  // permission.
  static Result<Input> open(const std::string& path, int standard_input);

  // A descriptor that somebody else opened and closes.
  static Result<Input> of(int fd, std::string name);

  Input(Input&&) noexcept;
  Input& operator=(Input&&) noexcept;
  ~Input();

  // The next bytes, valid until the next call; empty at the end. Fails on a read error or damaged compression.
  Result<std::string_view> read();

  const std::string& name() const;     // what to call it: the path, or "stdin"
  std::uint64_t size_on_disk() const;  // bytes, 0 if not known (a pipe)
  std::uint64_t consumed() const;      // bytes taken from the disk so far

 private:
  struct Impl;
  explicit Input(std::unique_ptr<Impl> impl);
  static Result<Input> start(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The whole of a (small) file; fails if it is longer than `limit` bytes after unpacking.
Result<std::string> read_whole(const std::string& path, int standard_input, std::uint64_t limit);

// Puts rotated logs into the order in which they were written, oldest first: kern.log.3.gz, kern.log.2.gz,
// kern.log.1, kern.log; and kern.log-20260101 before kern.log. Files of different stems keep their place.
// A path with * ? [ that names no file is expanded as a shell would; if nothing fits it stays as it is.
std::vector<std::string> in_rotation_order(const std::vector<std::string>& paths);

}  // namespace fwtrace::base
