// Wrappers: every form of date, host and uptime that people paste.

#include "trace/wrapper.h"

#include <gtest/gtest.h>

namespace fwtrace::trace {
namespace {

struct Row {
  const char* text;
  const char* stamp;  // print_stamp of what was read
  const char* host;
};

class WrapperForms : public testing::TestWithParam<Row> {};

TEST_P(WrapperForms, TimeAndHost) {
  const Wrapper w = read_wrapper(GetParam().text);
  EXPECT_EQ(base::print_stamp(w.time), GetParam().stamp) << GetParam().text;
  EXPECT_EQ(w.host, GetParam().host) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrapperForms,
    testing::Values(
        Row{"May 27 19:57:54 storm3 kernel: ", "May 27 19:57:54", "storm3"},
        Row{"Jul  2 11:28:40 ubuntu kernel: [ 7606.531051] ", "Jul  2 11:28:40", "ubuntu"},
        Row{"Sep 28 21:57:16 [localhost] kernel: [66008088.172336] ", "Sep 28 21:57:16", "localhost"},
        Row{"2024-05-01T12:00:00.123456+02:00 gw kernel: ", "2024-05-01 12:00:00.123456", "gw"},
        Row{"2024-05-01T12:00:00+0200 gw kernel: ", "2024-05-01 12:00:00", "gw"},
        Row{"2023-03-02 13:56:16 gw kernel: ", "2023-03-02 13:56:16", "gw"},
        Row{"Thu 2023-03-02 13:56:16 CST gw kernel: ", "2023-03-02 13:56:16", "gw"},
        Row{"Fri Mar  1 12:00:00 2024 kern.warn kernel: [ 1234.567890] ", "2024-03-01 12:00:00", ""},
        Row{"[Thu Apr 23 21:55:11 2020] ", "2020-04-23 21:55:11", ""},
        Row{"[ 1934.356558] ", "[ 1934.356558]", ""}, Row{"<4>[30530.374094] ", "[30530.374094]", ""},
        Row{"<4>1 2024-05-01T12:00:00Z gw kernel - - - ", "2024-05-01 12:00:00", "gw"},
        Row{"4,1234,5678901,-;", "[    5.678901]", ""},
        Row{"4,1234,5678901,-,caller=T12;", "[    5.678901]", ""},
        Row{"[   12.345678][  T123] ", "[   12.345678]", ""},
        Row{"kern  :warn  : [   12.345678] ", "[   12.345678]", ""},
        Row{"[12345.678901] gw kernel: ", "[12345.678901]", "gw"},
        Row{"/var/log/kern.log:May 27 19:57:54 storm3 kernel: ", "May 27 19:57:54", "storm3"},
        Row{"kern.log:17:May 27 19:57:54 storm3 kernel: ", "May 27 19:57:54", "storm3"},
        Row{"> May 27 19:57:54 storm3 kernel: ", "May 27 19:57:54", "storm3"},
        Row{"May 27 19:57:54 storm3  ", "May 27 19:57:54", "storm3"},
        Row{"kernel: [ 7018.727278] ", "[ 7018.727278]", ""}, Row{"what is this ", "", ""}));

TEST(Wrapper, TheKmsgSequence) { EXPECT_EQ(read_wrapper("4,1234,5678901,-;").kmsg_sequence, 1234U); }

TEST(Wrapper, JournaldJson) {
  const auto line = read_json_line(
      R"({"__REALTIME_TIMESTAMP":"1583164691263921","_HOSTNAME":"gw","MESSAGE":"TRACE: raw:OUTPUT:policy:2 IN= OUT=lo "})");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->host, "gw");
  EXPECT_EQ(line->time.wall_us, 1583164691263921);
  EXPECT_EQ(line->message, "TRACE: raw:OUTPUT:policy:2 IN= OUT=lo ");
  EXPECT_FALSE(read_json_line("{\"MESSAGE\": "));
  EXPECT_FALSE(read_json_line("[1,2]"));
  const auto bytes = read_json_line(R"({"MESSAGE":[84,82,65,67,69,58,32,255]})");
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->message, "TRACE: \xff");
}

}  // namespace
}  // namespace fwtrace::trace
