#include "ruleset/rule_words.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace fwtrace::ruleset {
namespace {

using base::is_space;

bool ends_command(std::string_view line, std::size_t at) {
  const char c = line[at];
  return c == ';' || c == '|' || c == '#' || c == '>' ||
         (c == '&' && at + 1 < line.size() && line[at + 1] == '&');
}

struct OperationRow {
  std::string_view brief, full;
  Operation operation;
};
constexpr auto kOperations = std::to_array<OperationRow>({
    {"-A", "--append", Operation::Append},
    {"-I", "--insert", Operation::Insert},
    {"-D", "--delete", Operation::Delete},
    {"-R", "--replace", Operation::Replace},
    {"-P", "--policy", Operation::Policy},
    {"-N", "--new-chain", Operation::NewChain},
    {"-X", "--delete-chain", Operation::DeleteChain},
    {"-F", "--flush", Operation::Flush},
    {"-E", "--rename-chain", Operation::Other},
    {"-Z", "--zero", Operation::Other},
    {"-C", "--check", Operation::Other},
});

// The conditions that may also stand behind the target; any other option there is the target's own.
constexpr std::array<std::string_view, 13> kConditions = {"-s",
                                                          "-d",
                                                          "-i",
                                                          "-o",
                                                          "-p",
                                                          "-m",
                                                          "-f",
                                                          "--source",
                                                          "--destination",
                                                          "--in-interface",
                                                          "--out-interface",
                                                          "--protocol",
                                                          "--match"};

// Options of the command rather than of the rule, with the number of words they take along.
std::size_t command_option_length(std::string_view word) {
  if (word == "-t" || word == "--table" || word == "--modprobe") return 2;
  if (word == "-w" || word == "--wait" || word == "-n" || word == "--numeric" || word == "-v" ||
      word == "--verbose" || word == "-x" || word == "--exact" || word == "--line-numbers")
    return 1;
  return 0;
}

bool is_condition(std::string_view word) {
  if (word == "!" || word == "--fragment" || word == "--src" || word == "--dst") return true;
  if (std::ranges::find(kConditions, word) != kConditions.end()) return true;
  if (word.size() > 2 && word[0] == '-' && word[1] != '-') {  // "-ieth0"
    return std::string_view("sdiopm").find(word[1]) != std::string_view::npos;
  }
  const std::size_t equals = word.find('=');  // "--protocol=tcp"
  return equals != std::string_view::npos && word.starts_with("--") && is_condition(word.substr(0, equals));
}

// "-s 0.0.0.0/0" and "-p all" are written by hand and leave no trace in the kernel's entry.
bool matches_everything(std::string_view option, std::string_view value) {
  if (option == "-p" || option == "--protocol") return value == "all" || value == "0" || value == "any";
  if (option == "-s" || option == "-d" || option == "--source" || option == "--destination" ||
      option == "--src" || option == "--dst") {
    return value == "0/0" || value == "0.0.0.0/0" || value == "::/0" || value == "0.0.0.0/0.0.0.0";
  }
  return false;
}

// Walks the words behind the chain.
class Walk {
 public:
  Walk(std::string_view line, Quoting quoting, const std::vector<std::string_view>& words, RuleWords& out)
      : line_(line), quoting_(quoting), words_(words), out_(out) {}

  void run(std::size_t from) {
    out_.rule.conditional = false;
    std::size_t i = from;
    while (i < words_.size() && out_.problem.empty()) i += step(i);
    if (out_.problem.empty()) set_text();
  }

 private:
  std::size_t step(std::size_t i) {
    const std::string_view word = words_[i];
    if (word.size() >= 2 && word[0] == '-') {
      if (word == "-j" || word == "--jump") return set_target(i, 2, next(i), false);
      if (word == "-g" || word == "--goto") return set_target(i, 2, next(i), true);
      if (word == "-c" || word == "--set-counters") return set_counters(i);
      if (word == "--comment") {
        out_.rule.comment = unquote(next(i), quoting_);
        out_.rule.conditional = true;
        return 2;
      }
      if (const std::size_t length = command_option_length(word)) return length;
      if (word[1] == 'j') return set_target(i, 1, word.substr(2), false);
      if (word[1] == 'g') return set_target(i, 1, word.substr(2), true);
      if (word.starts_with("--jump=")) return set_target(i, 1, word.substr(7), false);
      if (word.starts_with("--goto=")) return set_target(i, 1, word.substr(7), true);
      if (matches_everything(word, next(i)) && (i == 0 || words_[i - 1] != "!")) return 2;
    }
    if (out_.rule.target.empty() || is_condition(word)) out_.rule.conditional = true;
    return 1;
  }

  std::string_view next(std::size_t i) const {
    return i + 1 < words_.size() ? words_[i + 1] : std::string_view();
  }

  std::size_t set_target(std::size_t i, std::size_t length, std::string_view name, bool is_goto) {
    if (name.empty() || name[0] == '-' || name == "\"\"") {
      fail(i, "\"" + std::string(words_[i]) + "\" is not followed by the name of a target");
      return 1;
    }
    out_.rule.target =
        name.find_first_of("\"'\\") == std::string_view::npos ? std::string(name) : unquote(name, quoting_);
    if (is_goto) out_.rule.effect = Effect::Goto;
    return length;
  }

