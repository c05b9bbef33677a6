// A table as it is being read: one dump, listing or run of rule lines, before it is known whose it is.
//
// Pasted text often says neither table nor family until it is over ("Chain PREROUTING …" alone), and a jump may
// name a chain that comes later. So drafts are filled line by line and settled at the end of the text (settle.cpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/diagnostic.h"
#include "ruleset/model.h"
#include "ruleset/read_rules.h"

namespace fwtrace::ruleset {

enum class Form : std::uint8_t {
  Save,      // between "*filter" and "COMMIT"
  Commands,  // iptables -S, rule lines without a table, script lines
  Listing,   // iptables -L
};

class Draft {
 public:
  Form form = Form::Save;
  std::string table;                             // "" until guessed
  packet::Family family = packet::Family::None;  // None until guessed
  Backend backend = Backend::Unknown;
  bool one_chain = false;  // the command named a chain: the rest of the table is not here
  bool whole = false;      // the command listed the whole table, or the form does
  bool committed = false;
  bool not_for_ip = false;  // holds ebtables or arptables words
  base::Place place;

  // The chain's position for the calls below; made if it is not there yet.
  std::uint32_t chain(std::string_view name, const base::Place& place, bool declares);
  bool has(std::string_view name) const { return positions_.find(name) != positions_.end(); }
  Chain& at(std::uint32_t position) { return chains_[position].chain; }
  bool empty() const { return chains_.empty(); }
  const Rule* any_rule() const;

  void append(std::uint32_t position, Rule rule);  // keeps rule.number if it is set
  // These are false if there is no such rule, or if so many changes were made that the next would take too long.
  bool insert(std::uint32_t position, std::uint32_t number, Rule rule);  // 0 and 1: first
  bool erase(std::uint32_t position, std::uint32_t number);
  bool erase(std::uint32_t position,
             std::string_view text);  // the first rule that says the same as "-D CHAIN …"
  bool replace(std::uint32_t position, std::uint32_t number, Rule rule);
  void flush(std::uint32_t position);
  void flush_all();
  void remove(std::uint32_t position);  // a user chain without rules; else nothing happens
  void remove_empty();

  // The chains, numbered and in order of appearance; the draft is empty afterwards.
  std::vector<Chain> take_chains();
  template <class F>
  void each_chain(const F& f) const {
    for (const State& state : chains_) {
      if (!state.removed) f(state.chain);
    }
  }

  // What decides whether a chain line goes on with this listing or begins the next table's.
  bool saw_user_chain = false, saw_rule_line = false;
  packet::Hook last_hook = packet::Hook::None;

 private:
  struct State {
    Chain chain;
    std::vector<Rule> inserted_first;  // the last one stands first: "-I" repeated stays linear
    bool renumber = false;
    bool removed = false;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  void join_inserted(State& state);

  std::vector<State> chains_;
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> positions_;
  std::uint32_t last_ = 0;
  std::size_t work_left_ =
      50'000'000;  // rules that may be moved or compared by changes in the middle of a chain
  bool spend(std::size_t rules) { return work_left_ >= rules && (work_left_ -= rules, true); }
};

// The built-in chains of iptables' five tables.
bool has_chain_at(std::string_view table, packet::Hook hook);
bool is_table_name(std::string_view name);

// Guesses what was not said, and adds the drafts to the book; jumps are resolved. Counts go to `found`.
void settle(std::vector<Draft> drafts, packet::Family family_of_file, Rulebook& book, RulesFound& found,
            base::Diagnostics& diagnostics);

}  // namespace fwtrace::ruleset
