// OutputFile: a file that fwtrace writes for the user (-w FILE), or standard output as "-". It may hold packets and rules, so
// a new one can be read by its owner only.
#pragma once

#include <memory>
#include <string>

#include "base/output.h"
#include "base/result.h"

namespace fwtrace::base {

class OutputFile {
 public:
  // Makes or empties the file; `standard_output` is what "-" stands for. Refuses what no file can be written to, and
  // terminals: what we write is not for reading. `what`: "a recording", for messages.
  static Result<OutputFile> open(const std::string& path, int standard_output, const std::string& what);

  OutputFile(OutputFile&&) noexcept = default;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();  // flushes and closes

  Output& out() { return *out_; }
  const std::string& name() const { return name_; }  // the path, or "standard output"

 private:
  OutputFile(std::string name, int fd, bool owns);
  std::string name_;
  int fd_;
  bool owns_;
  std::unique_ptr<Output> out_;
};

}  // namespace fwtrace::base
