// Dialect: the text of `nft monitor trace`.
#pragma once

#include <memory>

#include "base/names.h"
#include "trace/dialect.h"

namespace fwtrace::trace {

class NftMonitor {
 public:
  NftMonitor(base::Names& names, Sink& sink);
  ~NftMonitor();

  // Is this line, or the continuation of one that was wrapped, of this dialect? Cheap; asked for every line.
  bool claims(std::string_view text) const;
  // Reads one claimed line. Events may be held back until the next line shows that nothing continues them.
  LineKind line(const Line& line);
  void finish();  // gives what was held back

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fwtrace::trace
