// One walk of a base chain on one line, folded to what matters.
//
// The steps become tokens: a rule, the entry into a chain, the return from it, the end. A chain in which nothing but
// jumps and its end was seen is empty: the jump to it hides its rule number, and many empty chains in a row become
// "→ 7 chains ↩". Everything is linear in the steps: depth in hostile input costs no stack.
#include <algorithm>

#include "report/path.h"
#include "report/words.h"

namespace fwtrace::report {
namespace {

using journey::Did;
using journey::Journey;
using journey::Step;

constexpr std::size_t kEmptyChainsShown = 3;  // more of them in a row are only counted
constexpr std::uint32_t kNone = ~std::uint32_t{0};

struct Token {
  enum class Kind : std::uint8_t { Rule, Enter, Return, End };
  Kind kind = Kind::Rule;
  std::uint32_t step = 0;       // Enter: the first step inside
  std::uint32_t close = kNone;  // Enter: its Return
  bool jumps = false;           // Rule: an Enter follows
  bool noted = false;           // matters; an empty chain holds none of these
  std::string_view chain = {};  // Enter: where to
};

struct Frame {
  base::Name chain;
  std::uint16_t depth = 0;
  std::uint32_t enter = kNone;  // its token; none for the base chain
  bool by_goto = false;
  bool returned = false;
};

bool is_return(const Step& step) {
  return step.did == Did::ChainEnd || step.did == Did::Return ||
         (step.did == Did::Unknown && step.kind == trace::EventKind::Return);
}

bool is_end(const Step& step) {
  return is_policy(step.did) || is_final(step.did) ||
         (step.did == Did::Unknown && step.kind == trace::EventKind::Policy);
}

class Walk {
 public:
  Walk(const Journey& journey, std::uint32_t first, std::uint32_t last, std::span<const Change> changes)
      : journey_(journey), first_(first), last_(last), changes_(changes) {
    for (std::uint32_t i = first; i < last; ++i) add(i);
    noted_before_.push_back(0);
    for (const Token& token : tokens_)
      noted_before_.push_back(noted_before_.back() + (token.noted ? 1U : 0U));
  }

  std::string print();

 private:
  const Step& step(std::uint32_t i) const { return journey_.steps[i]; }
  bool decides(std::uint32_t i) const { return journey_.outcome.step == i; }
  std::string changes_at(std::uint32_t i, bool* rewrote) const;
  bool changed_at(std::uint32_t i) const {
    bool rewrote = false;
    return !changes_at(i, &rewrote).empty();
  }
  void add(std::uint32_t i);
  void jump();
  void enter(std::uint32_t i, bool by_goto);
  void leave(std::uint32_t i);
  void pass_through(std::uint32_t i);
  bool is_empty(const Token& enter) const {
    const auto at = static_cast<std::size_t>(&enter - tokens_.data());
    return enter.close != kNone && noted_before_[at] == noted_before_[enter.close + 1];
  }
  std::size_t skip_empty_chains(std::size_t at, std::size_t& chains) const;
  void print_rules(std::size_t& at);
  void print_end(std::uint32_t i);
  void print_rule_name(std::uint32_t i, bool with_text);
  void gap();

