// Capturing the rules of a namespace with its own tools: what they print, what they leave alone, and the end of one.
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "host/capability.h"
#include "host/capture_rules.h"
#include "live/box.h"

namespace fwtrace::live {
namespace {

using packet::Family;
using ruleset::Backend;
using ruleset::Capture;

const std::string* find_text(const Capture& capture, std::string_view command) {
  for (const Capture::Listing& listing : capture.listings) {
    if (listing.command == command) return &listing.text;
  }
  return nullptr;
}

// The lines that are rules.
std::vector<std::string> rule_lines(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (text.compare(at, 3, "-A ") == 0) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

class CaptureTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    box_ = Box::make(why);
    if (!box_) GTEST_SKIP() << why;
    folder_ = std::filesystem::temp_directory_path() / ("fwtrace-capture-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  // A program of that name in a folder that is searched first.
  host::CaptureOptions with_tool(const std::string& name, const std::string& script) const {
    std::ofstream(folder_ / name) << "#!/bin/sh\n" << script << "\n";
    chmod((folder_ / name).c_str(), 0755);
    host::CaptureOptions options;
    options.folders.insert(options.folders.begin(), folder_.string());
    return options;
  }
  static std::string tables() {
    return Box::run("nft list tables; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null");
  }
  std::unique_ptr<Box> box_;
  std::filesystem::path folder_;
};

TEST_F(CaptureTest, WhereThereIsNothingNothingIsMade) {
  ASSERT_EQ(tables(), "");
  const Capture capture = host::capture_rules();
  EXPECT_EQ(tables(), "");
  EXPECT_EQ(capture.problems, std::vector<std::string>());
  ASSERT_EQ(capture.listings.size(), 1U);  // nft alone: no other tool has anything to print
  EXPECT_EQ(capture.listings[0].command, "nft -t -a list ruleset");
  EXPECT_EQ(capture.listings[0].text, "");
  EXPECT_TRUE(capture.nft_exact());
  EXPECT_EQ(ruleset::legacy_text(capture), "");
}

TEST_F(CaptureTest, ThreeSystemsSideBySide) {
  ASSERT_EQ(
      Box::run(
          "iptables-legacy -A FORWARD -p udp -m comment --comment 'old # handle 2' -j DROP;"
          "ip6tables-legacy -t raw -A PREROUTING -p tcp -j ACCEPT;"
          "iptables-nft -A FORWARD -p udp --dport 53 -m conntrack --ctstate NEW -m comment --comment "
          "'a \"b\" { # handle 7' -j ACCEPT;"
          "iptables-nft -A FORWARD -m recent --name seen --set;"
          "iptables-nft -A FORWARD -p tcp -m multiport --dports 22,80 -j REJECT --reject-with tcp-reset;"
          "nft insert rule ip filter FORWARD tcp dport '{ 1, 2 }' counter accept;"
          "ip6tables-nft -t nat -A POSTROUTING -j MASQUERADE;"
          "nft 'table inet fw { chain f { type filter hook forward priority 10; udp dport 53 counter accept "
          "comment \"hello # handle 3\"; }; }'"),
      "");
  const std::string before = tables();
  const Capture capture = host::capture_rules();
  EXPECT_EQ(tables(), before);
  EXPECT_EQ(capture.problems, std::vector<std::string>());
  EXPECT_TRUE(capture.nft_exact());
  base::Diagnostics diagnostics;
  const ruleset::Rulebook book = ruleset::read_capture(capture, diagnostics);
  EXPECT_TRUE(diagnostics.kinds().empty());

  const auto* const compat = book.find(Family::Ip, Backend::NftCompat);
  ASSERT_NE(compat, nullptr);
  EXPECT_EQ(book.find(Family::Ip, Backend::Nft), nullptr);  // no chain stands in both
  const std::vector<std::string> saved = rule_lines(Box::run("iptables-nft-save"));
  const ruleset::Chain* const forward = compat->tables.at(0).find_chain("FORWARD");
  ASSERT_NE(forward, nullptr);
  ASSERT_EQ(saved.size(), 4U);
  ASSERT_EQ(forward->rules.size(), 4U);
  EXPECT_EQ(forward->rules[0].text, "tcp dport { 1, 2 } counter accept");  // iptables would say "-p tcp"
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(forward->rules[i].text, saved[i]);
  // Each handle is that of its rule: nft finds the same by it.
  const std::string native = Box::run("nft -a list chain ip filter FORWARD 2>/dev/null");
  for (const auto& [rule, words] : {std::pair{0, "tcp dport { 1, 2 }"}, {1, "udp dport 53"}, {2, "recent"}}) {
    const std::string mark =
        "# handle " + std::to_string(forward->rules[static_cast<std::size_t>(rule)].handle) + "\n";
    const std::size_t at = native.find(mark);
    ASSERT_NE(at, std::string::npos) << native;
    const std::size_t begin = native.rfind('\n', at) + 1;
    EXPECT_NE(native.substr(begin, at - begin).find(words), std::string::npos) << native;
  }
  const auto* const legacy = book.find(Family::Ip, Backend::Legacy);
  ASSERT_NE(legacy, nullptr);
  EXPECT_EQ(legacy->find_table("filter")->find_chain("FORWARD")->rules.at(0).comment, "old # handle 2");
  EXPECT_NE(book.find(Family::Ip6, Backend::Legacy)->find_table("raw"), nullptr);
  EXPECT_NE(book.find(Family::Ip6, Backend::NftCompat)->find_table("nat"), nullptr);
  const auto* const inet = book.find(Family::Inet, Backend::Nft);
  ASSERT_NE(inet, nullptr);
  EXPECT_EQ(inet->tables.at(0).chains.at(0).rules.at(0).text,
            "udp dport 53 counter accept comment \"hello # handle 3\"");

  const std::string text = ruleset::legacy_text(capture);
  EXPECT_NE(text.find("-j DROP"), std::string::npos);
  box_->send_udp("10.8.0.2", 999, 3);  // counters change, the text does not
  EXPECT_EQ(ruleset::legacy_text(host::capture_rules()), text);
  Box::run("iptables-legacy -A FORWARD -j ACCEPT");
  EXPECT_NE(ruleset::legacy_text(host::capture_rules()), text);
}

TEST_F(CaptureTest, BridgeAndArpRulesInTheWordsOfTheirTools) {
  if (!Box::run("ebtables-nft -A FORWARD -p IPv4 --ip-proto tcp -j DROP; "
                "arptables-nft -A INPUT --opcode 1 -j DROP")
           .empty())
    GTEST_SKIP() << "ebtables-nft or arptables-nft does not work here";
  base::Diagnostics diagnostics;
  const ruleset::Rulebook book = ruleset::read_capture(host::capture_rules(), diagnostics);
  for (const auto& [family, command] :
       {std::pair{Family::Bridge, "ebtables-nft-save"}, {Family::Arp, "arptables-nft-save"}}) {
    const auto* const rules = book.find(family, Backend::NftCompat);
    ASSERT_NE(rules, nullptr) << command;
    EXPECT_EQ(book.find(family, Backend::Nft), nullptr);
    const std::vector<std::string> saved = rule_lines(Box::run(command));
    ASSERT_EQ(saved.size(), 1U);
    ASSERT_EQ(rules->rule_count(), 1U);
    for (const ruleset::Chain& chain : rules->tables.at(0).chains) {
      if (chain.rules.empty()) continue;
      EXPECT_EQ(chain.rules[0].text, saved[0]);
      EXPECT_NE(chain.rules[0].handle, 0U);
      EXPECT_EQ(chain.rules[0].effect, ruleset::Effect::Drop);
    }
  }
}

TEST_F(CaptureTest, GenerationsTellChanges) {
  auto reader = host::GenerationReader::open();
  ASSERT_TRUE(reader);
  const auto before = reader->read();
  ASSERT_TRUE(before);
  EXPECT_EQ(reader->read(), before);
  Box::run("nft add table inet t");
  const auto after = reader->read();
  EXPECT_NE(after, before);
  const Capture capture = host::capture_rules();
  EXPECT_EQ(capture.generation_before, after);
  EXPECT_EQ(capture.generation_after, after);
  // An nft that changes the rules while it lists them: tried again, then said to be inexact.
  host::CaptureOptions options =
      with_tool("nft", "echo x >> " + (folder_ / "runs").string() +
                           "\nPATH=/usr/sbin:/sbin:/usr/bin:/bin\nnft add table inet more$$\n"
                           "exec nft \"$@\"");
  options.tries = 3;
  const Capture moving = host::capture_rules(options);
  EXPECT_FALSE(moving.nft_exact());
  EXPECT_NE(moving.generation_before, moving.generation_after);
  std::ifstream runs(folder_ / "runs");
  EXPECT_EQ(std::distance(std::istreambuf_iterator<char>(runs), std::istreambuf_iterator<char>()), 6);
  EXPECT_EQ(moving.listings.size(), 1U);  // those of the last try only
}

TEST_F(CaptureTest, ToolsThatFail) {
  Box::run("iptables-nft -A INPUT -j ACCEPT; iptables-legacy -A INPUT -j ACCEPT");
  EXPECT_EQ(host::capture_rules(with_tool("iptables-nft-save", "echo 'out of luck' >&2; exit 3")).problems,
            std::vector<std::string>{"iptables-nft-save: ended with status 3: out of luck"});
  host::CaptureOptions options = with_tool("iptables-nft-save", "cat /dev/zero");
  options.tool.max_bytes = 1 << 20;
  EXPECT_EQ(host::capture_rules(options).problems,
            std::vector<std::string>{"iptables-nft-save: printed more than 1 MiB and was stopped"});
  options = with_tool("iptables-nft-save", "sleep 1000 & wait");
  options.tool.time = std::chrono::milliseconds(100);
  EXPECT_EQ(host::capture_rules(options).problems,
            std::vector<std::string>{"iptables-nft-save: took longer than 100 ms and was stopped"});
  options.folders = {folder_.string()};
  std::filesystem::remove(folder_ / "iptables-nft-save");
  const Capture none = host::capture_rules(options);
  EXPECT_EQ(none.problems,
            (std::vector<std::string>{"nft: not installed", "iptables-legacy-save: not installed"}));
  EXPECT_TRUE(none.listings.empty());
}

TEST_F(CaptureTest, IptablesNftWithoutNft) {
  Box::run("iptables-nft -A INPUT -j ACCEPT");
  host::CaptureOptions options = with_tool("iptables-nft-save", "exec /usr/sbin/iptables-nft-save");
  options.folders = {folder_.string()};
  const Capture capture = host::capture_rules(options);
  EXPECT_EQ(capture.problems, std::vector<std::string>{"nft: not installed"});
  base::Diagnostics diagnostics;
  const ruleset::Rulebook book = ruleset::read_capture(capture, diagnostics);
  ASSERT_NE(book.find(Family::Ip, Backend::NftCompat), nullptr);
  EXPECT_EQ(book.rule_count(), 1U);
}

TEST_F(CaptureTest, AMissingCapabilityIsNamed) {
  Box::run("iptables-legacy -A INPUT -j ACCEPT; nft add table inet t");
  std::vector<std::string> problems, without_raw;
  std::size_t read = 0;
  std::thread([&] {  // capabilities are a thread's own
    if (!host::keep_only({host::Capability::NetAdmin, host::Capability::NetRaw})) return;
    read = host::capture_rules().listings.size();
    if (!host::keep_only({host::Capability::NetAdmin})) return;
    without_raw = host::capture_rules().problems;
    if (!host::keep_only({})) return;
    problems = host::capture_rules().problems;
  })
      .join();
  EXPECT_EQ(read, 2U);  // nft, iptables-legacy-save
  EXPECT_EQ(without_raw, std::vector<std::string>{"iptables-legacy-save: needs CAP_NET_RAW"});
  EXPECT_EQ(problems, std::vector<std::string>{"reading the running rules needs CAP_NET_ADMIN"});
}

TEST_F(CaptureTest, TheWorkerLivesInTheNamespaceWhereItWasStarted) {
  Box::run("iptables-legacy -A INPUT -j DROP; nft add table inet here");
  auto capturer = host::RulesCapturer::start();
  ASSERT_TRUE(capturer) << capturer.error().message;
  EXPECT_FALSE((*capturer)->take());
  const auto generation = (*capturer)->generation();
  ASSERT_TRUE(generation);
  {
    // We leave; it stays.
    const auto elsewhere = host::EnterNamespace::enter(box_->neighbour());
    ASSERT_TRUE(elsewhere);
    (*capturer)->request();
    pollfd ready{.fd = (*capturer)->ready_fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&ready, 1, 30'000), 1);
    EXPECT_EQ((*capturer)->generation(), generation);
  }
  const auto capture = (*capturer)->take();
  ASSERT_TRUE(capture);
  EXPECT_EQ(capture->generation_before, generation);
  ASSERT_NE(find_text(*capture, "nft -t -a list ruleset"), nullptr);
  EXPECT_NE(find_text(*capture, "nft -t -a list ruleset")->find("table inet here"), std::string::npos);
  EXPECT_NE(ruleset::legacy_text(*capture), "");
  pollfd ready{.fd = (*capturer)->ready_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ready, 1, 0), 0);
}

TEST_F(CaptureTest, ItsEndDoesNotWaitForASlowTool) {
  const std::string pid_file = (folder_ / "pid").string();
  auto capturer = host::RulesCapturer::start(with_tool(
      "nft", "echo $$ > " + pid_file + ".new; mv " + pid_file + ".new " + pid_file + "; exec sleep 1000"));
  ASSERT_TRUE(capturer);
  (*capturer)->request();
  pid_t pid = 0;
  for (int i = 0; i < 3000 && pid == 0; ++i) {
    std::ifstream(pid_file) >> pid;
    if (pid == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_GT(pid, 0);
  EXPECT_EQ(kill(pid, 0), 0);
  capturer->reset();  // a test that hangs here fails by ctest's limit
  EXPECT_NE(kill(pid, 0), 0);
}

}  // namespace
}  // namespace fwtrace::live
