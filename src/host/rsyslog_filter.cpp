#include "host/rsyslog_filter.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "base/text.h"

namespace fwtrace::host {
namespace {

constexpr std::string_view kMessage =
    " TRACE: raw:PREROUTING:policy:2 IN=eth0 OUT= MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC=192.0.2.1 "
    "DST=192.0.2.2 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=40000 DPT=80 WINDOW=64240 RES=0x00 SYN URGP=0 ";
constexpr int kWarning = 4;
constexpr int kMaxDepth = 50;  // of brackets

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::optional<int> severity_of(std::string_view word) {
  struct Row {
    std::string_view word;
    int severity;
  };
  static constexpr Row kRows[] = {{"emerg", 0},  {"panic", 0}, {"alert", 1}, {"crit", 2},
                                  {"err", 3},    {"error", 3}, {"warn", 4},  {"warning", 4},
                                  {"notice", 5}, {"info", 6},  {"debug", 7}};
  const auto row = std::ranges::find(kRows, word, &Row::word);
  return row == std::end(kRows) ? base::parse_number<int>(word) : std::optional(row->severity);
}

// What is known of a property; nothing for what differs from machine to machine.
std::optional<std::string> value_of(std::string_view property) {
  struct Row {
    std::string_view name, value;
  };
  static constexpr Row kRows[] = {
      {"msg", kMessage},
      {"programname", "kernel"},
      {"app-name", "kernel"},
      {"syslogtag", "kernel:"},
      {"syslogfacility", "0"},
      {"syslogfacility-text", "kern"},
      {"syslogseverity", "4"},
      {"syslogseverity-text", "warning"},
      {"syslogpriority", "4"},
      {"syslogpriority-text", "warning"},
      {"pri", "4"},
      {"pri-text", "kern.warning"},
      {"inputname", "imklog"},
      {"procid", "-"},
  };
  const auto row = std::ranges::find(kRows, property, &Row::name);
  return row == std::end(kRows) ? std::nullopt : std::optional<std::string>(row->value);
}

Truth to_truth(bool value) { return value ? Truth::Yes : Truth::No; }

// One side of a comparison.
struct Operand {
  std::vector<std::string> any;  // ["a", "b"]: any of them; empty: not known
  bool property = false;
};

// Or over and over not over comparisons.
class Expression {
 public:
  explicit Expression(std::string_view text) : text_(text) {}
  Decided whole() {
    Truth holds = disjunction();
    skip();
    if (at_ < text_.size()) holds = Truth::Unknown;
    return {holds, asks_};
  }

