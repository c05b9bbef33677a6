#include "cli/doctor.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/messages.h"
#include "host/capability.h"
#include "host/classic.h"
#include "host/doctor.h"
#include "host/doctor_facts.h"
#include "host/namespace.h"
#include "host/repair.h"
#include "packet/filter.h"
#include "report/json_writer.h"
#include "report/wrap.h"

namespace fwtrace::cli {
namespace {

using host::Check;
using host::CheckStatus;

constexpr auto kOptions = std::to_array<OptionRow>({
    {"-N,--netns", "NETNS",
     "look into this network namespace: a name of \"ip netns\", a process number, or a path"},
    {"--repair", "", "put back what killed runs of fwtrace left behind"},
    {"--classic", "",
     "print the steps of the classic way (TRACE rules, kernel log), and their undo, as a script"},
    {"-v,--verbose", "", "also say what each line means where all is well"},
    {"--json", "", "one JSON object a line (docs/json.md)"},
    {"-h,--help", "", "this help"},
});
constexpr auto kExamples = std::to_array<std::string_view>({
    "sudo fwtrace doctor",
    "sudo fwtrace doctor -N web",
    "sudo fwtrace doctor --classic -p tcp --dport 80 > classic.sh    (read it, then: sudo sh classic.sh)",
});

constexpr std::size_t kName = 18;  // columns of a check's name

std::string print_words(host::CheckStatus status) {
  std::string words(host::to_text(status));
  std::ranges::replace(words, ' ', '_');
  return words;
}

void print_check(std::string& out, const Check& check, std::string_view name, bool verbose, int width) {
  const auto indented = [&](std::string_view what, std::string_view text) {
    std::string line(4 + kName, ' ');
    line += what;
    const std::size_t column = line.size();
    report::append_wrapped(line, base::to_printable(text), column, column, width);
    out += line + "\n";
  };
  std::string line(host::mark_of(check.status));
  line += " " + std::string(name);
  line += std::string(kName - std::min(kName, base::display_width(name)) + 2, ' ');
  report::append_wrapped(line, base::to_printable(check.found), 4 + kName, 4 + kName, width);
  out += line + "\n";
  const bool well = check.status == CheckStatus::Ok || check.status == CheckStatus::NotNeeded;
  if (!check.means.empty() && (verbose || !well)) indented("means  ", check.means);
  if (!check.mend.empty() && (verbose || !well)) {
    // A command is never broken: it is there to be copied.
    out += std::string(4 + kName, ' ') + (check.status == CheckStatus::Fact ? "see    " : "mend   ") +
           base::to_printable(check.mend) + "\n";
  }
}

void print_text(const host::Diagnosis& diagnosis, bool verbose, World& world) {
  std::string out = base::to_printable(diagnosis.answer) + "\n" + base::to_printable(diagnosis.next) + "\n\n";
  std::string_view last;
  for (const Check& check : diagnosis.checks) {
    print_check(out, check, check.name == last ? "" : check.name, verbose, world.width);
    last = check.name;
  }
  world.out.append(out);
}

void print_json(const host::Diagnosis& diagnosis, const host::Facts& facts, World& world) {
  std::array<std::uint64_t, 5> counts{};
  for (const Check& check : diagnosis.checks) {
    ++counts[static_cast<std::size_t>(check.status)];
    std::string out;
    report::JsonWriter json(out);
    json.begin_object();
    json.field("schema", 1);
    json.key("check");
    json.begin_object();
    json.field("name", check.name);
    json.field("status", print_words(check.status));
    json.field("found", check.found);
    json.maybe("means", check.means);
    json.maybe("mend", check.mend);
    json.end_object();
    json.end_object();
    world.out.append(out + "\n");
  }
  std::string out;
  report::JsonWriter json(out);
  json.begin_object();
  json.field("schema", 1);
  json.key("doctor");
  json.begin_object();
  json.field("works", diagnosis.works);
  json.field("answer", diagnosis.answer);
  json.field("next", diagnosis.next);
  json.key("self_test");
  json.begin_object();
  json.field("passed", facts.self_test.passed());
  json.field("nft_events", facts.self_test.nft_events);
  json.field("legacy_events", facts.self_test.legacy_events);
  json.field("lost", facts.self_test.lost);
  json.field("microseconds", facts.self_test.microseconds);
  json.maybe("problem", facts.self_test.problem);
  json.end_object();
  json.key("counts");
  json.begin_object();
  for (const CheckStatus status : {CheckStatus::Ok, CheckStatus::Missing, CheckStatus::Mind,
                                   CheckStatus::NotNeeded, CheckStatus::Fact}) {
    json.field(print_words(status), counts[static_cast<std::size_t>(status)]);
  }
  json.end_object();
  json.end_object();
  json.end_object();
  world.out.append(out + "\n");
}

base::Result<int> repair(const std::string& netns, World& world) {
  TRY_VOID(host::require_capability(host::Capability::NetAdmin, "putting back what was left behind"));
  TRY(const host::NetworkNamespace target,
      netns.empty() ? host::NetworkNamespace::current() : host::NetworkNamespace::find(netns));
  TRY(const host::EnterNamespace inside, host::EnterNamespace::enter(target));
  TRY(const host::Repaired repaired, host::repair_all());
  for (const std::string& line : repaired.done) world.out.append(base::to_printable(line) + "\n");
  if (repaired.done.empty() && repaired.failed.empty())
    world.out.append("nothing to repair: no earlier run left anything behind\n");
  for (const std::string& line : repaired.failed)
    report_error(world, {base::ErrorKind::Permission, line, {}});
  return repaired.failed.empty() ? kDone : kPermission;
}

// Two wishes of which only one can be fulfilled; "" if there are none.
std::string find_contradiction(const Options& options, const packet::Filter& filter) {
  if (options.has("--repair") && options.has("--classic"))
    return "--repair and --classic contradict each other";
  if (options.has("--json") && (options.has("--repair") || options.has("--classic")))
    return "--json is for the checks, not for " +
           std::string(options.has("--repair") ? "--repair" : "--classic");
  if (!filter.empty() && !options.has("--classic"))
    return "a FILTER is for --classic: the checks are of the machine";
  return "";
}

}  // namespace

const CommandRow kDoctor = {"doctor",
                            "[-N NETNS] [--repair | --classic [FILTER]]",
                            "can tracing work here, and if nothing appears, why not",
                            kOptions,
                            kExamples,
                            true};

int doctor(const std::vector<std::string>& args, World& world) {
  const auto taken = packet::take_filter(args, options_with_value(kDoctor));
  if (!taken) return report_error(world, taken.error());
  const auto options = parse_options(kDoctor, taken->rest);
  if (!options) return report_error(world, options.error());
  if (options->has("--help")) {
    world.out.append(print_help(kDoctor));
    return kDone;
  }
  if (!options->words.empty())
    return report_error(world, {base::ErrorKind::Usage,
                                "doctor reads no files: \"" + options->words.front() + "\"",
                                {"\"fwtrace doctor --help\" lists the options"}});
  if (const std::string what = find_contradiction(*options, taken->filter); !what.empty())
    return report_error(world,
                        {base::ErrorKind::Usage, what, {"\"fwtrace doctor --help\" lists the options"}});
  const std::string netns = options->get("--netns");
  if (options->has("--repair")) {
    const auto status = repair(netns, world);
    return status ? *status : report_error(world, status.error());
  }
  const auto facts = host::gather_facts(netns);
  if (!facts) return report_error(world, facts.error());
  if (options->has("--classic")) {
    world.out.append(host::print_classic(*facts, taken->filter));
    return kDone;
  }
  const host::Diagnosis diagnosis = host::diagnose(*facts);
  if (options->has("--json")) print_json(diagnosis, *facts, world);
  else print_text(diagnosis, options->has("--verbose"), world);
  return diagnosis.works ? kDone : kPermission;
}

}  // namespace fwtrace::cli
