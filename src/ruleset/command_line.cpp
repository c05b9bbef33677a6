#include "ruleset/command_line.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "ruleset/rule_words.h"

namespace fwtrace::ruleset {
namespace {

using packet::Family;

// A word without the path before it and the quotes and punctuation that prose puts around it.
std::string_view bare(std::string_view word) {
  const std::string_view around = "`'\"*_:,.;()[]";
  while (!word.empty() && around.find(word.front()) != std::string_view::npos) word.remove_prefix(1);
  while (!word.empty() && around.find(word.back()) != std::string_view::npos) word.remove_suffix(1);
  return word;
}
std::string_view without_path(std::string_view word) {
  const std::size_t slash = word.rfind('/');
  return slash == std::string_view::npos ? word : word.substr(slash + 1);
}

bool is_tool(std::string_view word) {
  for (const std::string_view base : {"iptables", "ip6tables", "ebtables", "arptables", "xtables"}) {
    if (!word.starts_with(base)) continue;
    const std::string_view rest = word.substr(base.size());
    if (base == "xtables") return rest == "-save" || rest == "-nft-save";
    return rest.empty() || rest == "-save" || rest == "-legacy" || rest == "-nft" || rest == "-legacy-save" ||
           rest == "-nft-save";
  }
  return false;
}

bool is_prompt(const std::vector<std::string_view>& words, std::size_t count) {
  for (std::size_t i = count; i-- > 0;) {
    const std::string_view word = words[i];
    if (word == "sudo" || word == "doas" || word == "exec" || word == "command" ||
        word.find('=') != std::string_view::npos)
      continue;
    return word != "#" && std::string_view("#$%>").find(word.back()) != std::string_view::npos;
  }
  return true;
}

bool is_table(std::string_view word) {
  constexpr std::array<std::string_view, 5> kTables = {"filter", "nat", "mangle", "raw", "security"};
  return std::ranges::find(kTables, word) != kTables.end();
}

// Reads the options behind the tool's name.
void read_options(std::string_view line, const std::vector<std::string_view>& words, std::size_t from,
                  CommandLine& out) {
  bool table_unclear = false;
  const auto set_table = [&](std::string_view word) {
    if (is_table(bare(word))) out.table = std::string(bare(word));
    else table_unclear = true;
  };
  const auto chain_at = [&](std::size_t i) {
    if (i < words.size() && words[i][0] != '-' && words[i] != bare(words[i])) return std::string_view();
    return i < words.size() && words[i][0] != '-' ? words[i] : std::string_view();
  };
  for (std::size_t i = from; i < words.size(); ++i) {
    const std::string_view word = bare(words[i]);
    if (is_tool(
            without_path(word))) {  // "iptables -L; iptables -t nat -L": whose output is which is not said
      table_unclear = true;
      break;
    }
    if (word.size() < 2 || word[0] != '-') continue;
    if (word == "--table" && i + 1 < words.size()) {
      set_table(words[++i]);
    } else if (word.starts_with("--table=")) {
      set_table(word.substr(8));
    } else if (word == "--list" || word == "--list-rules") {
      out.shows_rules = true;
      out.chain = chain_at(i + 1);
    } else if (const Operation operation = operation_of(word); operation != Operation::None) {
      if (out.operation_at == 0) out.operation_at = static_cast<std::size_t>(words[i].data() - line.data());
    } else if (word[1] != '-') {
      for (std::size_t k = 1; k < word.size(); ++k) {
        if (word[k] == 't') {
          if (k + 1 < word.size()) set_table(word.substr(k + 1));
          else if (i + 1 < words.size()) set_table(words[++i]);
          break;
        }
        if (word[k] != 'L' && word[k] != 'S') continue;
        out.shows_rules = true;
        if (k + 1 == word.size()) out.chain = chain_at(i + 1);
      }
    }
  }
  if (table_unclear) out.table.reset();
  else if (!out.table && (out.operation_at != 0 || !out.tool.ends_with("-save"))) out.table = "filter";
}

}  // namespace

Family family_of_tool(std::string_view tool) {
  if (tool.starts_with("ip6tables")) return Family::Ip6;
  if (tool.starts_with("iptables")) return Family::Ip;
  if (tool.starts_with("ebtables")) return Family::Bridge;
  if (tool.starts_with("arptables")) return Family::Arp;
  return Family::None;
}

Backend backend_of_tool(std::string_view tool) {
  if (tool.find("-nft") != std::string_view::npos || tool.starts_with("xtables")) return Backend::NftCompat;
  return tool.find("-legacy") != std::string_view::npos ? Backend::Legacy : Backend::Unknown;
}

std::optional<CommandLine> find_command_line(std::string_view line) {
  if (line.size() > 4096 || line.find("tables") == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> words = base::split_words(line);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view tool = without_path(bare(words[i]));
    if (!is_tool(tool)) continue;
    CommandLine out;
    out.tool = tool;
    out.family = family_of_tool(tool);
    out.backend = backend_of_tool(tool);
    out.shows_rules = tool.ends_with("-save");
    read_options(line, words, i + 1, out);
    if (out.shows_rules) {
      out.operation_at = 0;
      return out;
    }
    if (out.operation_at != 0 && is_prompt(words, i)) return out;
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace fwtrace::ruleset