  const Journey& journey_;
  std::uint32_t first_, last_;
  std::span<const Change> changes_;
  std::vector<Token> tokens_;
  std::vector<Frame> frames_;
  std::vector<std::uint32_t> noted_before_;
  std::string out_;
  std::size_t lead_ = 0;   // the length of the base chain's name
  bool separate_ = false;  // the next token must be told apart from the rule or change before it
};

std::string Walk::changes_at(std::uint32_t i, bool* rewrote) const {
  std::string out;
  for (const Change& change : std::ranges::equal_range(changes_, i, {}, &Change::step)) {
    if (change.before) continue;
    if (!out.empty()) out += ", ";
    out += change.text;
    *rewrote = *rewrote || change.rewrite;
  }
  return out;
}

void Walk::jump() {
  if (tokens_.empty() || tokens_.back().kind != Token::Kind::Rule) return;
  tokens_.back().jumps = true;
  tokens_.back().noted = changed_at(tokens_.back().step) || decides(tokens_.back().step);
}

void Walk::enter(std::uint32_t i, bool by_goto) {
  jump();
  frames_.push_back(
      {step(i).chain, step(i).depth, static_cast<std::uint32_t>(tokens_.size()), by_goto, false});
  tokens_.push_back({Token::Kind::Enter, i, kNone, false, false, step(i).chain.text()});
}

// The step before i jumped, and i is not inside: nothing in that chain was reported (nft is silent about empty ones).
void Walk::pass_through(std::uint32_t i) {
  if (i == first_ || step(i).depth > step(i - 1).depth) return;
  const Step& before = step(i - 1);
  if (before.did != Did::Jump && !(before.did == Did::Goto && step(i).depth < before.depth)) return;
  const std::string_view chain = target_of(before);
  if (chain.empty() || tokens_.empty() || tokens_.back().kind != Token::Kind::Rule) return;
  jump();
  const auto at = static_cast<std::uint32_t>(tokens_.size());
  tokens_.push_back({Token::Kind::Enter, i - 1, at + 1, false, false, chain});
  tokens_.push_back({Token::Kind::Return, i - 1, kNone, false, false});
  // A goto leaves the chain that said it, too.
  if (before.did == Did::Goto) frames_.back().returned = true;
}

void Walk::leave(std::uint32_t i) {
  const Frame& frame = frames_.back();
  // A return out of a chain that was entered by goto leaves both: the kernel reports it once.
  if (!frame.returned) tokens_.push_back({Token::Kind::Return, i, kNone, false, false});
  if (frame.enter != kNone) tokens_[frame.enter].close = static_cast<std::uint32_t>(tokens_.size() - 1);
  const bool both = frame.by_goto;
  frames_.pop_back();
  if (both && !frames_.empty()) frames_.back().returned = true;
}

void Walk::add(std::uint32_t i) {
  const Step& now = step(i);
  if (frames_.empty()) frames_.push_back({now.chain, now.depth, kNone, false, false});
  pass_through(i);
  const bool went = i > first_ && step(i - 1).did == Did::Goto;
  while (frames_.size() > 1 &&
         (frames_.back().depth > now.depth ||
          (frames_.back().depth == now.depth && !went && !(frames_.back().chain == now.chain))))
    leave(i);
  if (!(frames_.back().chain == now.chain)) enter(i, went);
  if (now.did == Did::Headers) return;
  // Nothing in this table came after a "return:4": then it rather was a rule that accepted.
  const bool ends_here = now.did == Did::Unknown && i + 1 == last_;
  if (is_return(now) && !ends_here) {
    // An explicit RETURN names its rule; a chain's end is only the arrow, and so is what may be either.
    const bool names_rule =
        now.did == Did::Return && (now.kind != trace::EventKind::Return || now.rule != nullptr);
    if (names_rule) tokens_.push_back({Token::Kind::Rule, i, kNone, false, true});
    if (!names_rule && (decides(i) || changed_at(i)))
      tokens_.push_back({Token::Kind::Rule, i, kNone, false, true});
    if (frames_.size() == 1 && now.depth == 0 && now.did == Did::ChainEnd)
      return;  // the base chain's; the policy follows
    if (frames_.back().returned) return;
    tokens_.push_back({Token::Kind::Return, i, kNone, false, false});
    frames_.back().returned = true;
    return;
  }
  tokens_.push_back({is_end(now) ? Token::Kind::End : Token::Kind::Rule, i, kNone, false, true});
}

// From the token `at`, jumps to empty chains one after the other: where they end, and how many chains they are.
std::size_t Walk::skip_empty_chains(std::size_t at, std::size_t& chains) const {
  while (at < tokens_.size()) {
    const std::size_t entry = tokens_[at].kind == Token::Kind::Rule && tokens_[at].jumps ? at + 1 : at;
    if (entry >= tokens_.size() || tokens_[entry].kind != Token::Kind::Enter || !is_empty(tokens_[entry]))
      break;
    if (tokens_[at].noted) break;
    const std::size_t end = tokens_[entry].close + 1U;
    for (std::size_t i = entry; i < end; ++i) chains += tokens_[i].kind == Token::Kind::Enter ? 1U : 0U;
    at = end;
  }
  return at;
}

void Walk::gap() {
  out_ += separate_ ? " · " : " ";
  separate_ = false;
}

void Walk::print_rule_name(std::uint32_t i, bool with_text) {
  const Step& now = step(i);
  if (now.did == Did::Unknown && now.kind != trace::EventKind::Rule) {
    out_ += to_text(now.kind);  // "return:4": the kernel's own word, since it may be the end or a rule
    if (now.number != 0) out_ += ':', append_number(out_, now.number);
  } else if (now.did == Did::ChainEnd) {
    out_ += "end of chain";
  } else if (now.number != 0) {
    out_ += "rule ", append_number(out_, now.number);
  } else if (now.handle != 0) {
    out_ += "handle ", append_number(out_, now.handle);
  } else if (const std::string text = with_text ? short_rule_text(now) : std::string(); !text.empty()) {
    out_ += "rule (" + text + ')';  // nft's text form names rules by nothing else
  } else {
    out_ += "rule";
  }
}

// A rule that the walk goes on after, or as many of them in a row as there is nothing to say about.
void Walk::print_rules(std::size_t& at) {
  const auto is_plain = [&](const Token& token) {
    const Step& now = step(token.step);
    return token.kind == Token::Kind::Rule && !token.jumps &&
           (now.did == Did::Continue || now.did == Did::Unknown) && now.kind == trace::EventKind::Rule &&
           !decides(token.step) && !changed_at(token.step);
  };
  std::vector<std::uint64_t> numbers, handles;
  std::size_t end = at;
  for (; end < tokens_.size() && is_plain(tokens_[end]); ++end) {
    const Step& now = step(tokens_[end].step);
    if (now.number != 0 && handles.empty()) numbers.push_back(now.number);
    else if (now.number == 0 && now.handle != 0 && numbers.empty()) handles.push_back(now.handle);
    else break;
  }
  gap();
  if (end > at + 1) {
    out_ += numbers.empty() ? print_numbers(handles, "handle", "handles")
                            : print_numbers(numbers, "rule", "rules");
    separate_ = true;
    at = end;
    return;
  }
  const bool entered = tokens_[at].jumps;  // the chain's name comes next
  const std::uint32_t i = tokens_[at++].step;
  const Step& now = step(i);
  print_rule_name(i, !entered);
  bool rewrote = false;
  const std::string changes = changes_at(i, &rewrote);
  if (now.did == Did::Continue && now.rule != nullptr && !now.rule->target.empty() && !rewrote) {
    out_ += ' ';
    append_printable(out_, now.rule->target);
  } else if (!entered && (now.did == Did::Jump || now.did == Did::Goto)) {
    out_ += " → ";
    append_printable(out_, target_of(now));
  }
  if (decides(i)) out_ += ' ', out_ += mark_of(journey_.outcome.kind);
  if (!changes.empty()) out_ += "   " + changes;
  separate_ = !entered || !changes.empty();
}

void Walk::print_end(std::uint32_t i) {
  const Step& now = step(i);
  bool rewrote = false;
  const std::string changes = changes_at(i, &rewrote);
  const std::string word = final_word(now);
  if (is_policy(now.did)) {
    out_ += out_.size() == lead_ ? " policy" : " · policy";
    if (!word.empty()) out_ += ' ' + word;
  } else {
    gap();
    print_rule_name(i, false);  // what ends the walk is told in words
    if (!word.empty() && !rewrote) out_ += "   " + word;
  }
  if (!changes.empty()) out_ += "   " + changes;
  separate_ = true;
  if (decides(i)) out_ += ' ', out_ += mark_of(journey_.outcome.kind);
}

std::string Walk::print() {
  if (step(first_).depth != 0) out_ = "… ";  // the walk's beginning was not seen
  append_printable(out_, step(first_).chain.text());
  lead_ = out_.size();
  std::vector<std::uint32_t> open;  // the Enters around us
  bool chain_unclear = false;
  for (std::size_t at = 0; at < tokens_.size();) {
    std::size_t chains = 0;
    if (const std::size_t end = skip_empty_chains(at, chains); chains > kEmptyChainsShown) {
      gap();
      out_ += "→ ", append_number(out_, chains), out_ += " chains ↩";
      at = end;
      continue;
    }
    const Token& token = tokens_[at];
    if (chain_unclear && (token.kind == Token::Kind::Rule || token.kind == Token::Kind::End) &&
        !is_policy(step(token.step).did)) {
      gap();
      append_printable(out_, step(token.step).chain.text());
    }
    chain_unclear = false;
    switch (token.kind) {
      case Token::Kind::Rule:
        if (token.jumps && at + 1 < tokens_.size()) {
          const Step& jump = step(token.step);
          const bool named = jump.number != 0 || jump.handle != 0;
          if (!token.noted && (!named || is_empty(tokens_[at + 1]))) ++at;  // the entry says it all
          else print_rules(at);
        } else {
          print_rules(at);
        }
        break;
      case Token::Kind::Enter:
        gap();
        out_ += "→ ";
        append_printable(out_, token.chain);
        open.push_back(static_cast<std::uint32_t>(at));
        ++at;
        break;
      case Token::Kind::Return: {
        separate_ = false;
        gap();
        out_ += "↩";
        // After a goto the return leads further up than one chain: then the rule that follows says where it is.
        std::size_t left = 0;
        while (!open.empty() && tokens_[open.back()].close <= at) open.pop_back(), ++left;
        chain_unclear = left != 1;
        ++at;
        break;
      }
      case Token::Kind::End:
        print_end(token.step);
        ++at;
        break;
    }
  }
  return std::move(out_);
}

}  // namespace

std::string print_walk(const Journey& journey, std::uint32_t first, std::uint32_t last,
                       std::span<const Change> changes) {
  return Walk(journey, first, last, changes).print();
}

std::string print_numbers(std::span<const std::uint64_t> numbers, std::string_view singular,
                          std::string_view plural) {
  constexpr std::size_t kShown = 12;
  std::string out(numbers.size() == 1 ? singular : plural);
  std::size_t shown = 0;
  for (std::size_t i = 0; i < numbers.size(); ++shown) {
    if (shown == kShown) {
      out += " … ", append_number(out, numbers.size() - i), out += " more";
      break;
    }
    std::size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    out += shown == 0 ? " " : ", ";
    append_number(out, numbers[i]);
    if (end - i < 3) {
      ++i;
      continue;
    }
    out += " to ", append_number(out, numbers[end - 1]);
    i = end;
  }
  return out;
}

}  // namespace fwtrace::report
