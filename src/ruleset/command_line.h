// A command line in a paste: "root@gw:~# iptables -t nat -L -n -v" says the family and table of what follows;
// "iptables -t nat -A POSTROUTING …" is a rule itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ruleset/model.h"

namespace fwtrace::ruleset {

struct CommandLine {
  std::string_view tool;                         // as written, without path: "ip6tables-save"
  packet::Family family = packet::Family::None;  // Ip, Ip6; Bridge or Arp for ebtables, arptables
  Backend backend = Backend::Unknown;            // of "iptables-legacy", "iptables-nft"
  bool shows_rules = false;                      // -save, -S, -L: its output follows
  std::optional<std::string>
      table;                     // of -t; "filter" for -S and -L without it; nothing for -save, or unclear
  std::string_view chain;        // "iptables -L FORWARD": only that chain follows
  std::size_t operation_at = 0;  // where "-A …" begins in the line, if it changes rules; 0 = it does not
};

// Nothing for a line without such a command. Prose around a command that shows rules is allowed ("Output of
// `iptables -L -n`:"); one that changes rules must stand alone behind a prompt.
std::optional<CommandLine> find_command_line(std::string_view line);

// The family and backend that a program's name says: "iptables-nft-save", "xtables-save".
packet::Family family_of_tool(std::string_view tool);  // None for "xtables-…" and unknown names
Backend backend_of_tool(std::string_view tool);

}  // namespace fwtrace::ruleset
