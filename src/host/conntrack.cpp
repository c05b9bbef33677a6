#include "host/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_hook.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "host/netlink_socket.h"
#include "ruleset/rule_words.h"

namespace fwtrace::host {

using packet::Family;

namespace {

constexpr auto kSubsystem = static_cast<std::uint16_t>(NFNL_SUBSYS_HOOK << 8 | NFNL_MSG_HOOK_GET);

// The function's name of one hook; "" if the kernel does not say it.
std::string_view function_of(const nlmsghdr* header) {
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    if (mnl_attr_get_type(attribute) == NFNLA_HOOK_FUNCTION_NAME) {
      if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0) return "";
      return mnl_attr_get_str(attribute);
    }
    attribute = mnl_attr_next(attribute);
  }
  return "";
}

// Is a function of this name registered at prerouting? Nothing if that cannot be told.
std::optional<bool> find_hook(NetlinkSocket& socket, std::uint8_t family, std::string_view function) {
  NetlinkRequest request = socket.request();
  nlmsghdr* header = mnl_nlmsg_put_header(request.next("hooks"));
  header->nlmsg_type = kSubsystem;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = request.sequence();
  auto* netfilter = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  netfilter->nfgen_family = family;
  netfilter->version = NFNETLINK_V0;
  netfilter->res_id = 0;
  mnl_attr_put_u32(header, NFNLA_HOOK_HOOKNUM, htonl(NF_INET_PRE_ROUTING));
  request.finish();
  bool found = false, nameless = false;
  const auto read = [&](const void* message) {
    const auto* reply = static_cast<const nlmsghdr*>(message);
    if (reply->nlmsg_type != kSubsystem) return;
    const std::string_view name = function_of(reply);
    found = found || name == function;
    nameless = nameless || name.empty();
  };
  if (!socket.transact(request, read).ok()) return std::nullopt;
  if (!found && nameless) return std::nullopt;  // a kernel without symbols
  return found;
}

// Matches and targets of iptables whose checkentry takes conntrack (kernel: nf_ct_netns_get).
constexpr auto kMatches = std::to_array<std::string_view>(
    {"conntrack", "state", "connmark", "connlimit", "connbytes", "connlabel", "helper"});
constexpr auto kTargets = std::to_array<std::string_view>(
    {"DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "CONNMARK", "CONNSECMARK", "SYNPROXY"});
// Statements of nft that do.
constexpr auto kStatements = std::to_array<std::string_view>({"dnat", "snat", "masquerade", "redirect"});

bool holds_conntrack(const ruleset::Rule& rule, std::vector<std::string_view>& words) {
  std::size_t open_quote = 0;
  words.clear();
  if (!ruleset::split_quoted(rule.text, ruleset::Quoting::Restore, words, open_quote)) return false;
  const bool iptables = ruleset::operation_of(words.empty() ? "" : words[0]) != ruleset::Operation::None;
  if (iptables && std::ranges::find(kTargets, rule.target) != kTargets.end()) return true;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (iptables) {
      const bool match = words[i] == "-m" && (i == 0 || words[i - 1] != "--comment");
      if (match && std::ranges::find(kMatches, words[i + 1]) != kMatches.end()) return true;
      continue;
    }
    // A chain may have any name: "jump ct".
    const bool named = i > 0 && (words[i - 1] == "jump" || words[i - 1] == "goto");
    if (named || words[i] == "jump" || words[i] == "goto") continue;
    if (words[i] == "ct" && words[i + 1] != "helper") return true;  // setting a helper holds nothing
  }
  if (iptables) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool named = i > 0 && (words[i - 1] == "jump" || words[i - 1] == "goto");
    if (!named && std::ranges::find(kStatements, words[i]) != kStatements.end()) return true;
  }
  return false;
}

}  // namespace

std::optional<Conntrack> find_conntrack_hooks() {
  auto socket = NetlinkSocket::open();
  if (!socket) return std::nullopt;
  const auto v4 = find_hook(*socket, NFPROTO_IPV4, "ipv4_conntrack_in");
  const auto v6 = find_hook(*socket, NFPROTO_IPV6, "ipv6_conntrack_in");
  if (!v4 || !v6) return std::nullopt;
  return Conntrack{.v4 = *v4, .v6 = *v6};
}

Conntrack find_conntrack(const ruleset::Rulebook& book) {
  Conntrack on;
  std::vector<std::string_view> words;
  for (const ruleset::Ruleset& rules : book.rulesets) {
    const bool v4 = rules.family == Family::Ip || rules.family == Family::Inet;
    const bool v6 = rules.family == Family::Ip6 || rules.family == Family::Inet;
    for (const ruleset::Table& table : rules.tables) {
      for (const ruleset::Chain& chain : table.chains) {
        for (const ruleset::Rule& rule : chain.rules) {
          if ((on.v4 || !v4) && (on.v6 || !v6)) break;  // nothing more to learn
          if (!holds_conntrack(rule, words)) continue;
          on.v4 = on.v4 || v4;
          on.v6 = on.v6 || v6;
        }
      }
    }
  }
  return on;
}

Conntrack find_conntrack_here(const ruleset::Rulebook& book) {
  if (const auto hooks = find_conntrack_hooks()) return *hooks;
  return find_conntrack(book);
}

}  // namespace fwtrace::host
