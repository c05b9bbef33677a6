#include "base/diagnostic.h"

#include <algorithm>

#include "base/text.h"

namespace fwtrace::base {

std::uint32_t Sources::add(std::string name) {
  names_.push_back(std::move(name));
  return static_cast<std::uint32_t>(names_.size());
}

std::string_view Sources::name(std::uint32_t source) const {
  return source == 0 || source > names_.size() ? std::string_view() : names_[source - 1];
}

std::string Sources::print(const Place& place) const {
  std::string out = to_printable(name(place.source));
  if (place.line == 0) return out;
  if (out.empty()) out = "line ";
  else out += ':';
  out += std::to_string(place.line);
  if (place.column != 0) out += ':' + std::to_string(place.column);
  return out;
}

std::string_view to_text(Severity severity) {
  switch (severity) {
    case Severity::Note: return "note";
    case Severity::Warning: return "warning";
    case Severity::Error: return "error";
  }
  return "";
}

void Diagnostics::add(Diagnostic diagnostic) {
  auto kind =
      std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& k) { return k.code == diagnostic.code; });
  if (kind == kinds_.end())
    kind = kinds_.insert(kinds_.end(), Kind{diagnostic.code, diagnostic.severity, 0, {}});
  kind->severity = std::max(kind->severity, diagnostic.severity);
  ++kind->count;
  if (kind->first.size() < kKept) kind->first.push_back(std::move(diagnostic));
}

std::uint64_t Diagnostics::count(std::string_view code) const {
  for (const Kind& kind : kinds_) {
    if (kind.code == code) return kind.count;
  }
  return 0;
}

std::string print_diagnostic(const Diagnostic& diagnostic, const Sources& sources) {
  std::string out = sources.print(diagnostic.place);
  if (!out.empty()) out += ": ";
  out += to_text(diagnostic.severity);
  out += ": ";
  out += to_printable(diagnostic.message);
  out += '\n';
  if (!diagnostic.line.empty()) {
    // A long line is shown around its column, so that the caret stands under something.
    std::size_t caret = diagnostic.place.column == 0 ? 0 : diagnostic.place.column - 1;
    caret = std::min(caret, diagnostic.line.size());
    const std::size_t from = caret > 60 ? caret - 60 : 0;
    const std::string_view shown = std::string_view(diagnostic.line).substr(from, 100);
    out += "    " + std::string(from > 0 ? "…" : "") + to_printable(shown);
    if (from + shown.size() < diagnostic.line.size()) out += "…";
    out += '\n';
    if (diagnostic.place.column != 0) {
      const std::string before = to_printable(shown.substr(0, caret - from));
      out += "    " + std::string(display_width(before) + (from > 0 ? 1 : 0), ' ') + "^\n";
    }
  }
  for (const std::string& hint : diagnostic.hints) out += "    hint: " + to_printable(hint) + '\n';
  return out;
}

}  // namespace fwtrace::base
