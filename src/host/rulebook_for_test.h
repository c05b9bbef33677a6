// For tests: a book of one rule.
#pragma once

#include <string>
#include <utility>

#include "ruleset/model.h"

namespace fwtrace::host {

inline ruleset::Rulebook one_rule(packet::Family family, std::string text, std::string target = "") {
  ruleset::Rule rule;
  rule.number = 1;
  rule.text = std::move(text);
  rule.target = std::move(target);
  ruleset::Chain chain;
  chain.name = "c";
  chain.rules.push_back(std::move(rule));
  ruleset::Table table;
  table.name = "t";
  table.chains.push_back(std::move(chain));
  ruleset::Ruleset rules;
  rules.family = family;
  rules.tables.push_back(std::move(table));
  ruleset::Rulebook book;
  book.rulesets.push_back(std::move(rules));
  return book;
}

}  // namespace fwtrace::host
