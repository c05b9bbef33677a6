// The small files of /proc that this room reads, on recorded texts.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "host/capability.h"
#include "host/leftovers.h"
#include "host/namespace.h"
#include "host/nf_log.h"
#include "host/own_ssh.h"
#include "host/proc.h"

namespace fwtrace::host {
namespace {

TEST(NfLogFile, LoggersAndWhatMayBeSet) {
  const auto all =
      parse_nf_log(" 0 NONE (nfnetlink_log)\n 2 nf_log_ipv4 (nf_log_ipv4,nfnetlink_log)\n10 NONE ()\n");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1].family, 2);
  EXPECT_EQ(all[1].logger, "nf_log_ipv4");
  EXPECT_EQ(all[1].available, (std::vector<std::string>{"nf_log_ipv4", "nfnetlink_log"}));
  EXPECT_TRUE(all[2].available.empty());
}

TEST(NflogFile, Listeners) {
  const auto all = parse_nflog_listeners(
      "    0   4242     0 2   128      0  1\n    7 4294963199     0 2 65531    100  1\n");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].port, 4242U);
  EXPECT_EQ(all[1].group, 7);
  EXPECT_EQ(all[1].port, 4294963199U);
}

constexpr std::string_view kTcpTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n"
    "   1: 0201000A:0016 0302000A:C350 01 00000000:00000000 02:000A 00000000     0        0 4711 2 0 20 4 30 10 -1\n";

TEST(TcpTable, EstablishedConnections) {
  const auto all = parse_tcp_table(kTcpTable);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].inode, 4711U);
  EXPECT_EQ(packet::print_ip(all[0].connection.local), "10.0.1.2");
  EXPECT_EQ(packet::print_ip(all[0].connection.remote), "10.0.2.3");
  EXPECT_EQ(all[0].connection.local_port, 22);
  EXPECT_EQ(all[0].connection.remote_port, 50000);
  const auto mapped = parse_tcp_table(
      "x\n 0: 0000000000000000FFFF00000201000A:0016 0000000000000000FFFF00000302000A:C350 01 0:0 0:0 0 0 0 9 1\n");
  ASSERT_EQ(mapped.size(), 1U);
  EXPECT_EQ(packet::print_ip(mapped[0].connection.remote), "10.0.2.3") << "on the wire it is IPv4";
}

TEST(OwnSsh, IsFoundByAncestry) {
  namespace fs = std::filesystem;
  const fs::path proc = fs::path(testing::TempDir()) / ("fwtrace-proc-" + std::to_string(getpid()));
  const auto process = [&](int pid, const std::string& name, int parent) {
    fs::create_directories(proc / std::to_string(pid) / "fd");
    fs::create_directories(proc / std::to_string(pid) / "net");
    std::ofstream(proc / std::to_string(pid) / "stat") << pid << " (" << name << ") S " << parent << " 1 1";
  };
  process(1, "systemd", 0);
  process(50, "sshd", 1);
  process(60, "sshd-session", 50);
  process(70, "ba) sh", 60);
  process(80, "sudo", 70);
  std::ofstream(proc / "60" / "net" / "tcp") << kTcpTable;
  fs::create_symlink("socket:[4711]", proc / "60" / "fd" / "4");
  const auto found = find_own_ssh(80, proc);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].remote_port, 50000);
  EXPECT_TRUE(find_own_ssh(50, proc).empty());
  fs::remove_all(proc);
}

TEST(ChangesFile, PrintedAndParsedIsTheSame) {
  const Changes changes{.pid = 77,
                        .home = {.inode = 4026531840,
                                 .cookie = 18'000'000'000'000'000'000U,
                                 .started = 4711,
                                 .boot = "c5a6bd48-51b7-4f0e-9d3c-2f5a3c1e0f11"},
                        .loggers = {{.family = 2, .before = "nf_log_ipv4"},
                                    {.family = 10, .before = "NONE", .set_to = "nf_log_ipv6"}},
                        .table = "fwtrace-77",
                        .families = {packet::Family::Inet, packet::Family::Bridge},
                        .inserted_by = {"/usr/sbin/iptables-legacy-restore"}};
  EXPECT_EQ(parse_changes(print_changes(changes)), changes);
}

TEST(ChangesFile, HostileTextDoesNotReachASysctlATableOrAProgram) {
  EXPECT_FALSE(parse_changes("something else"));
  const auto parsed = parse_changes(
      "fwtrace state 1\nnf_log 2 ../../x nfnetlink_log\nnf_log 2 NONE a;b\nnf_log 99 NONE NONE\nnf_log 2 NONE\n"
      "table inet filter\ntable inet fwtrace-x\ninserted /bin/sh\ninserted iptables-restore\n"
      "inserted /sbin/iptables-restore twice\n");
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->inserted_by.empty());
  EXPECT_TRUE(parsed->loggers.empty());
  EXPECT_TRUE(parsed->families.empty());
}

TEST(Namespace, NamesThatAreNone) {
  for (const char* name : {"no-such-namespace", "", "..", "a/b", "999999999"}) {
    EXPECT_FALSE(NetworkNamespace::find(name)) << name;
  }
  const auto here = NetworkNamespace::current();
  ASSERT_TRUE(here);
  EXPECT_EQ(NetworkNamespace::of_process(getpid())->inode(), here->inode());
}

TEST(Process, AboutOurselves) {
  const auto self = find_process(getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(self->parent, getppid());
  EXPECT_FALSE(find_process(0));
}

}  // namespace
}  // namespace fwtrace::host
