// Containers by name or id: the process by which their network namespace can be entered.
//
// Found in what the managers write down, so that none of their daemons is needed: docker, podman, containerd
// (Kubernetes, nerdctl), systemd-nspawn, lxc (LXD, Incus). Where a manager keeps its state elsewhere, its program is
// asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fwtrace::host {

struct Container {
  std::string manager;             // "docker"
  std::vector<std::string> names;  // "web"; Kubernetes: container and pod
  std::string id;                  // "" where there is none
  int pid = 0;                     // of its first process; 0: it does not run
  bool operator==(const Container&) const = default;
};

// Where state is kept; for tests.
struct ContainerPlaces {
  std::string docker = "/var/lib/docker/containers";
  std::string podman = "/var/lib/containers/storage", podman_run = "/run/containers/storage";
  std::string containerd = "/run/containerd/io.containerd.runtime.v2.task";
  std::string machines = "/run/systemd/machines";
  std::string proc = "/proc";
  bool ask_programs = true;  // docker and podman, if the files know nothing
};

std::vector<Container> list_containers(const ContainerPlaces& places = {});

// Those that are meant: of that name; else of that id; else whose id begins so (four characters or more). Several only
// if they are in different network namespaces.
std::vector<Container> select_containers(std::vector<Container> all, std::string_view name,
                                         const std::string& proc = "/proc");

// The one process; nothing if there is no such container. Fails if it does not run, or several are meant.
base::Result<std::optional<int>> find_container(const std::string& name, const ContainerPlaces& places = {});

}  // namespace fwtrace::host
