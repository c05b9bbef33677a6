// The whole program, from the bytes of a log to every form of the answer. Behind a line "-- rules --" stand rules.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/output.h"
#include "cli/run.h"
#include "fuzz_text.h"

namespace fwtrace {
namespace {

// Text as a file descriptor.
class Memory {
 public:
  explicit Memory(std::string_view text) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    CHECK(fd_ >= 0);
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
      CHECK(n > 0);
      done += static_cast<std::size_t>(n);
    }
  }
  ~Memory() { ::close(fd_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  int fd() const { return fd_; }
  int rewound() const {
    CHECK(::lseek(fd_, 0, SEEK_SET) == 0);
    return fd_;
  }

 private:
  int fd_;
};

std::string explain(const Memory& log, const Memory* rules, std::vector<std::string> options, int width = 0) {
  std::vector<std::string> args = {"explain", "-"};
  args.insert(args.end(), options.begin(), options.end());
  if (rules != nullptr) {
    args.emplace_back("--rules");
    args.push_back("/proc/self/fd/" + std::to_string(rules->fd()));
  }
  auto out = base::Output::to_string(), err = base::Output::to_string();
  cli::World world{.out = out, .err = err, .in = log.rewound(), .width = width};
  const int status = cli::run(args, world);
  // Done, or the input (or the rules) not understood, which is said.
  CHECK(status == 0 || status == 3);
  CHECK(status == 0 || !err.text().empty());
  return out.text();
}

void check_json(std::string_view text) {
  using Json = nlohmann::json;
  std::uint64_t journeys = 0;
  bool summary = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    CHECK(end != std::string_view::npos);
    CHECK(!summary);
    const Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(at),
                                  text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    CHECK(!line.is_discarded());
    if (line.contains("journey")) {
      ++journeys;
      CHECK(!line["journey"]["steps"].empty());
    } else {
      summary = true;
      CHECK(line["summary"]["shown"] == journeys);
    }
    at = end + 1;
  }
}

}  // namespace
}  // namespace fwtrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fwtrace;
  constexpr std::string_view kMarker = "\n-- rules --\n";
  const std::string_view text = fuzz::to_text(data, size);
  const std::size_t marker = text.find(kMarker);
  const Memory log(text.substr(0, marker));
  const Memory rules(marker == std::string_view::npos ? std::string_view()
                                                      : text.substr(marker + kMarker.size()));
  const Memory* const given = marker == std::string_view::npos ? nullptr : &rules;

  check_json(explain(log, given, {"--json"}));
  static_cast<void>(explain(log, given, {"-v", "--color=always"}, 20 + static_cast<int>(size % 100)));
  static_cast<void>(explain(log, given, {"-q", "--dropped", "-p", "tcp", "!", "--dport", "80"}));
  const Memory again(explain(log, given, {"--format", "kernel"}));
  check_json(explain(again, given, {"--json"}));
  return 0;
}
