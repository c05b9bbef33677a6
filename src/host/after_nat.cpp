#include "host/after_nat.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "host/direction.h"
#include "host/nat_rule.h"
#include "host/proc.h"

namespace fwtrace::host {

using packet::FilterCondition;
using packet::IpAddress;
using packet::IpPrefix;
using packet::IpVersion;

namespace {

// Can an address between low and high be in the prefix? With gaps in the mask the answer may be a yes too many.
bool meets(const IpPrefix& prefix, const IpAddress& low, const IpAddress& high) {
  if (prefix.address.version != low.version) return false;
  if (low == high) return prefix.contains(low);
  IpAddress first = prefix.address, last = prefix.address;
  const std::size_t size = low.version == IpVersion::V4 ? 4 : 16;
  for (std::size_t i = 0; i < size; ++i) {
    first.bytes[i] &= prefix.mask.bytes[i];
    last.bytes[i] = static_cast<std::uint8_t>(first.bytes[i] | ~prefix.mask.bytes[i]);
  }
  return first.bytes <= high.bytes && low.bytes <= last.bytes;
}

// Are all addresses of the one in the other?
bool is_within(const IpPrefix& inner, const IpPrefix& outer) {
  if (inner.address.version != outer.address.version) return false;
  for (std::size_t i = 0; i < outer.mask.bytes.size(); ++i) {
    if ((inner.mask.bytes[i] & outer.mask.bytes[i]) != outer.mask.bytes[i]) return false;
  }
  return outer.contains(inner.address);
}

bool is_loopback(const IpPrefix& prefix) {
  static const IpAddress kV4 = *packet::parse_ip("127.0.0.1"), kV6 = *packet::parse_ip("::1");
  return prefix.contains(kV4) || prefix.contains(kV6);
}

bool can_make(const Translation& by, const FilterCondition& c, std::span<const IpAddress> own) {
  const bool source = c.option == "source" || c.option == "source-port";
  if (by.source != source) return false;
  if (c.option == "source-port" || c.option == "destination-port") {
    // Whom the rule translates had such a port before: then the condition can be tested there.
    if (by.asked_low_port && c.low <= *by.asked_low_port && *by.asked_high_port <= c.high) return false;
    return !by.ports_kept && by.low_port <= c.high && c.low <= by.high_port;
  }
  if (contradicts(by.version, c.prefix.address.version)) return false;
  if (by.asked_address && is_within(*by.asked_address, c.prefix)) return false;
  switch (by.address) {
    case Translation::Address::Kept: return false;
    case Translation::Address::Any: return true;
    case Translation::Address::Range: return meets(c.prefix, by.low, by.high);
    case Translation::Address::Own:
      // A packet of this machine's own is redirected to loopback (kernel: nf_nat_redirect_ipv4).
      return (!source && is_loopback(c.prefix)) ||
             std::ranges::any_of(own, [&](const IpAddress& address) { return c.prefix.contains(address); });
  }
  return true;
}

}  // namespace

std::vector<std::size_t> find_after_nat(const packet::Filter& filter, const ruleset::Rulebook& book,
                                        std::span<const IpAddress> own) {
  std::vector<std::size_t> candidates, found;
  for (std::size_t i = 0; i < filter.conditions.size(); ++i) {
    const FilterCondition& c = filter.conditions[i];
    const bool translated = c.option == "source" || c.option == "destination" || c.option == "source-port" ||
                            c.option == "destination-port";
    const bool any = (c.option == "source" || c.option == "destination") &&
                     c.prefix.mask.bytes == IpAddress{}.bytes;  // 0.0.0.0/0 holds before NAT too
    if (translated && !any && !c.negated) candidates.push_back(i);
  }
  if (candidates.empty()) return found;
  const Frame frame = frame_of(filter, {});
  const auto take = [&](const Translation& by) {
    if (contradicts(by.version, frame.version)) return;
    if (by.protocol && frame.protocol && *by.protocol != *frame.protocol) return;
    for (const std::size_t i : candidates) {
      if (can_make(by, filter.conditions[i], own) && std::ranges::find(found, i) == found.end())
        found.push_back(i);
    }
  };
  for (const ruleset::Ruleset& rules : book.rulesets) {
    for (const ruleset::Table& table : rules.tables) {
      for (const ruleset::Chain& chain : table.chains) {
        for (const ruleset::Rule& rule : chain.rules) {
          std::ranges::for_each(read_nat_rule(rule, rules.family), take);
        }
      }
    }
  }
  std::ranges::sort(found);
  return found;
}

base::Result<std::vector<IpAddress>> find_own_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return base::fail(base::ErrorKind::Permission,
                      "the addresses of this machine cannot be read: " + print_errno(errno));
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> freed(list, freeifaddrs);
  std::vector<IpAddress> own;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    IpAddress address;
    if (each->ifa_addr->sa_family == AF_INET) {
      sockaddr_in in{};
      std::memcpy(&in, each->ifa_addr, sizeof in);
      address.version = IpVersion::V4;
      std::memcpy(address.bytes.data(), &in.sin_addr, 4);
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 in{};
      std::memcpy(&in, each->ifa_addr, sizeof in);
      address.version = IpVersion::V6;
      std::memcpy(address.bytes.data(), &in.sin6_addr, 16);
    } else {
      continue;
    }
    own.push_back(address);
  }
  return own;
}

}  // namespace fwtrace::host
