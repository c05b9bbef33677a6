#include "packet/netfilter.h"

#include <algorithm>
#include <array>

namespace fwtrace::packet {
namespace {

template <class T>
struct Word {
  T value;
  std::string_view text;
};

constexpr auto kFamilies = std::to_array<Word<Family>>({
    {Family::Inet, "inet"},
    {Family::Ip, "ip"},
    {Family::Arp, "arp"},
    {Family::Netdev, "netdev"},
    {Family::Bridge, "bridge"},
    {Family::Ip6, "ip6"},
});

struct HookRow {
  Hook value;
  std::string_view text;
  std::string_view chain;  // iptables' base chain there; "" if it has none
};
constexpr auto kHooks = std::to_array<HookRow>({
    {Hook::Ingress, "ingress", ""},
    {Hook::Prerouting, "prerouting", "PREROUTING"},
    {Hook::Input, "input", "INPUT"},
    {Hook::Forward, "forward", "FORWARD"},
    {Hook::Output, "output", "OUTPUT"},
    {Hook::Postrouting, "postrouting", "POSTROUTING"},
    {Hook::Egress, "egress", ""},
});

constexpr auto kVerdicts = std::to_array<Word<Verdict>>({
    {Verdict::Accept, "accept"},
    {Verdict::Drop, "drop"},
    {Verdict::Stolen, "stolen"},
    {Verdict::Queue, "queue"},
    {Verdict::Repeat, "repeat"},
    {Verdict::Continue, "continue"},
    {Verdict::Break, "break"},
    {Verdict::Jump, "jump"},
    {Verdict::Goto, "goto"},
    {Verdict::Return, "return"},
});

// kernel: include/uapi/linux/netfilter_ipv4.h enum nf_ip_hook_priorities; the hooks of each table are those in
// net/ipv4/netfilter/iptable_*.c.
struct TablePriority {
  std::string_view table;
  Hook hook;
  int priority;
};
constexpr auto kTablePriorities = std::to_array<TablePriority>({
    {"raw", Hook::Prerouting, -300},
    {"raw", Hook::Output, -300},
    {"mangle", Hook::Prerouting, -150},
    {"mangle", Hook::Input, -150},
    {"mangle", Hook::Forward, -150},
    {"mangle", Hook::Output, -150},
    {"mangle", Hook::Postrouting, -150},
    {"nat", Hook::Prerouting, -100},
    {"nat", Hook::Input, 100},
    {"nat", Hook::Output, -100},
    {"nat", Hook::Postrouting, 100},
    {"filter", Hook::Input, 0},
    {"filter", Hook::Forward, 0},
    {"filter", Hook::Output, 0},
    {"security", Hook::Input, 50},
    {"security", Hook::Forward, 50},
    {"security", Hook::Output, 50},
});

template <class Rows, class T>
std::string_view find_text(const Rows& rows, T value) {
  const auto row = std::ranges::find_if(rows, [&](const auto& r) { return r.value == value; });
  return row == rows.end() ? std::string_view() : row->text;
}

template <class T, class Rows>
std::optional<T> find_value(const Rows& rows, std::string_view text) {
  const auto row = std::ranges::find_if(rows, [&](const auto& r) { return r.text == text; });
  if (row == rows.end()) return std::nullopt;
  return row->value;
}

}  // namespace

std::string_view to_text(Family family) { return find_text(kFamilies, family); }
std::optional<Family> parse_family(std::string_view text) { return find_value<Family>(kFamilies, text); }

std::string_view to_text(Hook hook) { return find_text(kHooks, hook); }
std::optional<Hook> parse_hook(std::string_view text) {
  if (const auto hook = find_value<Hook>(kHooks, text)) return hook;
  if (text == "INGRESS") return Hook::Ingress;
  if (text == "EGRESS") return Hook::Egress;
  const Hook hook = hook_of_chain(text);
  if (hook == Hook::None) return std::nullopt;
  return hook;
}

std::string_view to_text(Verdict verdict) { return find_text(kVerdicts, verdict); }
std::optional<Verdict> parse_verdict(std::string_view text) { return find_value<Verdict>(kVerdicts, text); }

Hook hook_of_chain(std::string_view chain) {
  if (chain.empty()) return Hook::None;
  const auto row = std::ranges::find_if(kHooks, [&](const HookRow& r) { return r.chain == chain; });
  return row == kHooks.end() ? Hook::None : row->value;
}

std::optional<int> legacy_priority(std::string_view table, Hook hook) {
  for (const TablePriority& row : kTablePriorities) {
    if (row.hook == hook && row.table == table) return row.priority;
  }
  return std::nullopt;
}

bool is_iptables_table(std::string_view table) {
  for (const TablePriority& row : kTablePriorities) {
    if (row.table == table) return true;
  }
  return false;
}

}  // namespace fwtrace::packet
