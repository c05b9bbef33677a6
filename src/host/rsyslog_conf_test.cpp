#include "host/rsyslog_conf.h"

#include <gtest/gtest.h>

#include <map>

#include "host/rsyslog_filter.h"

namespace fwtrace::host {
namespace {

// "/a (kern), /b (perhaps)": the files that get a trace line, in the order of the configuration.
std::string files_of(const std::map<std::string, std::string>& configuration) {
  RsyslogFiles files;
  files.read = [&](const std::string& path) {
    const auto found = configuration.find(path);
    return found == configuration.end() ? std::nullopt : std::optional(found->second);
  };
  files.expand = [&](const std::string& pattern) {  // with a star at the end of the stem only
    std::vector<std::string> out;
    const std::string stem = pattern.substr(0, pattern.find('*'));
    for (const auto& [path, text] : configuration) {
      if (path.starts_with(stem) && (pattern.find('*') != std::string::npos || path == pattern))
        out.push_back(path);
    }
    return out;
  };
  std::string said;
  for (const KernelLogFile& one : find_kernel_files("/etc/rsyslog.conf", files)) {
    said += (said.empty() ? "" : ", ") + one.path;
    if (one.specific) said += " (kern)";
    if (!one.certain) said += " (perhaps)";
  }
  return said;
}
std::string files_of(const std::string& text) { return files_of({{"/etc/rsyslog.conf", text}}); }

TEST(RsyslogConf, SelectorsAreReadFromLeftToRight) {
  const auto takes = [](const char* selector) { return select(selector).takes; };
  for (const char* yes : {"kern.*", "*.*", "kern.warning", "kern.warn", "kern.=warn", "*.info", "kern.debug",
                          "KERN.Info", "mail,kern.*", "kern.none;kern.*", "*.*;mail.none", "kern.*;kern.!err",
                          "0.4", "*.=info;*.=warn", "*.*;kern.!=info"})
    EXPECT_TRUE(takes(yes)) << yes;
  for (const char* no :
       {"kern.err", "kern.=info", "*.info;kern.none", "*.info;mail,kern.none", "auth.*", "*.emerg",
        "kern.*;kern.!warn", "kern.*;kern.!info", "*.*;kern.!=warning", "kern", "", "daemon.*"})
    EXPECT_FALSE(takes(no)) << no;
  EXPECT_TRUE(select("kern.*").names_kernel);
  EXPECT_FALSE(select("*.*;auth.none").names_kernel);
  EXPECT_FALSE(select("*.*;kern.none").names_kernel);
}

TEST(RsyslogConf, DebiansOwn) {
  EXPECT_EQ(files_of({{"/etc/rsyslog.conf",
                       "module(load=\"imuxsock\") # provides support for local system logging\n"
                       "#module(load=\"imudp\")\n"
                       "module(load=\"imklog\" permitnonkernelfacility=\"on\")\n"
                       "$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat\n$FileOwner root\n"
                       "$IncludeConfig /etc/rsyslog.d/*.conf\n\n"
                       "*.*;auth,authpriv.none\t\t-/var/log/syslog\n"
                       "auth,authpriv.*\t\t\t/var/log/auth.log\n"
                       "kern.*\t\t\t\t-/var/log/kern.log\n"
                       "mail.err\t\t\t/var/log/mail.err\n"
                       "*.emerg\t\t\t\t:omusrmsg:*\n"},
                      {"/etc/rsyslog.d/20-ufw.conf", ":msg,contains,\"[UFW \" /var/log/ufw.log\n& stop\n"}}),
            "/var/log/syslog, /var/log/kern.log (kern)");
}

TEST(RsyslogConf, FedorasOwn) {
  EXPECT_EQ(
      files_of("global(workDirectory=\"/var/lib/rsyslog\")\n"
               "module(load=\"builtin:omfile\" Template=\"RSYSLOG_TraditionalFileFormat\")\n"
               "module(load=\"imjournal\" UsePid=\"system\" # PID number\n  StateFile=\"imjournal.state\")\n"
               "include(file=\"/etc/rsyslog.d/*.conf\" mode=\"optional\")\n"
               "#kern.*                                                 /dev/console\n"
               "*.info;mail.none;authpriv.none;cron.none                /var/log/messages\n"
               "authpriv.*                                              /var/log/secure\n"
               "uucp,news.crit                                          /var/log/spooler\n"),
      "/var/log/messages");
}

TEST(RsyslogConf, WhatStopsAtAnEarlierFileGoesNoFurther) {
  EXPECT_EQ(files_of(":msg, contains, \"TRACE: \" -/var/log/iptables.log\n& ~\nkern.* /var/log/kern.log\n"),
            "/var/log/iptables.log (kern)");
  EXPECT_EQ(files_of(":msg, !contains, \"TRACE: \" -/var/log/rest.log\n& stop\nkern.* /var/log/kern.log\n"),
            "/var/log/kern.log (kern)");
  EXPECT_EQ(
      files_of(
          ":msg, startswith, \" TRACE:\" /var/log/a\n& /var/log/b\n& @collector.example.org\n*.* /var/log/c\n"),
      "/var/log/a (kern), /var/log/b (kern), /var/log/c");
  EXPECT_EQ(files_of("*.* stop\nkern.* /var/log/kern.log\n"), "");
  EXPECT_EQ(files_of("auth.* ~\nkern.* /var/log/kern.log\n"), "/var/log/kern.log (kern)");
}

TEST(RsyslogConf, RainerScript) {
  EXPECT_EQ(files_of("kern.* action(type=\"omfile\" name=\"k\" File='/var/log/kern.log' sync=\"off\")\n"
                     "*.* action(type=\"omfwd\" target=\"192.0.2.1\" file=\"/not/this\")\n"),
            "/var/log/kern.log (kern)");
  EXPECT_EQ(files_of("if $syslogfacility-text == 'kern' and $msg contains 'TRACE:' then {\n"
                     "  action(type=\"omfile\" file=\"/var/log/trace.log\") # those of TRACE\n  stop\n}\n"
                     "kern.* /var/log/kern.log\n"),
            "/var/log/trace.log (kern)");
  EXPECT_EQ(files_of("if ($programname == 'sshd') then { /var/log/sshd.log\n stop }\n"
                     "else if not ($syslogseverity <= 3) then /var/log/rest.log\nelse /var/log/bad.log\n"),
            "/var/log/rest.log (kern)");
  EXPECT_EQ(files_of("if $programname == [\"kernel\", \"systemd\"] and $syslogseverity-text != 'err' then "
                     "-/var/log/early.log;RSYSLOG_FileFormat\n& stop\n"),
            "/var/log/early.log (kern)");
  EXPECT_EQ(files_of("if $msg startswith 'then' or $msg contains_i \"trace: RAW\" then /var/log/a\n"),
            "/var/log/a (kern)");
}

TEST(RsyslogConf, WhatIsNotUnderstoodIsNotClaimed) {
  EXPECT_EQ(
      files_of(
          "if re_match($msg, 'TRACE.*(x)') then /var/log/a\nif $hostname == 'fw' then { /var/log/b\n stop }\n"
          "kern.* /var/log/c\n"),
      "/var/log/a (perhaps), /var/log/b (kern) (perhaps), /var/log/c (kern)");
  EXPECT_EQ(files_of(":msg, regex, \"TRACE\" /var/log/a\n"), "/var/log/a (kern) (perhaps)");
  EXPECT_EQ(files_of("ruleset(name=\"remote\") {\n  *.* /var/log/remote.log\n}\n"
                     "template(name=\"t\" type=\"list\") { constant(value=\"}\") property(name=\"msg\") }\n"
                     "kern.* ?DynamicFile\nkern.* |/run/pipe\nkern.* root,operator\nkern.* /dev/null\n"
                     "set $.x = 1;\ncall remote\nkern.* /var/log/k\n"),
            "/var/log/k (kern)");
}

TEST(RsyslogConf, OddTextEndsAndClaimsNothing) {
  for (const char* text :
       {"", "}", "{", "if", "if $msg", "if then", "action(", "kern.*", "kern.* ", ":msg", ":msg,contains",
        ":msg,contains,\"", "&", "$", "\\", "$IncludeConfig", "((((", "'", "kern.* {"})
    EXPECT_EQ(files_of(text), "") << text;
  EXPECT_EQ(files_of({{"/etc/rsyslog.conf", "$IncludeConfig /etc/rsyslog.conf\nkern.* /var/log/k\n"}}),
            "/var/log/k (kern)");
  const std::string all =
      "kern.* action(type=\"omfile\" file='/var/log/\\k' )\nif not ($msg contains \"\\\"a\" or $hostname == ['x', \"y\"]) then {\n"
      "/var/log/b;T\n}\nelse if f($msg, (1)) then stop\n:msg, !startswith, \"\\\"\" -/var/log/c\n& ~\ntemplate(name='x') { y('}') }\n";
  for (std::size_t begin = 0; begin < all.size(); ++begin) {
    for (std::size_t size = 0; size <= all.size() - begin; ++size) files_of(all.substr(begin, size));
  }
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "{(if not ";
  EXPECT_EQ(files_of(deep), "");
  EXPECT_EQ(files_of("kern.* \\\n  /var/log/k\n"), "/var/log/k (kern)");
}

}  // namespace
}  // namespace fwtrace::host
