// Rsyslog reads two languages in one file: lines of the old syslogd and free-form RainerScript. Both are statements with
// a condition, so one cursor walks over the text and carries what is known of the condition down to the actions:
// yes, no, or not known (rsyslog.com, "Configuration": basic structure, filters, RainerScript).

#include "host/rsyslog_conf.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"
#include "host/rsyslog_filter.h"

namespace fwtrace::host {
namespace {

constexpr int kMaxDepth = 20;  // of includes and of blocks

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_word(char c) {
  return base::is_digit(c) || c == '_' || std::isalpha(static_cast<unsigned char>(c)) != 0;
}

// Known of a condition: does it hold for the line, and is it about such lines?
struct Condition {
  Truth holds = Truth::Yes;
  bool specific = false;
};

Condition both(const Condition& a, const Condition& b) {
  return {std::min(a.holds, b.holds), a.specific || b.specific};
}

class Player {
 public:
  explicit Player(const RsyslogFiles& files) : files_(files) {}

  void file(const std::string& path, int depth = 0) {
    if (depth > kMaxDepth) return;
    auto text = files_.read(path);
    if (!text) return;
    std::string whole;  // lines that end in a backslash go on
    for (std::size_t i = 0; i < text->size(); ++i) {
      if ((*text)[i] == '\\' && i + 1 < text->size() && (*text)[i + 1] == '\n') ++i;
      else whole += (*text)[i];
    }
    const std::string_view before = text_;
    const std::size_t before_at = at_;
    text_ = whole;
    at_ = 0;
    depth_ = depth;
    block({});
    text_ = before;
    at_ = before_at;
  }

  std::vector<KernelLogFile> found;

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char here() const { return at_end() ? '\0' : text_[at_]; }

