// For the tests of the two monitor dialects: a sink that keeps everything, and a reader of whole texts that asks
// the dialect as the log reader does.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/names.h"
#include "base/text.h"
#include "trace/dialect.h"

namespace fwtrace::trace::testing {

struct Seen {
  Event event;
  std::string rule_text;
  std::optional<packet::Packet> packet;
};

struct KeepingSink : Sink {
  std::vector<Seen> seen;
  std::vector<base::Diagnostic> diagnostics;
  void event(const Event& event) override {
    Seen one{event, std::string(event.rule_text), {}};
    if (event.packet) one.packet = *event.packet;
    one.event.packet = nullptr;
    one.event.rule_text = {};
    seen.push_back(std::move(one));
  }
  void loss(const Loss&) override {}
  void diagnostic(base::Diagnostic diagnostic) override { diagnostics.push_back(std::move(diagnostic)); }

  std::size_t count(EventKind kind) const {
    std::size_t n = 0;
    for (const Seen& one : seen) n += one.event.kind == kind ? 1 : 0;
    return n;
  }
  // "rule 4, return 3, policy 2, packet 1, diagnostics 0"
  std::string summary() const {
    std::string out;
    const std::pair<const char*, EventKind> kinds[] = {{"rule ", EventKind::Rule},
                                                       {", return ", EventKind::Return},
                                                       {", policy ", EventKind::Policy},
                                                       {", packet ", EventKind::Headers}};
    for (const auto& [word, kind] : kinds) out += word + std::to_string(count(kind));
    return out + ", diagnostics " + std::to_string(diagnostics.size());
  }
  std::string codes() const {
    std::string out;
    for (const base::Diagnostic& one : diagnostics) out += (out.empty() ? "" : " ") + std::string(one.code);
    return out;
  }
};

inline base::Names& shared_names() {  // packets are compared after their reading is gone
  static base::Names names;
  return names;
}

template <class Dialect>
struct Reading {
  base::Names& names = shared_names();
  KeepingSink sink;
  std::map<LineKind, std::size_t> kinds;
  std::size_t refused = 0;  // lines that were not claimed

  explicit Reading(std::string_view text) {
    Dialect dialect(names, sink);
    std::uint32_t number = 0;
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      Line line;
      line.text = rest.substr(0, end);
      line.place = {1, ++number, 0};
      if (dialect.claims(line.text)) ++kinds[dialect.line(line)];
      else if (!base::trim(line.text).empty()) ++refused;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    dialect.finish();
  }
  const Seen& one() const { return sink.seen.at(0); }
  const packet::Packet& packet(std::size_t i = 0) const { return sink.seen.at(i).packet.value(); }
};

// A file of the shared corpus (FWTRACE_SHARED, or ../shared beside the source), or of tests/fixtures.
inline std::optional<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}
inline std::optional<std::string> read_corpus(const std::string& name) {
  const char* shared = std::getenv("FWTRACE_SHARED");
  const std::filesystem::path root = shared ? shared : FWTRACE_SOURCE_DIR "/../shared";
  return read_file(root / "corpus" / name);
}
inline std::optional<std::string> read_fixture(const std::string& name) {
  return read_file(std::filesystem::path(FWTRACE_SOURCE_DIR) / "tests" / "fixtures" / name);
}

}  // namespace fwtrace::trace::testing
