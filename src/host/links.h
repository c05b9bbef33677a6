// What stands between the wire and netfilter on this machine's interfaces: XDP programs, classifiers of tc and tcx,
// bridges, hardware offload. Asked of the calling thread's network namespace by rtnetlink; nothing is changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fwtrace::host {

struct Link {
  int index = 0;
  std::string name = {}, kind = {};  // "eth0"; "bridge", "veth" …, "" for hardware
  std::string bridge = {};           // whose port it is
  std::string xdp = {};              // "driver", "generic", "hardware"; "" = no program
  std::uint32_t xdp_program = 0;
  // What sees packets before netfilter: "tc filter 'bpf'", "tcx program 12".
  std::vector<std::string> ingress = {};
  bool operator==(const Link&) const = default;
};
std::vector<Link> read_links();

}  // namespace fwtrace::host
