// The order of rotated logs (in_rotation_order of input.h).

#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/input.h"
#include "base/text.h"

namespace fwtrace::base {
namespace {

// "kern.log.2.gz" → stem "kern.log", age 2; "kern.log-20260101.xz" → stem "kern.log", age -20260101 + a lot:
// logrotate's dateext counts up, its numbers count down. The unrotated file is the youngest: age 0.
struct Rotated {
  std::string stem;
  std::int64_t age = 0;  // larger = older
};

Rotated rotated_name(const std::string& path) {
  std::string name = path;
  for (const std::string_view end : {".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z"}) {
    if (name.ends_with(end)) {
      name.resize(name.size() - end.size());
      break;
    }
  }
  std::size_t digits = 0;
  while (digits < name.size() && is_digit(name[name.size() - 1 - digits])) ++digits;
  if (digits == 0 || digits == name.size() || digits > 14) return {name, 0};
  const char separator = name[name.size() - 1 - digits];
  const auto number = parse_number<std::int64_t>(std::string_view(name).substr(name.size() - digits));
  const std::string stem = name.substr(0, name.size() - digits - 1);
  if (separator == '.' && digits <= 5) return {stem, *number};
  if ((separator == '-' || separator == '.') && digits >= 8) return {stem, 1'000'000'000'000'000 - *number};
  return {name, 0};
}

std::vector<std::string> expand(const std::string& path) {
  if (path.find_first_of("*?[") == std::string::npos || ::access(path.c_str(), F_OK) == 0) return {path};
  glob_t found{};
  std::vector<std::string> out;
  if (::glob(path.c_str(), 0, nullptr, &found) == 0)
    out.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return out.empty() ? std::vector<std::string>{path} : out;
}

}  // namespace

std::vector<std::string> in_rotation_order(const std::vector<std::string>& paths) {
  struct Entry {
    std::size_t group = 0;  // place of the first file with this stem
    std::int64_t age = 0;
    std::string path;
  };
  std::vector<Entry> entries;
  std::map<std::string, std::size_t> groups;
  for (const std::string& path : paths) {
    for (std::string& one : expand(path)) {
      const Rotated rotated = rotated_name(one);
      const std::size_t group = groups.emplace(rotated.stem, groups.size()).first->second;
      entries.push_back({group, rotated.age, std::move(one)});
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.group != b.group ? a.group < b.group : a.age > b.age;
  });
  std::vector<std::string> out;
  for (Entry& entry : entries) out.push_back(std::move(entry.path));
  return out;
}

}  // namespace fwtrace::base
