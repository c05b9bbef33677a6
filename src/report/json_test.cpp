// The JSON form, held to docs/fwtrace.schema.json by as much of JSON Schema as that file uses (tests/schema_test.py
// does it with a whole validator, on what the program prints).
#include "report/json.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "report/journeys_for_test.h"
#include "report/json_writer.h"

namespace fwtrace::report {
namespace {

using nlohmann::json;
using packet::Packet;

const json& schema() {
  static const json text = json::parse(std::ifstream(FWTRACE_SOURCE_DIR "/docs/fwtrace.schema.json"));
  return text;
}

bool has_type(const json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  return type == "integer" && value.is_number_integer();
}

std::set<std::string> seen;  // every property that a test has written, as "packet/src"

// What does not fit, as text; "" if all does.
std::string schema_errors(const json& value, const json& rule, const std::string& name) {
  if (rule.contains("$ref")) {
    const std::string target = rule["$ref"].get<std::string>().substr(std::string("#/$defs/").size());
    return schema_errors(value, schema()["$defs"].at(target), target);
  }
  const auto wrong = [&](const std::string& what) { return name + ": " + what + ": " + value.dump() + "\n"; };
  std::string out;
  if (rule.contains("type") && !has_type(value, rule["type"]))
    out += wrong("not of type " + rule["type"].get<std::string>());
  if (rule.contains("const") && value != rule["const"]) out += wrong("not the constant");
  if (rule.contains("enum") &&
      std::find(rule["enum"].begin(), rule["enum"].end(), value) == rule["enum"].end())
    out += wrong("not one of the words");
  if (rule.contains("minimum") && value < rule["minimum"]) out += wrong("too small");
  if (rule.contains("maximum") && value > rule["maximum"]) out += wrong("too large");
  if (rule.contains("pattern") &&
      !std::regex_search(value.get<std::string>(), std::regex(rule["pattern"].get<std::string>())))
    out += wrong("not of the pattern");
  if (rule.contains("items")) {
    for (const json& item : value) out += schema_errors(item, rule["items"], name);
  }
  if (!value.is_object()) return out;
  for (const auto& [key, item] : value.items()) {
    seen.insert(name + "/" + key);
    if (rule["properties"].contains(key))
      out += schema_errors(item, rule["properties"][key], name + "." + key);
    else out += wrong("the schema has no " + key);
  }
  for (const json& key : rule.value("required", json::array())) {
    if (!value.contains(key.get<std::string>())) out += wrong("without " + key.get<std::string>());
  }
  return out;
}

json parse_line(const std::string& line) {
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  json parsed = json::parse(line);
  EXPECT_EQ(schema_errors(parsed, schema(), "line"), "") << line;
  return parsed;
}

json write(const JourneyMaker& m) {
  base::Output out = base::Output::to_string();
  write_json(out, m.journey, m.sources);
  return parse_line(out.text())["journey"];
}

packet::Bytes bytes(std::initializer_list<std::uint8_t> values) {
  packet::Bytes made;
  for (const std::uint8_t value : values) made.push(value);
  return made;
}

// A packet in which every field of the headers is there.
void fill(JourneyMaker& m, Packet& p) {
  p.out = m.name("out0"), p.physin = m.name("phys0"), p.physout = m.name("phys1");
  p.link.printed = true;
  p.link.header = bytes({0x52, 0x54, 0, 0x12, 0x34, 0x56});
  p.link.source = packet::MacAddress{0x52, 1, 2, 3, 4, 5};
  p.link.destination = packet::MacAddress{0x52, 6, 7, 8, 9, 10};
  p.link.ethertype = 0x800, p.link.vlan = 12;
  p.link.tunnel_from = *packet::parse_ip("192.0.2.1"), p.link.tunnel_to = *packet::parse_ip("192.0.2.2");
  p.tos = 0x10, p.precedence = 0x20, p.traffic_class = 0x30, p.flow_label = 0xABCDE, p.id = 41936;
  p.ce = p.df = p.mf = p.damaged = p.shortened = true;
  p.source_text = m.name("x.x.x.x"), p.destination_text = m.name("<client>");
  p.fragment_offset = 100;
  p.ip_options = {packet::Options::State::Bytes, bytes({1, 2, 0xFF})};
  packet::Extension& extension = p.extensions.emplace_back();
  extension.kind = packet::Extension::Kind::Fragment;
  extension.fragment_offset = 8, extension.id = 9, extension.spi = 10, extension.next_header = 11;
  extension.more_fragments = extension.truncated = true;
  p.network_cut = {true, 13}, p.transport_cut = {true, std::nullopt};
  p.mark = 14, p.uid = 15, p.gid = 16;
  p.ct_state = 17, p.ct_status = 18, p.ct_id = 19, p.ct_direction = 1;
}

TEST(Json, AJourneyHoldsItsFacts) {
  JourneyMaker m;
  make_rejected(m);
  const json j = write(m);
  EXPECT_EQ(j["serial"], 1);
  EXPECT_EQ(j["place"], "kern.log:7");
  EXPECT_EQ(j["complete"], true);
  EXPECT_EQ(j["outcome"]["verdict"], "rejected");
  EXPECT_EQ(j["outcome"]["by"]["rule"], 7);
  EXPECT_EQ(j["outcome"]["by"]["where"], "filter FORWARD rule 7");
  EXPECT_EQ(j["outcome"]["by"]["target"], "REJECT");
  EXPECT_EQ(j["forms"][0]["src"], "10.36.7.11");
  EXPECT_EQ(j["forms"][0]["tcp"]["flags"], json::array({"SYN"}));
  EXPECT_FALSE(j["forms"][0].contains("mark"));
  EXPECT_EQ(j["steps"].size(), 12U);
  EXPECT_EQ(j["steps"][0]["did"], "policy_accept");
  EXPECT_EQ(j["steps"][0]["number"], 3);
  EXPECT_FALSE(j["steps"][0].contains("rule"));
  EXPECT_EQ(j["steps"][7]["text"],
            "-A PREROUTING_direct -d 10.32.105.30/32 -p tcp -j DNAT --to-destination 192.168.101.10:80");
  EXPECT_EQ(j["rewrites"][0]["from"], "10.32.105.30:80");
  EXPECT_EQ(j["rewrites"][0]["to"], "192.168.101.10:80");
  EXPECT_EQ(j["rewrites"][0]["by_step"], 7);
}

TEST(Json, AnOpenOutcomeHasNoDecider) {
  JourneyMaker m;
  m.form();
  m.step(packet::Hook::Forward, "filter", "FORWARD", 0, journey::Did::Unknown, 7).kind =
      trace::EventKind::Policy;
  m.journey.outcome.step = 0;
  m.journey.outcome.likely = journey::OutcomeKind::Dropped;
  const json outcome = write(m)["outcome"];
  EXPECT_FALSE(outcome.contains("by"));
  EXPECT_EQ(outcome["likely"], "dropped");
  EXPECT_EQ(outcome["last_seen"]["number"], 7);  // the policy, or rule 7: nobody knows
  EXPECT_FALSE(outcome["last_seen"].contains("rule"));
}

TEST(Json, EveryFieldOfTheSchemaCanBeWrittenAndNoOther) {
  JourneyMaker m;
  make_rejected(m);
  fill(m, m.journey.forms[0]);
  packet::Tcp& tcp = std::get<packet::Tcp>(m.journey.forms[0].transport);
  tcp.flags = 0x1FF, tcp.urgent = 1, tcp.reserved = 2;
  tcp.options = {packet::Options::State::Bytes, bytes({2, 4, 5, 0xB4})};
  Packet inner = m.journey.forms[1];
  packet::Icmp icmp{3, 4, 5, 6, *packet::parse_ip("10.0.0.1"), 7, 8, std::make_shared<Packet>(inner)};
  m.form().transport = icmp;
  m.form().transport = packet::Udp{20, 21};
  m.form().transport = packet::Spi{22};
  m.form().ip_options.state = packet::Options::State::Truncated;
  std::get<packet::Tcp>(m.journey.forms[1].transport).options.state = packet::Options::State::Truncated;
  const packet::MacAddress mac{1, 2, 3, 4, 5, 6};
  m.form().transport =
      packet::Arp{1, 0x800, 2, mac, mac, *packet::parse_ip("10.0.0.1"), *packet::parse_ip("fd00::1")};
  m.journey.host = m.name("router");
  m.journey.starts_late = true;
  m.journey.starts_late_why = "why";
  m.journey.copy_of = 1;
  m.journey.outcome.assumes = {"something"};
  m.journey.outcome.likely = journey::OutcomeKind::Dropped;
  journey::Step& last = m.journey.steps.back();
  ruleset::Rule rule = *last.rule;
  rule.comment = "ours";
  rule.place = {1, 2, 3};
  last.rule = &rule;
  last.handle = 5, last.trace_id = 0x5ef73f, last.has_trace_id = true, last.verdict = packet::Verdict::Drop;
  last.time = {
      .wall_us = 0, .zone_minutes = -210, .zone_known = true, .year_known = true, .seconds_only = false};
  EXPECT_EQ(write(m)["steps"].back()["trace_id"], "005ef73f");
  last.rules_changed = true;
  m.journey.live = m.journey.armed = m.journey.armed_late = true;
  m.journey.answers = 1;
  EXPECT_EQ(write(m)["dialect"], "live");
  // A decider and a last step seen never come together; the first step is one, for its number.
  m.journey.outcome.kind = journey::OutcomeKind::Lost;
  m.journey.outcome.step = 0;
  write(m);

  journey::Summary summary;
  m.journey.outcome.kind = journey::OutcomeKind::Rejected;
  m.journey.outcome.step = m.last();
  summary.add(m.journey, true);
  summary.add(trace::Loss{
      .place = {1, 2, 0}, .host = m.name("router"), .time = last.time, .lines = 3, .reason = "gap"});
  summary.diagnostics.add({.severity = base::Severity::Note,
                           .code = "odd",
                           .place = {1, 2, 3},
                           .message = "odd",
                           .hints = {"do"},
                           .line = "text"});
  summary.live = true;
  summary.armed = 5, summary.started = 2, summary.unstarted = 1;
  base::Output out = base::Output::to_string();
  write_json(out, summary, m.sources);
  const json written = parse_line(out.text())["summary"];
  EXPECT_EQ(written["outcomes"]["rejected"], 1);
  EXPECT_EQ(written["live"]["wholly_lost"], 2);
  EXPECT_EQ(written["deciders"][0]["packets"], 1);
  EXPECT_EQ(written["lost"]["first"][0]["place"], "kern.log:2");

  for (const auto& [name, rule_of] : schema()["$defs"].items()) {
    if (name == "check" || name == "doctor")
      continue;  // of the doctor command; tests/schema_test.py has them
    const json properties = rule_of.value("properties", json::object());
    for (const auto& [key, ignored] : properties.items())
      EXPECT_TRUE(seen.contains(name + "/" + key)) << "no test writes " << name << "/" << key;
  }
}

TEST(Json, TimesSayHowExactTheyAre) {
  const auto time = [](base::Stamp stamp) {
    JourneyMaker m;
    m.step(packet::Hook::Input, "filter", "INPUT", 0, journey::Did::Accept, 1).time = stamp;
    return write(m).value("time", json());
  };
  constexpr std::int64_t kNoon = 1'795'435'201'000'000;  // 2026-11-23T12:00:01Z
  EXPECT_EQ(time({.wall_us = kNoon + 123456,
                  .zone_minutes = 60,
                  .zone_known = true,
                  .year_known = true,
                  .seconds_only = false}),
            json({{"wall", "2026-11-23T13:00:01.123456+01:00"}, {"exact", "us"}}));
  EXPECT_EQ(time({.wall_us = kNoon, .zone_known = true, .year_known = true})["wall"], "2026-11-23T12:00:01Z");
  EXPECT_EQ(time({.wall_us = kNoon, .year_known = true}),
            json({{"wall", "2026-11-23T12:00:01"}, {"exact", "s"}}));
  EXPECT_EQ(time({.wall_us = (31 * 86'400LL + 2 * 86'400 + 3661) * 1'000'000}),
            json({{"wall", "--02-03T01:01:01"}, {"exact", "s"}}));
  EXPECT_EQ(time({.uptime_us = 5}), json({{"uptime_us", 5}}));
  EXPECT_TRUE(time({}).is_null());
}

TEST(Json, AnyBytesAreValidText) {
  const auto escaped = [](std::string_view text) {
    std::string out;
    JsonWriter(out).value(text);
    EXPECT_TRUE(json::accept(out)) << out;
    return out;
  };
  EXPECT_EQ(escaped("a \"b\" \\ c\n\t"), R"("a \"b\" \\ c\n\t")");
  EXPECT_EQ(escaped(std::string_view("\0\x1b[31m\x7f", 7)), R"("\u0000\u001b[31m\u007f")");
  EXPECT_EQ(escaped("é → 𝄞"), "\"é → 𝄞\"");
  EXPECT_EQ(escaped("\xff\xc3(\xe2\x82"), R"("\ufffd\ufffd(\ufffd\ufffd")");
  EXPECT_EQ(escaped("\xc0\xaf\xed\xa0\x80\xf5"), R"("\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd")");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "2J\xe2\x80\xae"),
            R"("\u009b2J\u202e")");
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const char pair[] = {static_cast<char>(a), static_cast<char>(b), 'x'};
      escaped(std::string_view(pair, 3));
    }
  }
}

TEST(Json, PacketsInsidePacketsEnd) {
  JourneyMaker m;
  Packet packet = m.form();
  for (int i = 0; i < 1000; ++i) {
    packet::Icmp icmp;
    icmp.inner = std::make_shared<Packet>(packet);
    packet.transport = icmp;
  }
  m.journey.forms[0] = packet;
  m.step(packet::Hook::Input, "filter", "INPUT", 0, journey::Did::Accept, 1);
  base::Output out = base::Output::to_string();
  write_json(out, m.journey, m.sources);
  EXPECT_LT(out.text().size(), 3000U);
}

}  // namespace
}  // namespace fwtrace::report