 private:
  void skip() {
    while (at_ < text_.size() && base::is_space(text_[at_])) ++at_;
  }
  bool take(std::string_view symbol) {
    skip();
    if (!text_.substr(at_).starts_with(symbol)) return false;
    at_ += symbol.size();
    return true;
  }
  std::string_view peek_word() {
    skip();
    std::size_t end = at_;
    while (end < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_'))
      ++end;
    return text_.substr(at_, end - at_);
  }
  bool take_word(std::string_view word) {
    const std::string_view next = peek_word();
    if (lower(next) != word) return false;
    at_ += next.size();
    return true;
  }

  Truth disjunction() {
    Truth out = conjunction();
    while (take_word("or")) out = std::max(out, conjunction());
    return out;
  }
  Truth conjunction() {
    Truth out = negation();
    while (take_word("and")) out = std::min(out, negation());
    return out;
  }
  Truth negation() {
    if (++depth_ > kMaxDepth) {
      at_ = text_.size();
      return Truth::Unknown;
    }
    const Truth out = take_word("not") ? no_is_yes(negation()) : comparison();
    --depth_;
    return out;
  }

  Truth comparison() {
    if (take("(")) {
      const Truth inside = disjunction();
      return take(")") ? inside : Truth::Unknown;
    }
    const Operand left = operand();
    std::string operation;
    for (const char* symbol : {"==", "!=", "<>", "<=", ">=", "<", ">"}) {
      if (take(symbol)) {
        operation = symbol;
        break;
      }
    }
    if (operation.empty()) {
      for (const char* word : {"contains", "contains_i", "startswith", "startswith_i", "endswith"}) {
        if (take_word(word)) {
          operation = word;
          break;
        }
      }
    }
    if (operation.empty()) return Truth::Unknown;
    const Operand right = operand();
    asks_ |= left.property || right.property;
    if (left.any.empty() || right.any.empty()) return Truth::Unknown;
    const bool negative = operation == "!=" || operation == "<>";
    const bool found = std::ranges::any_of(right.any, [&](const std::string& one) {
      return holds(left.any.front(), negative ? "==" : operation, one);
    });
    return to_truth(found != negative);
  }

  static bool holds(const std::string& left, const std::string& operation, const std::string& right) {
    if (operation == "contains") return left.find(right) != std::string::npos;
    if (operation == "contains_i") return lower(left).find(lower(right)) != std::string::npos;
    if (operation == "startswith") return left.starts_with(right);
    if (operation == "startswith_i") return lower(left).starts_with(lower(right));
    if (operation == "endswith") return left.ends_with(right);
    const auto a = base::parse_number<std::int64_t>(left), b = base::parse_number<std::int64_t>(right);
    const int order = a && b ? (*a < *b ? -1 : static_cast<int>(*a > *b)) : left.compare(right);
    if (operation == "==") return order == 0;
    if (operation == "<") return order < 0;
    if (operation == "<=") return order <= 0;
    return operation == ">" ? order > 0 : order >= 0;
  }

  Operand operand() {
    skip();
    Operand out;
    if (at_ >= text_.size()) return out;
    const char c = text_[at_];
    if (c == '"' || c == '\'') {
      out.any.push_back(quoted());
    } else if (c == '[') {
      ++at_;
      while (!take("]") && at_ < text_.size()) {  // take() leaves no blanks
        if (text_[at_] == '"' || text_[at_] == '\'') out.any.push_back(quoted());
        else ++at_;
      }
    } else if (c == '$') {
      const std::size_t begin = ++at_;
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                    std::string_view("-_.!").find(text_[at_]) != std::string_view::npos))
        ++at_;
      out.property = true;
      if (auto value = value_of(lower(text_.substr(begin, at_ - begin))))
        out.any.push_back(std::move(*value));
    } else if (const std::string_view word = peek_word(); !word.empty()) {
      at_ += word.size();
      if (base::parse_number<std::int64_t>(word)) out.any.emplace_back(word);
      else if (take("(")) arguments();  // a function
    } else {
      ++at_;
    }
    return out;
  }
  std::string quoted() {
    const char quote = text_[at_++];
    std::string out;
    for (; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_];
    }
    at_ = std::min(at_ + 1, text_.size());
    return out;
  }
  void arguments() {
    int depth = 1;
    while (at_ < text_.size() && depth > 0) {
      if (text_[at_] == '"' || text_[at_] == '\'') {
        quoted();
        continue;
      }
      depth += text_[at_] == '(' ? 1 : (text_[at_] == ')' ? -1 : 0);
      ++at_;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool asks_ = false;
};

}  // namespace

Selected select(std::string_view selector) {
  Selected out;
  for (const std::string_view part : base::split(selector, ';')) {
    const std::size_t dot = part.rfind('.');
    if (dot == std::string_view::npos) continue;
    bool meant = false, named = false;
    for (const std::string_view facility : base::split(part.substr(0, dot), ',')) {
      named |= lower(facility) == "kern" || facility == "0";
      meant |= facility == "*" || lower(facility) == "kern" || facility == "0";
    }
    if (!meant) continue;
    std::string priority = lower(part.substr(dot + 1));
    if (priority == "none") {
      out.takes = false;
      continue;
    }
    out.names_kernel |= named;
    const bool negated = priority.starts_with("!");
    if (negated) priority.erase(0, 1);
    const bool exact = priority.starts_with("=");
    if (exact) priority.erase(0, 1);
    const auto severity = severity_of(priority);
    const bool among =
        priority == "*" || (severity && (exact ? *severity == kWarning : *severity >= kWarning));
    if (among) out.takes = !negated;
  }
  return out;
}

Truth compare(std::string_view property, std::string_view operation, const std::string& value) {
  const auto known = value_of(property);
  if (!known) return Truth::Unknown;
  if (operation == "contains") return to_truth(known->find(value) != std::string::npos);
  if (operation == "isequal") return to_truth(*known == value);
  if (operation == "startswith") return to_truth(known->starts_with(value));
  if (operation == "isempty") return to_truth(known->empty());
  return Truth::Unknown;  // regex, ereregex
}

Decided decide(std::string_view expression) { return Expression(expression).whole(); }

std::vector<Parameter> read_parameters(std::string_view inside) {
  std::vector<Parameter> out;
  for (std::size_t at = 0; at < inside.size();) {
    const std::size_t equals = inside.find('=', at);
    if (equals == std::string_view::npos) break;
    const std::string_view before = base::trim(inside.substr(at, equals - at));
    const std::size_t blank = before.find_last_of(" \t\r\n");
    Parameter one;
    one.name = lower(blank == std::string_view::npos ? before : before.substr(blank + 1));
    at = equals + 1;
    while (at < inside.size() && base::is_space(inside[at])) ++at;
    if (at < inside.size() && (inside[at] == '"' || inside[at] == '\'')) {
      const char quote = inside[at++];
      for (; at < inside.size() && inside[at] != quote; ++at) {
        if (inside[at] == '\\' && at + 1 < inside.size()) ++at;
        one.value += inside[at];
      }
      ++at;
    } else {
      while (at < inside.size() && !base::is_space(inside[at])) one.value += inside[at++];
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace fwtrace::host
