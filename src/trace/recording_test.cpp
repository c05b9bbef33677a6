#include "trace/recording.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/output_file.h"
#include "trace/netlink_test_support.h"

namespace fwtrace::trace {
namespace {

using testing::in_words;
using testing::stamp;

RecordingHead some_head() {
  RecordingHead head;
  head.start = stamp(1'700'000'000'000'001);
  head.version = "0.3.0";
  head.host = "router";
  head.kernel = "6.1.0-18-amd64";
  head.machine = "x86_64";
  head.words = {"-p", "tcp", "--dport", "80"};
  head.facts = {{"note", "no owner flag"}, {"note", "two"}, {"raw shift", "1"}};
  return head;
}

RecordingEnd some_end() {
  RecordingEnd end;
  end.time = stamp(1'700'000'000'900'000);
  end.stopped_by = "Ctrl-C";
  end.matched = 12;
  end.armed = 11;
  end.drops = 10;
  end.facts = {{"refresh failed", "3"}};
  return end;
}

// Everything that a recording says, in words, with what its writer was told in the same words.
struct Heard {
  std::vector<std::string> said;
  std::optional<RecordingHead> head;
  std::optional<RecordingEnd> end;
  std::vector<RecordedCapture> captures;
  std::string log;  // in pieces as the writer likes

  RecordingListener listener() {
    RecordingListener l;
    l.head = [this](const RecordingHead& h) { head = h; };
    l.datagram = [this](NetlinkEvents::Bytes bytes, const base::Stamp& time) {
      say("datagram", time, std::string(bytes.begin(), bytes.end()));
    };
    l.kernel_log = [this](std::string_view text, const base::Stamp&) { log += text; };
    l.device = [this](std::uint32_t index, std::string_view name) {
      say("device", {}, std::to_string(index) + " " + std::string(name));
    };
    l.loss = [this](std::uint64_t n, const base::Stamp& time) { say("loss", time, std::to_string(n)); };
    l.generation = [this](std::uint32_t n, const base::Stamp& t) { say("generation", t, std::to_string(n)); };
    l.capture = [this](const RecordedCapture& capture) {
      say("capture", capture.time, "");
      captures.push_back(capture);
    };
    l.end = [this](const RecordingEnd& e) { end = e; };
    return l;
  }
  void say(const std::string& what, const base::Stamp& time, const std::string& value) {
    said.push_back(what + " " + std::to_string(time.known() ? time.wall_us : -1) + " " + value);
  }
};

struct Read {
  Heard heard;
  testing::KeepingSink sink;
  std::optional<base::Error> refusal;
  bool complete = false;
  std::uint64_t records = 0;

  explicit Read(std::string_view bytes, std::size_t piece = std::string_view::npos) {
    RecordingReader reader(testing::shared_names(), sink, heard.listener());
    reader.begin(1);
    for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at)) {
      const std::string copy(bytes.substr(at, piece));  // a look beyond it is seen by the sanitizer
      reader.push(copy);
    }
    reader.finish();
    refusal = reader.refusal();
    complete = reader.complete();
    records = reader.records();
  }
  std::string messages() const {
    std::string out;
    for (const base::Diagnostic& one : sink.diagnostics) out += one.message + "\n";
    return out;
  }
};

std::string write(const std::function<void(RecordingWriter&)>& with,
                  const RecordingHead& head = some_head()) {
  base::Output out = base::Output::to_string();
  {
    RecordingWriter writer(out, head);
    with(writer);
    writer.flush();
    EXPECT_EQ(writer.bytes(), out.text().size());
  }
  return out.text();
}

// mixed.bin as `fwtrace -w` would record it.
std::string write_mixed(const testing::Datagrams& mixed) {
  return write([&](RecordingWriter& w) {
    for (const auto& [index, name] : mixed.devices) w.device(index, name, mixed.all.front().time);
    w.generation(7, mixed.all.front().time);
    for (const auto& one : mixed.all) w.datagram(one.bytes, one.time);
    w.end(some_end());
  });
}

std::vector<std::string> words_of(const testing::KeepingSink& sink) {
  std::vector<std::string> out;
  for (const testing::Seen& seen : sink.seen)
    out.push_back(std::to_string(seen.event.time.wall_us) + " " + in_words(seen));
  return out;
}

TEST(Recording, GivesTheEventsThatTheLiveRunHad) {
  const auto mixed = testing::read_datagrams("netlink/mixed.bin");
  ASSERT_TRUE(mixed);
  testing::KeepingSink live;
  NetlinkEvents events(testing::shared_names(), live, [&](std::uint32_t index) {
    return testing::shared_names().intern(mixed->devices.contains(index) ? mixed->devices.at(index) : "");
  });
  for (const auto& one : mixed->all) events.datagram(one.bytes, one.time);
  ASSERT_GT(live.seen.size(), 70U);

  const std::string bytes = write_mixed(*mixed);
  for (const std::size_t piece : {std::string::npos, std::size_t{1}, std::size_t{17}, std::size_t{4096}}) {
    const Read read(bytes, piece);
    EXPECT_EQ(words_of(read.sink), words_of(live)) << "in pieces of " << piece;
    ASSERT_EQ(read.sink.seen.size(), live.seen.size());
    for (std::size_t i = 0; i < live.seen.size(); ++i)
      EXPECT_EQ(read.sink.seen[i].packet, live.seen[i].packet) << i;
    EXPECT_EQ(read.heard.head, some_head());
    EXPECT_EQ(read.heard.end, some_end());
    EXPECT_TRUE(read.complete);
    EXPECT_EQ(read.messages(), "");
  }
}

// A file of form 1 as it was once written: what people have kept must stay readable.
TEST(Recording, AFileOfForm1IsReadAsEver) {
  const std::string path = FWTRACE_SOURCE_DIR "/tests/fixtures/netlink/form-1.recording";
  auto file = testing::read_fixture("netlink/form-1.recording");
  if (!file && std::getenv("FWTRACE_REBASE") != nullptr) {  // only where there is none
    std::ofstream(path, std::ios::binary) << write_mixed(*testing::read_datagrams("netlink/mixed.bin"));
    GTEST_SKIP() << "written";
  }
  ASSERT_TRUE(file);
  const Read read(*file);
  EXPECT_EQ(read.heard.head, some_head());
  EXPECT_EQ(read.heard.end, some_end());
  std::string said;
  for (const testing::Seen& seen : read.sink.seen) said += in_words(seen) + "\n";
  EXPECT_EQ(said, testing::read_fixture("netlink/mixed.events").value_or(""));
}

TEST(Recording, ADeviceIsWrittenBeforeTheDatagramThatAskedForIt) {
  const std::vector<std::uint8_t> bytes{1, 2, 3};
  const Read read(write([&](RecordingWriter& w) {
    w.datagram(bytes, stamp(1));
    w.device(4, "lan0", stamp(2));
    w.device(5, "wan0", stamp(2));
    w.device(4, "lan0", stamp(3));  // known
    w.datagram(bytes, stamp(4));
    w.flush();
    w.device(4, "lan1", stamp(5));  // too late for it, and renamed
    w.loss(9, stamp(6));
    w.loss(8, {});
  }));
  const std::vector<std::string> expected{"device -1 4 lan0",  "device -1 5 wan0", "datagram 1 \1\2\3",
                                          "datagram 4 \1\2\3", "device -1 4 lan1", "loss 6 9",
                                          "loss -1 8"};
  EXPECT_EQ(read.heard.said, expected);
}

TEST(Recording, RulesThatStayedAreWrittenOnce) {
  RecordedCapture first;
  first.time = stamp(1);
  first.listings = {
      {"nft list ruleset", std::string(100'000, 'n')}, {"iptables-save", "legacy\n"}, {"empty", ""}};
  first.generation_before = 3;
  first.generation_after = 4;
  first.begun = 1ULL << 40;
  first.problems = {"ip6tables-save: not installed"};
  RecordedCapture second = first;
  second.time = stamp(2);
  second.generation_before = 5;
  second.listings[1].text = "legacy, changed\n";
  second.listings.push_back({"another command", "legacy\n"});
  RecordedCapture none;
  const std::string bytes = write([&](RecordingWriter& w) {
    w.capture(first);
    w.capture(second);
    w.capture(second);
    w.capture(none);
    w.capture(first);
  });
  const Read read(bytes, 1000);
  EXPECT_EQ(read.heard.captures, (std::vector<RecordedCapture>{first, second, second, none, first}));
  EXPECT_GT(bytes.size(), 200'000U);
  EXPECT_LT(bytes.size(), 201'000U);
}

TEST(Recording, TheKernelLogIsReadAsALogIs) {
  const std::string line =
      "4,17,1934356558,-;TRACE: filter:FORWARD:rule:7 IN=em1 OUT=virbr1 SRC=10.0.0.1 DST=10.0.0.2 LEN=60 TOS=0x00 "
      "PREC=0x00 TTL=63 ID=1 PROTO=UDP SPT=53 DPT=54 LEN=40 \n";
  const Read read(write([&](RecordingWriter& w) {
    w.kernel_log(line.substr(0, 50), stamp(1));
    w.kernel_log("", stamp(1));
    w.kernel_log(line.substr(50), stamp(2));
    w.end({});
  }));
  ASSERT_EQ(read.sink.seen.size(), 1U);
  EXPECT_EQ(in_words(read.sink.seen[0]).substr(0, 35), "legacy ip filter:FORWARD:rule:7 10.");
  EXPECT_EQ(read.sink.seen[0].event.time.uptime_us, 1'934'356'558);
  EXPECT_EQ(read.heard.log, line);
}

TEST(Recording, ACutOneSaysSoAndKeepsWhatIsThere) {
  const auto mixed = testing::read_datagrams("netlink/mixed.bin");
  const std::string bytes = write_mixed(*mixed);
  const Read whole(bytes);
  std::size_t events = 0;
  for (std::size_t size = 0; size < bytes.size(); size += size < 400 ? 1 : 37) {
    const Read read(bytes.substr(0, size), 100);
    EXPECT_FALSE(read.complete);
    EXPECT_GE(read.sink.seen.size(), events);
    events = read.sink.seen.size();
    if (size < 20) {
      ASSERT_TRUE(read.refusal) << size;
      EXPECT_EQ(read.refusal->message, "the recording is cut in its first line");
    } else {
      EXPECT_FALSE(read.refusal);
      EXPECT_EQ(read.messages(),
                "the recording ends early: no end record in its " + base::with_commas(size) + " bytes\n");
    }
  }
  EXPECT_EQ(events, whole.sink.seen.size());
}

TEST(Recording, ADamagedOneNamesTheByte) {
  const std::vector<std::uint8_t> bytes(300, 9);
  const auto written = [&](bool more) {
    return write([&](RecordingWriter& w) {
      w.loss(1, stamp(1));
      if (more) w.datagram(bytes, stamp(2));
      if (more) w.end({});
    });
  };
  const std::string all = written(true);
  const std::size_t at = written(false).size();  // where the datagram's record begins
  const std::string here = "the recording is damaged at byte " + base::with_commas(at) + ": ";
  const auto with = [&](std::size_t where, const std::string& what) {
    std::string changed = all;
    changed.replace(at + where, what.size(), what);
    const Read read(changed, 7);
    EXPECT_EQ(read.heard.said.front(), "loss 1 1");
    return read.messages();
  };
  EXPECT_EQ(with(0, std::string(4, '\0')), here + "no record begins here\n");
  EXPECT_EQ(with(0, "pkts"), here + "no record begins here\n");
  EXPECT_EQ(with(0, "HEAD"), here + "a second head\n");
  EXPECT_EQ(with(4, "\xff\xff\xff\x7f"), here + "a record of 2,147,483,647 bytes\n");
  EXPECT_EQ(with(0, "RULE"), here + "a record of the kind RULE cannot be read\n");
  EXPECT_EQ(with(0, "DONE"), here + "a record of the kind DONE cannot be read\n");
  // The datagram shorter than it was: its rest is taken for a record.
  EXPECT_EQ(with(4, std::string("\x10\0\0\0", 4)),
            "a netlink message is not all there\nthe recording is damaged at byte " +
                base::with_commas(at + 32) + ": no record begins here\n");
  EXPECT_EQ(Read(all + "x").messages().substr(all.size() % 1),
            "a netlink message is not all there\nthe recording is damaged at byte " +
                base::with_commas(all.size()) + ": there are bytes behind the last record\n");
  EXPECT_EQ(Read(all + all).messages(),
            "a netlink message is not all there\nthe recording is damaged at byte " +
                base::with_commas(all.size()) + ": no record begins here\n");
}

TEST(Recording, ARecordOfALaterKindIsLeftOut) {
  const std::string bytes = write([&](RecordingWriter& w) {
    w.loss(1, stamp(1));
    w.loss(2, stamp(2));
    w.end({});
  });
  std::string changed = bytes;
  changed.replace(changed.find("LOSS"), 4, "LATE");
  const Read read(changed, 5);
  EXPECT_EQ(read.heard.said, std::vector<std::string>{"loss 2 2"});
  EXPECT_TRUE(read.complete);
  EXPECT_EQ(read.messages(), "a record of a kind that this fwtrace does not know was left out: LATE\n");
}

TEST(Recording, WhatCannotBeReadIsRefused) {
  RecordingHead head = some_head();
  head.little_endian = !RecordingHead::is_little_endian();
  head.machine = "s390x";
  const Read other(write(
      [&](RecordingWriter& w) {
        w.loss(1, stamp(1));
        w.end({});
      },
      head));
  ASSERT_TRUE(other.refusal);
  EXPECT_EQ(other.refusal->message, "this recording is of a machine with the other byte order (s390x)");
  EXPECT_EQ(other.refusal->hints.at(0), "explain it on \"router\", or on another machine of that kind");
  EXPECT_TRUE(other.heard.said.empty());
  EXPECT_FALSE(other.heard.head);
  EXPECT_EQ(other.messages(), "");

  const Read later("fwtrace recording 2\nwhatever");
  ASSERT_TRUE(later.refusal);
  EXPECT_EQ(later.refusal->message, "this recording has a form that this fwtrace does not know");
  const Read log("Nov 23 12:00:01 fw kernel: hello\n");
  ASSERT_TRUE(log.refusal);
  EXPECT_EQ(log.refusal->message, "this is no recording of fwtrace");

  EXPECT_TRUE(RecordingReader::looks_like("fwtrace recording 2\n"));
  EXPECT_TRUE(RecordingReader::looks_like("fwtrace recording 1\nHEAD"));
  EXPECT_FALSE(RecordingReader::looks_like("fwtrace record"));
  EXPECT_FALSE(RecordingReader::looks_like(""));
}

// Few bytes that would be gigabytes: one text, and endless references to it.
TEST(Recording, ReferencesDoNotGrowBeyondTheLimit) {
  RecordedCapture big;
  big.listings = {{"a", std::string(8U << 20, 'x')}};
  std::string bytes = write([&](RecordingWriter& w) { w.capture(big); });
  std::string payload(16, '\0');
  const auto put = [&](std::uint32_t n) {
    for (int i = 0; i < 4; ++i) payload += static_cast<char>(n >> (8 * i) & 0xff);
  };
  put(200);
  for (int i = 0; i < 200; ++i) put(0), put(1);
  put(0);
  std::string header = "RULE";
  for (int i = 0; i < 4; ++i) header += static_cast<char>(payload.size() >> (8 * i) & 0xff);
  const Read read(bytes + header + std::string(8, '\0') + payload);
  EXPECT_EQ(read.heard.captures.size(), 1U);
  EXPECT_EQ(read.sink.codes(), "damaged-recording");
}

TEST(Recording, AFullDiskIsToldOnce) {
  const int fd = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (fd < 0) GTEST_SKIP() << "no /dev/full here";
  {
    base::Output out(fd);
    RecordingWriter writer(out, some_head());
    EXPECT_FALSE(writer.take_problem());
    writer.flush();
    const auto problem = writer.take_problem();
    ASSERT_TRUE(problem);
    EXPECT_EQ(problem->message, "the recording cannot be written any more: No space left on device");
    writer.loss(1, stamp(1));
    writer.flush();
    EXPECT_FALSE(writer.take_problem());
  }
  ::close(fd);
}

struct Op {
  int kind = 0;
  std::int64_t time = 0;
  std::uint32_t number = 0;
  std::string text;
  std::vector<std::pair<std::string, std::string>> listings;
};

RC_GTEST_PROP(Recording, WhatIsWrittenIsRead, ()) {
  const auto gen = rc::gen::construct<Op>(
      rc::gen::inRange(0, 6), rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 50),
      rc::gen::arbitrary<std::uint32_t>(), rc::gen::arbitrary<std::string>(),
      rc::gen::container<std::vector<std::pair<std::string, std::string>>>(rc::gen::pair(
          rc::gen::element<std::string>("a", "b", "c"), rc::gen::element<std::string>("", "x", "yy"))));
  const auto ops = *rc::gen::container<std::vector<Op>>(gen);
  Heard told;
  std::map<std::uint32_t, std::string> devices;
  std::vector<std::string> after_devices;  // devices go before a datagram just before them
  const std::string bytes = write([&](RecordingWriter& w) {
    const auto held = [&] {
      told.said.insert(told.said.end(), after_devices.begin(), after_devices.end());
      after_devices.clear();
    };
    for (const Op& op : ops) {
      const base::Stamp time = stamp(op.time);
      if (op.kind <= 1 && op.text.empty()) continue;  // nothing is written
      if (op.kind != 4) held();
      switch (op.kind) {
        case 0: {
          const std::vector<std::uint8_t> raw(op.text.begin(), op.text.end());
          w.datagram(raw, time);
          after_devices = {"datagram " + std::to_string(op.time) + " " + op.text};
          break;
        }
        case 1:
          w.kernel_log(op.text, time);
          told.log += op.text;
          break;
        case 2:
          w.loss(op.number, time);
          told.say("loss", time, std::to_string(op.number));
          break;
        case 3:
          w.generation(op.number, time);
          told.say("generation", time, std::to_string(op.number));
          break;
        case 4: {
          const std::uint32_t index = op.number % 4;
          const std::string name = op.text.substr(0, 15);
          w.device(index, name, time);
          if (devices.contains(index) && devices[index] == name) break;
          devices[index] = name;
          told.say("device", {}, std::to_string(index) + " " + name);
          break;
        }
        case 5: {
          RecordedCapture capture;
          capture.time = time;
          capture.generation_before = op.number;
          capture.generation_after = op.number + 1;
          for (const auto& [command, text] : op.listings) capture.listings.push_back({command, text});
          if (!op.text.empty()) capture.problems = {op.text, ""};
          w.capture(capture);
          told.say("capture", time, "");
          told.captures.push_back(capture);
          break;
        }
        default: break;
      }
    }
    held();
    w.end(some_end());
  });
  const Read read(bytes, *rc::gen::inRange<std::size_t>(1, 100));
  RC_ASSERT(read.heard.said == told.said);
  RC_ASSERT(read.heard.captures == told.captures);
  RC_ASSERT(read.heard.log == told.log);
  RC_ASSERT(read.complete);
  RC_ASSERT(read.heard.end == some_end());
}

TEST(OutputFile, IsItsOwnersAndRefusesWhatIsNoFile) {
  const std::string folder = ::testing::TempDir() + "fwtrace-output-" + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/run.fwtrace";
  {
    auto file = base::OutputFile::open(path, 1, "a recording");
    ASSERT_TRUE(file);
    file->out().append("much that was here before");
  }
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  {
    base::OutputFile::open(path, 1, "a recording")->out().append("new");
  }
  EXPECT_EQ(testing::read_file(path), "new");
  const auto directory = base::OutputFile::open(folder, 1, "a recording");
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().message, "\"" + folder + "\" is a directory");
  const auto nowhere = base::OutputFile::open(folder + "/no/file", 1, "a recording");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message, "cannot write \"" + folder + "/no/file\": No such file or directory");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace fwtrace::trace
