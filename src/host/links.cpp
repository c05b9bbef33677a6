#include "host/links.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <functional>
#include <memory>

#include "host/fd.h"

namespace fwtrace::host {
namespace {

using Answer = std::function<void(const nlmsghdr*)>;

// One question, every message of its answer. An interface that goes meanwhile is no error: the answer is empty.
void ask(int socket, nlmsghdr* request, const Answer& answer) {
  static constexpr std::size_t kBuffer = std::size_t{64} << 10;
  if (send(socket, request, request->nlmsg_len, 0) < 0) return;
  std::vector<char> buffer(kBuffer);
  while (true) {
    const ssize_t got = recv(socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    int length = static_cast<int>(got);
    for (; mnl_nlmsg_ok(header, length); header = mnl_nlmsg_next(header, &length)) {
      if (header->nlmsg_seq != request->nlmsg_seq) continue;
      if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) return;
      answer(header);
    }
  }
}

template <class Body>
void dump(int socket, std::uint16_t type, const Body& body, const Answer& answer) {
  static std::uint32_t sequence = 0;
  std::array<char, 512> place{};
  nlmsghdr* request = mnl_nlmsg_put_header(place.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = ++sequence;
  *static_cast<Body*>(mnl_nlmsg_put_extra_header(request, sizeof(Body))) = body;
  ask(socket, request, answer);
}

// libmnl's own loops are macros of C.
template <class Each>
void for_each_attribute(const nlattr* first, const char* end, const Each& each) {
  const nlattr* attribute = first;
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    each(attribute);
    attribute = mnl_attr_next(attribute);
  }
}
template <class Each>
void for_each(const nlattr* nest, const Each& each) {
  const char* begin = static_cast<const char*>(mnl_attr_get_payload(nest));
  for_each_attribute(reinterpret_cast<const nlattr*>(begin), begin + mnl_attr_get_payload_len(nest), each);
}
template <class Body, class Each>
void for_each(const nlmsghdr* message, const Each& each) {
  for_each_attribute(static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(Body))),
                     static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)), each);
}

std::string_view text_of(const nlattr* attribute) {
  const std::string_view bytes(static_cast<const char*>(mnl_attr_get_payload(attribute)),
                               mnl_attr_get_payload_len(attribute));
  return bytes.substr(0, bytes.find('\0'));
}

void read_xdp(const nlattr* nest, Link& link) {
  for_each(nest, [&](const nlattr* part) {
    if (mnl_attr_get_type(part) == IFLA_XDP_PROG_ID) link.xdp_program = mnl_attr_get_u32(part);
    if (mnl_attr_get_type(part) != IFLA_XDP_ATTACHED) return;
    switch (mnl_attr_get_u8(part)) {
      case XDP_ATTACHED_NONE: break;
      case XDP_ATTACHED_DRV: link.xdp = "driver"; break;
      case XDP_ATTACHED_SKB: link.xdp = "generic"; break;
      case XDP_ATTACHED_HW: link.xdp = "hardware"; break;
      default: link.xdp = "several"; break;
    }
  });
}

struct FoundLink {
  Link link;
  int master = 0;
};
FoundLink read_link(const nlmsghdr* message) {
  FoundLink found;
  found.link.index = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message))->ifi_index;
  for_each<ifinfomsg>(message, [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME: found.link.name = text_of(attribute); break;
      case IFLA_MASTER: found.master = static_cast<int>(mnl_attr_get_u32(attribute)); break;
      case IFLA_XDP: read_xdp(attribute, found.link); break;
      case IFLA_LINKINFO:
        for_each(attribute, [&](const nlattr* part) {
          if (mnl_attr_get_type(part) == IFLA_INFO_KIND) found.link.kind = text_of(part);
        });
        break;
      default: break;
    }
  });
  return found;
}

// The kinds of the filters at the ingress of an interface, each once. clsact and ingress share the number of the parent:
// kernel: TC_H_CLSACT == TC_H_INGRESS, and the filters of ingress are found at both minor numbers.
std::vector<std::string> read_filters(int socket, int index) {
  std::vector<std::string> kinds;
  tcmsg about{};
  about.tcm_family = AF_UNSPEC;
  about.tcm_ifindex = index;
  about.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
  dump(socket, RTM_GETTFILTER, about, [&](const nlmsghdr* message) {
    for_each<tcmsg>(message, [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) != TCA_KIND) return;
      std::string kind = fmt::format("tc filter '{}'", text_of(attribute));
      if (std::ranges::find(kinds, kind) == kinds.end()) kinds.push_back(std::move(kind));
    });
  });
  return kinds;
}

// tcx (since 6.6) stands in no list of rtnetlink. Without the right, or on older kernels, there is no answer.
// The layout is the kernel's (union bpf_attr, query); older headers lack the members behind prog_cnt, which we
// leave zero.
std::vector<std::string> read_tcx(int index) {
  constexpr std::uint32_t kTcxIngress = 46;  // BPF_TCX_INGRESS
  std::array<std::uint32_t, 16> programs{};
  bpf_attr about{};
  about.query.target_fd = static_cast<std::uint32_t>(index);  // target_ifindex shares its place
  about.query.attach_type = kTcxIngress;
  about.query.prog_ids = reinterpret_cast<std::uintptr_t>(programs.data());
  about.query.prog_cnt = programs.size();
  std::vector<std::string> found;
  if (syscall(SYS_bpf, BPF_PROG_QUERY, &about, sizeof about) != 0) return found;
  for (std::size_t i = 0; i < std::min<std::size_t>(about.query.prog_cnt, programs.size()); ++i) {
    found.push_back(fmt::format("tcx program {}", programs[i]));
  }
  return found;
}

}  // namespace

std::vector<Link> read_links() {
  std::vector<FoundLink> found;
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  const timeval patience{.tv_sec = 2, .tv_usec = 0};
  if (!socket.open() || setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
    return {};
  ifinfomsg all{};
  all.ifi_family = AF_UNSPEC;
  dump(socket.get(), RTM_GETLINK, all, [&](const nlmsghdr* message) { found.push_back(read_link(message)); });
  std::vector<int> with_ingress;
  tcmsg every{};
  every.tcm_family = AF_UNSPEC;
  dump(socket.get(), RTM_GETQDISC, every, [&](const nlmsghdr* message) {
    const auto* about = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
    for_each<tcmsg>(message, [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == TCA_KIND &&
          (text_of(attribute) == "clsact" || text_of(attribute) == "ingress"))
        with_ingress.push_back(about->tcm_ifindex);
    });
  });
  std::vector<Link> links;
  for (FoundLink& one : found) {
    const auto master = std::ranges::find(found, one.master, [](const FoundLink& f) { return f.link.index; });
    if (one.master != 0 && master != found.end() && master->link.kind == "bridge")
      one.link.bridge = master->link.name;
  }
  for (FoundLink& one : found) {
    if (std::ranges::find(with_ingress, one.link.index) != with_ingress.end())
      one.link.ingress = read_filters(socket.get(), one.link.index);
    for (std::string& program : read_tcx(one.link.index)) one.link.ingress.push_back(std::move(program));
    links.push_back(std::move(one.link));
  }
  return links;
}

}  // namespace fwtrace::host
