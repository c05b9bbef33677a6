#include "host/container.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "host/proc.h"
#include "host/run_tool.h"

namespace fwtrace::host {

using base::ErrorKind;
using base::Result;
using nlohmann::json;

namespace {

constexpr std::size_t kShortestPrefix = 4;
constexpr std::size_t kShownId = 12;
constexpr auto kPatience = std::chrono::seconds(5);
// Where containerd's clients write the names; the bundle's config.json holds them as annotations.
constexpr auto kNameAnnotations = std::to_array<const char*>(
    {"io.kubernetes.cri.container-name", "io.kubernetes.cri.sandbox-name", "nerdctl/name"});

std::vector<std::filesystem::path> entries_of(const std::string& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    found.push_back(it->path());
  }
  std::ranges::sort(found);
  return found;
}

// A member of an object, if it is there and a string.
std::string text_of(const json& object, const char* member) {
  if (!object.is_object()) return "";
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

json read_json(const std::filesystem::path& path) {
  return json::parse(read_proc(path).value_or(""), nullptr, false);
}

int read_pid(const std::filesystem::path& path) {
  const std::string text = read_proc(path).value_or("");
  const auto words = base::split_words(text);
  return words.empty() ? 0 : base::parse_number<int>(words.front()).value_or(0);
}

// A number that was written down is reused when its process has ended: does it still belong to this container?
bool is_of_container(int pid, const std::string& id, const std::string& proc) {
  const auto groups = read_proc(fmt::format("{}/{}/cgroup", proc, pid));
  return groups && groups->find(id) != std::string::npos;
}

void list_docker(const ContainerPlaces& places, std::vector<Container>& all) {
  for (const auto& folder : entries_of(places.docker)) {
    const json config = read_json(folder / "config.v2.json");
    Container one{
        .manager = "docker", .names = {text_of(config, "Name")}, .id = text_of(config, "ID"), .pid = 0};
    if (one.id.empty()) continue;
    if (one.names[0].starts_with('/')) one.names[0].erase(0, 1);
    const auto state = config.find("State");
    if (state != config.end() && state->is_object() && state->contains("Pid") &&
        (*state)["Pid"].is_number_integer()) {
      one.pid = (*state)["Pid"].get<int>();
    }
    if (one.pid > 0 && !is_of_container(one.pid, one.id, places.proc)) one.pid = 0;
    all.push_back(std::move(one));
  }
}

// Names are with the storage driver ("overlay-containers/containers.json"), the process with the run's state.
void list_podman(const ContainerPlaces& places, std::vector<Container>& all) {
  for (const auto& folder : entries_of(places.podman)) {
    const std::string driver = folder.filename();
    if (!driver.ends_with("-containers")) continue;
    const json list = read_json(folder / "containers.json");
    if (!list.is_array()) continue;
    for (const json& each : list) {
      Container one{.manager = "podman", .names = {}, .id = text_of(each, "id"), .pid = 0};
      if (one.id.empty()) continue;
      if (const auto names = each.find("names"); names != each.end() && names->is_array()) {
        for (const json& name : *names) {
          if (name.is_string()) one.names.push_back(name.get<std::string>());
        }
      }
      const auto run = std::filesystem::path(places.podman_run) / driver / one.id / "userdata";
      one.pid = read_pid(run / "pidfile");
      if (one.pid > 0 && !is_of_container(one.pid, one.id, places.proc)) one.pid = 0;
      all.push_back(std::move(one));
    }
  }
}

void list_containerd(const ContainerPlaces& places, std::vector<Container>& all) {
  for (const auto& space : entries_of(places.containerd)) {
    if (space.filename() == "moby") continue;  // docker's own
    for (const auto& bundle : entries_of(space)) {
      Container one{.manager = "containerd",
                    .names = {},
                    .id = bundle.filename(),
                    .pid = read_pid(bundle / "init.pid")};
      const json config = read_json(bundle / "config.json");
      if (const auto notes = config.is_object() ? config.find("annotations") : config.end();
          notes != config.end()) {
        for (const char* key : kNameAnnotations) {
          if (auto name = text_of(*notes, key); !name.empty()) one.names.push_back(std::move(name));
        }
      }
      all.push_back(std::move(one));
    }
  }
}

void list_machines(const ContainerPlaces& places, std::vector<Container>& all) {
  for (const auto& file : entries_of(places.machines)) {
    const std::string name = file.filename();
    if (name.find(':') != std::string::npos) continue;  // "unit:…" links to the same
    const std::string text = read_proc(file).value_or("");
    for (const std::string_view line : base::split(text, '\n')) {
      constexpr std::string_view kLeader = "LEADER=";
      if (!line.starts_with(kLeader)) continue;
      all.push_back({.manager = "systemd machine",
                     .names = {name},
                     .id = "",
                     .pid = base::parse_number<int>(line.substr(kLeader.size())).value_or(0)});
    }
  }
}

// lxc's monitor calls itself "[lxc monitor] /var/lib/lxc web"; its one child is the container's first process.
void list_lxc(const ContainerPlaces& places, std::vector<Container>& all) {
  constexpr std::string_view kMonitor = "[lxc monitor] ";
  std::vector<std::pair<int, std::string>> monitors;
  const auto processes = list_processes(places.proc);
  for (const int pid : processes) {
    std::string line = read_proc(fmt::format("{}/{}/cmdline", places.proc, pid)).value_or("");
    if (!line.starts_with(kMonitor)) continue;
    std::ranges::replace(line, '\0', ' ');
    const auto words = base::split_words(line);
    monitors.emplace_back(pid, words.back());
  }
  if (monitors.empty()) return;
  for (const int pid : processes) {
    const auto process = find_process(pid, places.proc);
    const auto monitor =
        std::ranges::find(monitors, process ? process->parent : -1, &std::pair<int, std::string>::first);
    if (monitor == monitors.end()) continue;
    all.push_back({.manager = "lxc", .names = {monitor->second}, .id = "", .pid = pid});
  }
}

// Answers also where the state is kept elsewhere (docker's data-root, a user's own podman).
void ask_programs(const std::string& name, std::vector<Container>& all) {
  for (const char* program : {"docker", "podman"}) {
    const auto said =
        run_tool({program, "container", "inspect", "--format", "{{.State.Pid}} {{.Id}} {{.Name}}", name},
                 {.time = kPatience, .max_bytes = 65536});
    if (!said || !said->ok()) continue;
    for (const std::string_view line : base::split(said->out, '\n')) {
      const auto words = base::split_words(line);
      if (words.size() != 3) continue;
      const auto pid = base::parse_number<int>(words[0]);
      std::string_view called = words[2];
      if (called.starts_with('/')) called.remove_prefix(1);
      if (pid) {
        all.push_back(
            {.manager = program, .names = {std::string(called)}, .id = std::string(words[1]), .pid = *pid});
      }
    }
  }
}

std::uint64_t namespace_of(int pid, const std::string& proc) {
  struct stat info{};
  return stat(fmt::format("{}/{}/ns/net", proc, pid).c_str(), &info) == 0 ? info.st_ino : 0;
}

// What containers are called; nothing else is given to a program as its argument.
bool is_container_name(std::string_view name) {
  return !name.empty() && name.front() != '-' && std::ranges::all_of(name, [](char c) {
    return base::is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
           c == '-';
  });
}

std::string print_container(const Container& one) {
  std::string text = one.manager;
  if (!one.names.empty())
    text += fmt::format(" '{}'", base::to_printable(fmt::format("{}", fmt::join(one.names, "', '"))));
  if (!one.id.empty()) text += fmt::format(" {}", base::to_printable(one.id.substr(0, kShownId)));
  return text + (one.pid > 0 ? fmt::format(" (process {})", one.pid) : " (not running)");
}

}  // namespace

std::vector<Container> list_containers(const ContainerPlaces& places) {
  std::vector<Container> all;
  list_docker(places, all);
  list_podman(places, all);
  list_containerd(places, all);
  list_machines(places, all);
  list_lxc(places, all);
  return all;
}

std::vector<Container> select_containers(std::vector<Container> all, std::string_view name,
                                         const std::string& proc) {
  const auto keep = [&](auto&& wanted) {
    std::vector<Container> kept;
    std::ranges::copy_if(all, std::back_inserter(kept), wanted);
    return kept;
  };
  auto meant =
      keep([&](const Container& one) { return std::ranges::find(one.names, name) != one.names.end(); });
  if (meant.empty()) meant = keep([&](const Container& one) { return one.id == name; });
  if (meant.empty() && name.size() >= kShortestPrefix) {
    meant = keep([&](const Container& one) { return one.id.starts_with(name); });
  }
  // One that runs is meant before those that do not.
  if (std::ranges::any_of(meant, [](const Container& one) { return one.pid > 0; })) {
    std::erase_if(meant, [](const Container& one) { return one.pid <= 0; });
  }
  // The containers of a pod share one namespace.
  std::vector<std::uint64_t> seen;
  std::erase_if(meant, [&](const Container& one) {
    const std::uint64_t inode = namespace_of(one.pid, proc);
    if (inode == 0) return false;
    if (std::ranges::find(seen, inode) != seen.end()) return true;
    seen.push_back(inode);
    return false;
  });
  return meant;
}

Result<std::optional<int>> find_container(const std::string& name, const ContainerPlaces& places) {
  if (!is_container_name(name)) return std::nullopt;
  auto meant = select_containers(list_containers(places), name, places.proc);
  const bool runs = std::ranges::any_of(meant, [](const Container& one) { return one.pid > 0; });
  if (!runs && places.ask_programs) {
    std::vector<Container> told;
    ask_programs(name, told);
    if (!told.empty()) meant = select_containers(std::move(told), name, places.proc);
  }
  if (meant.empty()) return std::nullopt;
  if (meant.size() > 1) {
    std::vector<std::string> hints;
    for (const Container& one : meant) hints.push_back(print_container(one));
    hints.emplace_back("give the process number instead of the name");
    return base::fail(ErrorKind::Usage, fmt::format("'{}' means {} containers", name, meant.size()),
                      std::move(hints));
  }
  if (meant.front().pid <= 0) {
    return base::fail(ErrorKind::Usage, fmt::format("container '{}' does not run", name),
                      {print_container(meant.front())});
  }
  return meant.front().pid;
}

}  // namespace fwtrace::host