  void skip_blanks(bool lines) {
    while (!at_end()) {
      const char c = here();
      if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
        ++at_;
      } else if (c == '#') {
        while (!at_end() && here() != '\n') ++at_;
      } else if (c == '/' && text_.substr(at_).starts_with("/*")) {
        const std::size_t end = text_.find("*/", at_ + 2);
        at_ = end == std::string_view::npos ? text_.size() : end + 2;
      } else {
        return;
      }
    }
  }
  std::string_view rest_of_line() {
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    const std::string_view line = text_.substr(at_, end - at_);
    at_ = end;
    return base::trim(line);
  }
  std::string_view word() {
    const std::size_t begin = at_;
    while (!at_end() && is_word(here())) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  std::string_view peek_word() {
    const std::size_t begin = at_;
    const std::string_view out = word();
    at_ = begin;
    return out;
  }
  // What stands between here's bracket and its partner, quotes respected.
  std::string_view bracketed() {
    const char open = here(), close = open == '(' ? ')' : '}';
    const std::size_t begin = ++at_;
    int depth = 1;
    char quote = '\0';
    for (; !at_end(); ++at_) {
      const char c = here();
      if (quote != '\0') {
        if (c == '\\') ++at_;
        else if (c == quote) quote = '\0';
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == open) {
        ++depth;
      } else if (c == close && --depth == 0) {
        return text_.substr(begin, at_++ - begin);
      }
    }
    at_ = text_.size();  // a backslash may have led beyond
    return text_.substr(std::min(begin, text_.size()));
  }

  void block(const Condition& condition) {
    while (!stopped_) {
      skip_blanks(true);
      if (at_end()) return;
      if (here() == '}') return static_cast<void>(++at_);
      const std::size_t before = at_;
      statement(condition);
      if (at_ == before) rest_of_line();  // nothing that we know
      if (at_ == before) ++at_;
    }
  }

  void statement(const Condition& condition) {
    skip_blanks(true);
    const char c = here();
    if (c == '{') return braces(condition);
    if (c == '$') return directive();
    if (c == '&') {
      ++at_;
      skip_blanks(false);
      return action(both(condition, last_));
    }
    if (c == ':') return property_rule(condition);
    if (c == '!' || c == '+' || (c == '-' && !is_path(1)))
      return static_cast<void>(rest_of_line());  // BSD blocks
    const std::string name = lower(peek_word());
    if (name == "if") return if_statement(condition);
    if (is_selector()) return selector_rule(condition);
    action(condition);
  }

  void braces(const Condition& condition) {
    ++at_;
    if (++depth_ > kMaxDepth) return;
    block(condition);
    --depth_;
  }

  bool is_path(std::size_t ahead) const { return at_ + ahead < text_.size() && text_[at_ + ahead] == '/'; }

  // "kern.*", "*.*;auth.none", "mail,news.=info": words with a dot, then blanks.
  bool is_selector() const {
    const std::size_t end = text_.find_first_of(" \t\n", at_);
    const std::string_view first = text_.substr(at_, std::min(end, text_.size()) - at_);
    if (first.find('.') == std::string_view::npos) return false;
    return std::ranges::all_of(first, [](char c) {
      return is_word(c) || c == '*' || c == '.' || c == ';' || c == ',' || c == '=' || c == '!';
    });
  }

  void selector_rule(const Condition& condition) {
    const std::size_t end = std::min(text_.find_first_of(" \t\n", at_), text_.size());
    const Selected selected = select(text_.substr(at_, end - at_));
    at_ = end;
    skip_blanks(false);
    last_ = {selected.takes ? Truth::Yes : Truth::No, selected.names_kernel};
    action(both(condition, last_));
  }

  // :property, [!]operation, "value" action
  void property_rule(const Condition& condition) {
    ++at_;
    const std::size_t comma = text_.find(',', at_);
    const std::size_t second = comma == std::string_view::npos ? comma : text_.find(',', comma + 1);
    const std::size_t quote = second == std::string_view::npos ? second : text_.find('"', second);
    if (quote == std::string_view::npos || text_.find('\n', at_) < quote) {
      rest_of_line();
      return;
    }
    const std::string property = lower(base::trim(text_.substr(at_, comma - at_)));
    std::string operation = lower(base::trim(text_.substr(comma + 1, second - comma - 1)));
    at_ = quote + 1;
    std::string value;
    for (; !at_end() && here() != '"'; ++at_) {
      if (here() == '\\') ++at_;
      value += here();
    }
    at_ = std::min(at_ + 1, text_.size());
    const bool negated = operation.starts_with("!");
    if (negated) operation.erase(0, 1);
    Truth holds = compare(property, operation, value);
    if (negated) holds = no_is_yes(holds);
    last_ = {holds, true};
    skip_blanks(false);
    action(both(condition, last_));
  }

  void if_statement(const Condition& condition) {
    word();
    const std::size_t then = find_then();
    const Decided decided = decide(text_.substr(at_, then - at_));
    at_ = std::min(then + 4, text_.size());
    statement(both(condition, {decided.holds, decided.specific}));
    while (!stopped_) {
      const std::size_t before = at_;
      skip_blanks(true);
      if (lower(peek_word()) != "else") return static_cast<void>(at_ = before);
      word();
      statement(both(condition, {no_is_yes(decided.holds), decided.specific}));
    }
  }

  // The word "then" outside of quotes; the end of the text if there is none.
  std::size_t find_then() const {
    char quote = '\0';
    for (std::size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (quote != '\0') {
        if (c == '\\') ++i;
        else if (c == quote) quote = '\0';
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (lower(text_.substr(i, 4)) == "then" && i > at_ && !is_word(text_[i - 1]) &&
                 (i + 4 >= text_.size() || !is_word(text_[i + 4]))) {
        return i;
      }
    }
    return text_.size();
  }

  void directive() {
    const std::string_view line = rest_of_line();
    const auto words = base::split_words(line);
    if (words.size() > 1 && lower(words[0]) == "$includeconfig") include(std::string(words[1]));
  }

  void include(const std::string& pattern) {
    const int depth = depth_;
    std::vector<std::string> paths = files_.expand(pattern.ends_with("/") ? pattern + "*" : pattern);
    for (const std::string& path : paths) {
      if (!stopped_) file(path, depth + 1);
    }
    depth_ = depth;
  }

  void action(const Condition& condition) {
    const char c = here();
    if (c == '/' || (c == '-' && is_path(1))) {
      if (c == '-') ++at_;
      const std::size_t end = std::min(text_.find_first_of(" \t\r\n;}", at_), text_.size());
      take(std::string(text_.substr(at_, end - at_)), condition);
      at_ = end;
      if (here() == ';') {  // a template's name
        const std::size_t after = text_.find_first_of(" \t\n}", at_);
        at_ = std::min(after, text_.size());
      }
      return;
    }
    if (c == '{') return braces(condition);
    if (c == '~') {
      ++at_;
      return stop(condition);
    }
    const std::string name = lower(peek_word());
    if (name == "stop") {
      word();
      return stop(condition);
    }
    if (name == "if") return if_statement(condition);
    if (name == "set" || name == "unset" || name == "reset" || name == "call" || name == "continue") {
      const std::size_t end = text_.find_first_of(";\n}", at_);
      at_ = std::min(end, text_.size());
      if (here() == ';') ++at_;
      return;
    }
    const std::size_t before = at_;
    word();
    skip_blanks(false);
    if (name.empty() || here() != '(') {
      at_ = before;
      rest_of_line();  // users, @host, |pipe, ^program …
      return;
    }
    object(name, bracketed(), condition);
  }

  void object(const std::string& name, std::string_view inside, const Condition& condition) {
    const auto parameters = read_parameters(inside);
    const auto value = [&](const char* wanted) {
      const auto found_at = std::ranges::find(parameters, wanted, &Parameter::name);
      return found_at == parameters.end() ? std::string() : found_at->value;
    };
    if (name == "action") {
      if (lower(value("type")) == "omfile" && !value("file").empty()) take(value("file"), condition);
    } else if (name == "include") {
      if (!value("file").empty()) include(value("file"));
    } else {
      // Their braces hold what is not run for each line: a template's list, a ruleset that must be called.
      const std::size_t before = at_;
      skip_blanks(true);
      if (here() == '{' && (name == "template" || name == "ruleset")) bracketed();
      else at_ = before;
    }
  }

  void take(const std::string& path, const Condition& condition) {
    if (condition.holds == Truth::No || path.empty() || path == "/dev/null" || path.starts_with("/dev/tty") ||
        path == "/dev/console" || path.starts_with("/dev/xconsole"))
      return;
    const auto same = std::ranges::find(found, path, &KernelLogFile::path);
    const bool certain = condition.holds == Truth::Yes;
    if (same == found.end()) {
      found.push_back({path, certain, condition.specific});
      return;
    }
    same->certain |= certain;
    same->specific &= condition.specific;
  }
  void stop(const Condition& condition) {
    if (condition.holds == Truth::Yes) stopped_ = true;
  }

  const RsyslogFiles& files_;
  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
  Condition last_;  // of the rule before, for "&"
  bool stopped_ = false;
};

}  // namespace

std::vector<KernelLogFile> find_kernel_files(const std::string& path, const RsyslogFiles& files) {
  Player player(files);
  player.file(path);
  return std::move(player.found);
}

}  // namespace fwtrace::host