  std::size_t set_counters(std::size_t i) {
    std::string_view packets = next(i), bytes = i + 2 < words_.size() ? words_[i + 2] : std::string_view();
    std::size_t length = 3;
    if (const std::size_t comma = packets.find(','); comma != std::string_view::npos) {  // "-c 1,60"
      bytes = packets.substr(comma + 1);
      packets = packets.substr(0, comma);
      length = 2;
    }
    const auto p = base::parse_number<std::uint64_t>(packets), b = base::parse_number<std::uint64_t>(bytes);
    if (!p || !b) {
      fail(i, "\"-c\" is not followed by two numbers, packets and bytes");
      return 1;
    }
    out_.rule.counters = Counters{*p, *b};
    cut_from_ = offset(i);
    cut_to_ = i + length < words_.size() ? offset(i + length) : line_.size();
    return length;
  }

  void set_text() {
    const std::string_view last = words_.back();
    const std::size_t end = static_cast<std::size_t>(last.data() - line_.data()) + last.size();
    if (cut_to_ == 0) {
      out_.rule.text = line_.substr(0, end);
      return;
    }
    out_.rule.text = line_.substr(0, cut_from_);
    if (cut_to_ < end) out_.rule.text += line_.substr(cut_to_, end - cut_to_);
    while (!out_.rule.text.empty() && is_space(out_.rule.text.back())) out_.rule.text.pop_back();
  }

  std::size_t offset(std::size_t i) const {
    return static_cast<std::size_t>(words_[i].data() - line_.data());
  }
  void fail(std::size_t i, std::string message) {
    out_.problem = std::move(message);
    out_.at = offset(i);
  }

  std::string_view line_;
  Quoting quoting_;
  const std::vector<std::string_view>& words_;
  RuleWords& out_;
  std::size_t cut_from_ = 0, cut_to_ = 0;  // where the counters stand; nothing if cut_to_ is 0
};

}  // namespace

bool split_quoted(std::string_view line, Quoting quoting, std::vector<std::string_view>& words,
                  std::size_t& open_quote) {
  words.clear();
  const bool shell = quoting == Quoting::Shell;
  const std::size_t size = line.size();
  std::size_t i = 0;
  while (true) {
    while (i < size && is_space(line[i])) ++i;
    if (i == size || (shell && ends_command(line, i))) return true;
    const std::size_t begin = i;
    char quote = 0;
    for (; i < size && (quote != 0 || !is_space(line[i])); ++i) {
      const char c = line[i];
      if (quote != 0) {
        if (c == quote) quote = 0;
        else if (c == '\\' && quote == '"' && i + 1 < size) ++i;
      } else if (c == '"' || (shell && c == '\'')) {
        quote = c;
        open_quote = i;
      } else if (shell && c == '\\' && i + 1 < size) {
        ++i;
      } else if (shell && c == ';') {
        break;
      }
    }
    if (quote != 0) return false;
    words.push_back(line.substr(begin, i - begin));
  }
}

std::string unquote(std::string_view word, Quoting quoting) {
  std::string out;
  out.reserve(word.size());
  char quote = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const char c = word[i];
    if (quote != 0 && c == quote) quote = 0;
    else if (quote == 0 && (c == '"' || (quoting == Quoting::Shell && c == '\''))) quote = c;
    else if (c == '\\' && i + 1 < word.size() && (quote == '"' || (quote == 0 && quoting == Quoting::Shell)))
      out += word[++i];
    else out += c;
  }
  return out;
}

Operation operation_of(std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return Operation::None;
  for (const OperationRow& row : kOperations) {
    if (word == row.brief || word == row.full) return row.operation;
  }
  return Operation::None;
}

void parse_rule_words(std::string_view line, Quoting quoting, std::vector<std::string_view>& words,
                      RuleWords& out) {
  out = RuleWords{};
  std::size_t open_quote = 0;
  const bool closed = split_quoted(line, quoting, words, open_quote);
  if (words.empty()) return;
  out.operation = operation_of(words[0]);
  const bool needs_chain = out.operation != Operation::Flush && out.operation != Operation::DeleteChain;
  std::size_t i = 1;
  if (words.size() > 1 && words[1][0] != '-' && words[1] != "!") {
    out.chain = words[1];
    i = 2;
  } else if (needs_chain) {
    out.problem = "\"" + std::string(words[0]) + "\" is not followed by the name of a chain";
    out.at = words.size() > 1 ? static_cast<std::size_t>(words[1].data() - line.data()) : words[0].size();
    return;
  }
  if (!closed) {
    out.problem = "a quote is opened here and never closed";
    out.at = open_quote;
    return;
  }
  if (out.operation == Operation::Policy) {
    if (i < words.size()) out.policy = words[i++];
  } else if (out.operation == Operation::Insert || out.operation == Operation::Delete ||
             out.operation == Operation::Replace) {
    if (i < words.size() && base::is_digit(words[i][0])) {
      if (const auto number = base::parse_number<std::uint32_t>(words[i])) {
        out.position = *number;
        ++i;
      }
    }
  }
  Walk(line, quoting, words, out).run(i);
}

}  // namespace fwtrace::ruleset
