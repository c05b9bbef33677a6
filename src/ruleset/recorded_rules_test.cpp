// Whole files: what iptables 1.8.9 printed of the same rules in its several forms, rulesets of others, and damage.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "ruleset/read_rules.h"

namespace fwtrace::ruleset {
namespace {

namespace fs = std::filesystem;
using packet::Family;

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

fs::path fixtures() { return fs::path(FWTRACE_SOURCE_DIR) / "tests/fixtures/rules"; }

struct Read {
  Rulebook book;
  base::Diagnostics diagnostics;
  base::Sources sources;
  RulesFound found;
  explicit Read(const fs::path& path) {
    const std::string name = path.string();
    found = read_rules(slurp(path), sources.add(name), name, book, diagnostics);
  }
  std::string problems() const {
    std::string out;
    for (const auto& kind : diagnostics.kinds()) {
      if (kind.severity == base::Severity::Note) continue;
      for (const auto& first : kind.first) out += print_diagnostic(first, sources);
    }
    return out;
  }
};

// The same tables in -save -c, -S -v and -L -n -v -x: each rule has one number, target, effect, condition, counters.
class Recorded : public testing::TestWithParam<const char*> {};

TEST_P(Recorded, SaveAndListingsAgree) {
  const std::string name = GetParam();
  const Read save(fixtures() / (name + ".save-c"));
  EXPECT_EQ(save.problems(), "");
  ASSERT_EQ(save.book.rulesets.size(), 1U);
  EXPECT_EQ(save.book.rulesets[0].backend, name.starts_with("nft") ? Backend::NftCompat : Backend::Legacy);
  EXPECT_EQ(save.book.rulesets[0].family, name.ends_with("v6") ? Family::Ip6 : Family::Ip);
  for (const char* form : {".S-v", ".L-nvx", ".L-nv", ".L-n"}) {
    SCOPED_TRACE(name + form);
    const bool exact = std::string(form) == ".S-v" || std::string(form) == ".L-nvx";
    const bool interfaces = std::string(form) != ".L-n";
    const Read other(fixtures() / (name + form));
    EXPECT_EQ(other.problems(), "");
    ASSERT_EQ(other.book.rulesets.size(), 1U);
    EXPECT_EQ(other.book.rulesets[0].family, save.book.rulesets[0].family);
    EXPECT_EQ(other.book.rule_count(), save.book.rule_count());
    for (const Table& table : other.book.rulesets[0].tables) {
      const Table* saved_table = save.book.rulesets[0].find_table(table.name);
      ASSERT_NE(saved_table, nullptr) << table.name;
      for (const Chain& chain : table.chains) {
        SCOPED_TRACE(table.name + " " + chain.name);
        const Chain* saved = saved_table->find_chain(chain.name);
        ASSERT_NE(saved, nullptr);
        EXPECT_EQ(chain.policy, saved->policy);
        EXPECT_EQ(chain.hook, saved->hook);
        ASSERT_EQ(chain.rules.size(), saved->rules.size());
        for (std::size_t i = 0; i < chain.rules.size(); ++i) {
          const Rule& a = chain.rules[i];
          const Rule& b = saved->rules[i];
          EXPECT_EQ(a.number, b.number);
          EXPECT_EQ(a.target, b.target) << a.text;
          EXPECT_EQ(a.effect, b.effect) << a.text;
          EXPECT_EQ(a.comment, b.comment) << a.text;
          if (interfaces || a.conditional) {
            EXPECT_EQ(a.conditional, b.conditional) << a.text << " | " << b.text;
          }
          if (exact) {
            EXPECT_EQ(a.counters, b.counters) << a.text;
          }
        }
        if (exact && chain.counters && saved->hook != packet::Hook::None) {
          EXPECT_EQ(chain.counters, saved->counters);
        }
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Iptables189, Recorded, testing::Values("legacy-v4", "legacy-v6", "nft-v4", "nft-v6"),
                         [](const auto& p) {
                           std::string n = p.param;
                           n[n.find('-')] = '_';
                           return n;
                         });

TEST(RecordedText, ListedRulesAreMostlyTheirOwnWordsAgain) {
  const Read save(fixtures() / "legacy-v4.save-c"), listing(fixtures() / "legacy-v4.L-nvx");
  std::size_t same = 0, rules = 0;
  for (const Table& table : save.book.rulesets[0].tables) {
    for (const Chain& chain : table.chains) {
      const Chain* listed = listing.book.rulesets[0].find_table(table.name)->find_chain(chain.name);
      for (std::size_t i = 0; i < chain.rules.size(); ++i, ++rules) {
        std::string text = chain.rules[i].text;
        if (const std::size_t at = text.find("/32 "); at != std::string::npos) text.erase(at, 3);
        same += text == listed->rules[i].text;
      }
    }
  }
  EXPECT_EQ(rules, 26U);
  EXPECT_GE(same, 24U);
}

fs::path shared_corpus() {
  const char* said = std::getenv("FWTRACE_SHARED");
  return (said ? fs::path(said) : fs::path(FWTRACE_SOURCE_DIR) / "../shared") / "corpus";
}

TEST(Corpus, EveryRuleFileIsReadWithoutAComplaint) {
  if (!fs::exists(shared_corpus())) GTEST_SKIP() << "no corpus at " << shared_corpus();
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(shared_corpus())) {
    const std::string name = entry.path().filename().string();
    const bool listing = name.ends_with(".iptables-L");
    if (!listing && !name.ends_with(".rules") && !name.ends_with("tables-save")) continue;
    SCOPED_TRACE(name);
    ++files;
    const std::string text = slurp(entry.path());
    std::size_t expected = 0;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (listing)
        expected += line.find(" -- ") != std::string::npos || line.find(" -f ") != std::string::npos;
      else
        expected +=
            line.starts_with("-A ") || (line.starts_with("[") && line.find("] -A ") != std::string::npos);
    }
    const Read read(entry.path());
    if (name.ends_with("proxier_test.go.2.rules")) {
      // Text of a Go test whose chain names were filled in at run time and are missing here: 3 chain lines and 6
      // rules name no chain, 3 rules no target. To be told, not to be guessed.
      EXPECT_EQ(read.diagnostics.count("damaged-chain"), 3U);
      EXPECT_EQ(read.diagnostics.count("damaged-rule"), 9U);
      EXPECT_EQ(read.book.rule_count(), expected - 6);
      continue;
    }
    EXPECT_EQ(read.problems(), "");
    EXPECT_EQ(read.book.rule_count(), expected);
    ASSERT_EQ(read.book.rulesets.size(), 1U);
    EXPECT_EQ(read.book.rulesets[0].family,
              name.find("ip6tables") != std::string::npos ? Family::Ip6 : Family::Ip);
    for (const Table& table : read.book.rulesets[0].tables) {
      for (const Chain& chain : table.chains) {
        std::uint32_t number = 0;
        for (const Rule& rule : chain.rules) {
          EXPECT_EQ(rule.number, ++number);
          const bool is_chain = table.find_chain(rule.target) != nullptr;
          EXPECT_EQ(is_chain, rule.effect == Effect::Jump || rule.effect == Effect::Goto) << rule.text;
          const bool excerpt = read.diagnostics.count("rules-left-out") > 0;  // names chains it does not show
          EXPECT_TRUE(excerpt || rule.effect != Effect::Unknown) << rule.text;
        }
      }
    }
  }
  EXPECT_GT(files, 20U);
}

TEST(Damage, NothingMakesTheReaderFail) {
  std::string all;
  for (const auto& entry : fs::directory_iterator(fixtures())) all += slurp(entry.path());
  std::mt19937 random(7);
  const auto any = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  const std::string_view spice = "\"\\'-[]:*#(! \n\t\0\xff\x80j0";  // what the reader looks for
  for (int round = 0; round < 300; ++round) {
    const std::size_t from = any(all.size());
    std::string text = all.substr(from, any(6000));
    for (std::size_t i = any(40); i-- > 0 && !text.empty();) {
      const std::size_t at = any(text.size());
      if (any(2) == 0) text[at] = spice[any(spice.size())];
      else text.erase(at, any(20));
    }
    Rulebook book;
    base::Diagnostics diagnostics;
    read_rules(text, 1, "x", book, diagnostics);
    read_rules(text, 1, "ip6", book, diagnostics);
  }
  Rulebook book;
  base::Diagnostics diagnostics;
  std::string noise(1U << 16, ' ');
  for (char& c : noise) c = static_cast<char>(any(256));
  read_rules(noise, 1, "noise", book, diagnostics);
  read_rules("*filter\n-A INPUT " + std::string(1U << 20, 'x') + "\n-A INPUT \"" + std::string(1U << 20, ' '),
             1, "long", book, diagnostics);
}

}  // namespace
}  // namespace fwtrace::ruleset
