// Log lines that are JSON objects (wrapper.h read_json_line).

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "trace/wrapper.h"

namespace fwtrace::trace {
namespace {

using nlohmann::json;

// journald writes a message that is not UTF-8 as an array of byte values.
std::optional<std::string> text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return std::nullopt;
  std::string bytes;
  for (const json& byte : value) {
    if (!byte.is_number_unsigned() || byte.get<std::uint64_t>() > 255) return std::nullopt;
    bytes += static_cast<char>(byte.get<std::uint64_t>());
  }
  return bytes;
}

bool is_ours(std::string_view text) {
  return text.find("TRACE: ") != std::string_view::npos || text.find("trace id ") != std::string_view::npos ||
         (text.find("IN=") != std::string_view::npos && text.find("OUT=") != std::string_view::npos);
}

// Within some 30,000 years of 1970, so that differences of times cannot overflow.
std::int64_t sane(std::int64_t micros) {
  return micros > -1'000'000'000'000'000'000 && micros < 1'000'000'000'000'000'000 ? micros
                                                                                   : base::Stamp::kNone;
}

std::int64_t micros_of(const json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) return base::Stamp::kNone;
  if (member->is_number_integer()) return sane(member->get<std::int64_t>());
  if (!member->is_string()) return base::Stamp::kNone;
  return sane(
      base::parse_number<std::int64_t>(member->get_ref<const std::string&>()).value_or(base::Stamp::kNone));
}

}  // namespace

std::optional<JsonLine> read_json_line(std::string_view line) {
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  JsonLine out;
  bool found = false;
  for (const char* name : {"MESSAGE", "message", "msg", "log", "line"}) {
    const auto member = object.find(name);
    if (member == object.end()) continue;
    if (auto text = text_of(*member)) {
      out.message = std::move(*text);
      found = true;
      break;
    }
  }
  if (!found || !is_ours(out.message)) {
    for (const auto& [name, value] : object.items()) {
      auto text = text_of(value);
      if (!text || !is_ours(*text)) continue;
      out.message = std::move(*text);
      found = true;
      break;
    }
  }
  if (!found) return std::nullopt;
  while (!out.message.empty() && (out.message.back() == '\n' || out.message.back() == '\r'))
    out.message.pop_back();

  for (const char* name : {"_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"}) {
    out.time.wall_us = micros_of(object, name);
    if (out.time.wall_us != base::Stamp::kNone) break;
  }
  out.time.uptime_us = micros_of(object, "_SOURCE_MONOTONIC_TIMESTAMP");
  if (out.time.uptime_us == base::Stamp::kNone)
    out.time.uptime_us = micros_of(object, "__MONOTONIC_TIMESTAMP");
  if (out.time.wall_us != base::Stamp::kNone) {
    out.time.zone_known = out.time.year_known = true;
    out.time.seconds_only = false;
  } else {
    for (const char* name : {"time", "timestamp", "@timestamp", "ts"}) {
      const auto member = object.find(name);
      if (member == object.end() || !member->is_string()) continue;
      const Wrapper wrapper = read_wrapper(member->get_ref<const std::string&>());
      if (wrapper.time.wall_us == base::Stamp::kNone) continue;
      out.time.wall_us = wrapper.time.wall_us;
      out.time.zone_known = wrapper.time.zone_known;
      out.time.zone_minutes = wrapper.time.zone_minutes;
      out.time.year_known = wrapper.time.year_known;
      out.time.seconds_only = wrapper.time.seconds_only;
      break;
    }
  }
  for (const char* name : {"_HOSTNAME", "host", "hostname"}) {
    const auto member = object.find(name);
    if (member != object.end() && member->is_string()) {
      out.host = member->get<std::string>();
      break;
    }
  }
  return out;
}

}  // namespace fwtrace::trace
