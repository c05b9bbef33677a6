// `nft [-t] [-a] list ruleset`: families, tables, base chains, and rules in nft's own words with their handles.
//
// nft prints a rule on one line, except where an anonymous set is long; such lines are joined. What stands in sets,
// maps, objects and flowtables is passed over. With -a each rule's line ends in "# handle N", and that end is
// believed before any brace or quote in the line: chains made by iptables may have names such as "a{b;", comments
// may hold anything. Without handles, statements end as in nft's own scripts (at ";" and line ends outside of braces
// and quotes), so that a plain rules file of nft is read as well.
//
// Tables of fwtrace itself ("fwtrace-1234") are left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostic.h"
#include "ruleset/model.h"
#include "ruleset/read_rules.h"

namespace fwtrace::ruleset {

class NftListing {
 public:
  NftListing(std::uint32_t source, base::Diagnostics& diagnostics)
      : source_(source), diagnostics_(diagnostics) {}

  static bool begins_table(std::string_view text);  // "table inet fw {", with anything behind it
  bool inside() const { return level_ != Level::Outside; }

  // A line that begins a table, or any line while inside(). `text` is `raw` without the blanks around it.
  void line(std::string_view raw, std::string_view text, std::uint32_t number);
  void cut_off();  // the table ends here though it was not closed

  // Adds what was read; a chain that is in the book already is replaced.
  void add_to(Rulebook& book, RulesFound& found);

 private:
  enum class Level : std::uint8_t { Outside, Table, Chain, Body };
  struct Read {
    packet::Family family = packet::Family::None;
    Table table;
  };

  void open_table(std::string_view text, std::optional<std::uint64_t> handle);
  void open_chain(std::string_view name, std::optional<std::uint64_t> handle, std::string_view text);
  std::string_view table_part(std::string_view text, std::optional<std::uint64_t> handle);
  std::string_view chain_part(std::string_view text);
  std::string_view body_part(std::string_view text);
  void handled_rule(std::string_view text, std::uint64_t handle);
  void finish_statement(std::uint64_t handle);
  void begin_statement(std::string_view at);
  bool lost_track(std::string_view raw) const;
  void tell_cut_off();
  Table& table() { return read_.back().table; }
  Chain& chain() { return table().chains.back(); }
  base::Place place(std::string_view at) const;

  std::uint32_t source_ = 0;
  base::Diagnostics& diagnostics_;
  std::string_view raw_;
  std::uint32_t line_ = 0;
  Level level_ = Level::Outside;
  std::vector<Read> read_;
  std::string statement_;  // what of the chain's current statement was read so far
  base::Place statement_at_;
  int depth_ = 0;  // open braces of the statement, or of the body
  bool quote_ = false;
};

}  // namespace fwtrace::ruleset
