#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/text.h"
#include "trace/recording.h"
#include "trace/recording_form.h"

namespace fwtrace::trace {

using namespace recording;

namespace {

constexpr std::size_t kMaxDevices = 1U << 16;

bool is_tag(std::string_view tag) {
  return std::ranges::all_of(tag, [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool read_facts(std::string_view payload, RecordedFacts& facts) {
  Take take(payload);
  while (!take.empty()) {
    const std::string_view name = take.text();
    const std::string_view value = take.text();
    if (!take.ok()) return false;
    facts.emplace_back(name, value);
  }
  return take.ok();
}

RecordingHead to_head(RecordedFacts facts, const base::Stamp& time) {
  RecordingHead head;
  head.start = time;
  for (auto& [name, value] : facts) {
    if (name == "fwtrace") head.version = std::move(value);
    else if (name == "host") head.host = std::move(value);
    else if (name == "kernel") head.kernel = std::move(value);
    else if (name == "machine") head.machine = std::move(value);
    else if (name == "byte order") head.little_endian = value == "little";
    else if (name == "word") head.words.push_back(std::move(value));
    else head.facts.emplace_back(std::move(name), std::move(value));
  }
  return head;
}

RecordingEnd to_end(RecordedFacts facts, const base::Stamp& time) {
  RecordingEnd end;
  end.time = time;
  for (auto& [name, value] : facts) {
    const auto number = base::parse_number<std::uint64_t>(value);
    if (name == "stopped by") end.stopped_by = std::move(value);
    else if (name == "drops" && number) end.drops = *number;
    else if (name == "matched" && number) end.matched = number;
    else if (name == "armed" && number) end.armed = number;
    else end.facts.emplace_back(std::move(name), std::move(value));
  }
  return end;
}

}  // namespace

struct RecordingReader::Impl {
  enum class Awaits : std::uint8_t { Magic, Header, Payload, Nothing };

  base::Names& names;
  Sink& sink;
  RecordingListener listener;
  std::unordered_map<std::uint32_t, base::Name> devices;
  NetlinkEvents netlink;
  LogReader log;

  Awaits awaits = Awaits::Magic;
  std::uint32_t source = 0;
  std::string carry;  // of what is awaited, what came so far
  std::size_t wanted = kMagic.size();
  std::uint64_t skip = 0;  // bytes of a record that nobody knows
  std::uint64_t bytes = 0, records = 0;
  std::uint64_t offset = 0, record_at = 0;  // in this input: what was read; the record that is being read
  std::string tag;
  base::Stamp time;
  bool has_head = false, has_end = false;
  std::optional<base::Error> refusal;
  std::vector<std::uint32_t> aligned;  // a datagram as NetlinkEvents wants it
  std::vector<RecordedCapture::Listing> last_listings;

  Impl(base::Names& n, Sink& s, RecordingListener l, Sink& log_sink)
      : names(n),
        sink(s),
        listener(std::move(l)),
        netlink(n, s, [this](std::uint32_t index) { return device_name(index); }),
        log(n, log_sink) {}

  base::Name device_name(std::uint32_t index) const {
    const auto known = devices.find(index);
    return known == devices.end() ? base::Name() : known->second;
  }

  void await(Awaits what, std::size_t size) {
    awaits = what;
    wanted = size;
  }

  void report(base::Severity severity, std::string_view code, std::string message,
              std::vector<std::string> hints = {}) {
    base::Diagnostic d;
    d.severity = severity;
    d.code = code;
    d.place.source = source;
    d.message = std::move(message);
    d.hints = std::move(hints);
    sink.diagnostic(std::move(d));
  }

  void refuse(std::string message, std::vector<std::string> hints = {}) {
    refusal = base::Error{base::ErrorKind::Input, std::move(message), std::move(hints)};
    awaits = Awaits::Nothing;
  }

  // Where the next record begins is not known any more.
  void damaged(const std::string& what) {
    report(base::Severity::Warning, "damaged-recording",
           "the recording is damaged at byte " + base::with_commas(record_at) + ": " + what,
           {"what stands before it is used, what follows is not"});
    awaits = Awaits::Nothing;
  }

  void take(std::string_view bytes_awaited) {
    switch (awaits) {
      case Awaits::Magic: return magic(bytes_awaited);
      case Awaits::Header: return header(bytes_awaited);
      case Awaits::Payload: return payload(bytes_awaited);
      case Awaits::Nothing: return;
    }
  }

  void magic(std::string_view line) {
    if (line == kMagic) return await(Awaits::Header, kHeader);
    if (looks_like(line))
      return refuse("this recording has a form that this fwtrace does not know",
                    {"a later fwtrace wrote it: read it with that one"});
    refuse("this is no recording of fwtrace");
  }

  void header(std::string_view text) {
    record_at = offset - kHeader;
    tag = text.substr(0, 4);
    Take take(text.substr(4));
    const auto length = take.number<std::uint32_t>();
    time = to_time(static_cast<std::int64_t>(take.number<std::uint64_t>()));
    if (!is_tag(tag)) return damaged("no record begins here");
    if (has_end) return damaged("there are records behind the last one");
    if (!has_head && tag != kHead) return damaged("its first record is not the head");
    if (tag == kHead && has_head) return damaged("a second head");
    if (!is_known(tag)) {
      report(base::Severity::Note, "unknown-record",
             "a record of a kind that this fwtrace does not know was left out: " + tag,
             {"a later fwtrace wrote it: read it with that one"});
      skip = length;
      return;
    }
    if (length > longest(tag)) return damaged("a record of " + base::with_commas(length) + " bytes");
    await(Awaits::Payload, length);
    if (length == 0) payload({});
  }

  static bool is_known(std::string_view tag) {
    constexpr std::string_view kTags[] = {kHead, kLink,       kDatagram, kKernelLog,
                                          kLoss, kGeneration, kRules,    kDone};
    return std::ranges::find(kTags, tag) != std::end(kTags);
  }

  void payload(std::string_view bytes_of_record) {
    await(Awaits::Header, kHeader);
    ++records;
    if (listener.moment && tag != kHead) listener.moment(time);
    if (!read(bytes_of_record)) damaged("a record of the kind " + tag + " cannot be read");
  }

  bool read(std::string_view bytes_of_record) {
    Take take(bytes_of_record);
    if (tag == kDatagram) return datagram(bytes_of_record);
    if (tag == kHead) return head(bytes_of_record);
    if (tag == kRules) return rules(take);
    if (tag == kLink) {
      const auto index = take.number<std::uint32_t>();
      if (!take.ok()) return false;
      device(index, take.rest());
    } else if (tag == kKernelLog) {
      if (listener.kernel_log) listener.kernel_log(bytes_of_record, time);
      log.push(bytes_of_record);
    } else if (tag == kLoss) {
      const auto messages = take.number<std::uint64_t>();
      if (take.ok() && listener.loss) listener.loss(messages, time);
    } else if (tag == kGeneration) {
      const auto generation = take.number<std::uint32_t>();
      if (take.ok() && listener.generation) listener.generation(generation, time);
    } else if (tag == kDone) {
      RecordedFacts facts;
      if (!read_facts(bytes_of_record, facts)) return false;
      has_end = true;
      if (listener.end) listener.end(to_end(std::move(facts), time));
    }
    return take.ok();
  }

  bool head(std::string_view bytes_of_record) {
    RecordedFacts facts;
    if (!read_facts(bytes_of_record, facts)) return false;
    has_head = true;
    const RecordingHead head = to_head(std::move(facts), time);
    if (head.little_endian != RecordingHead::is_little_endian()) {
      const std::string whose = head.host.empty() ? "the machine" : "\"" + head.host + "\"";
      refuse("this recording is of a machine with the other byte order" +
                 (head.machine.empty() ? std::string() : " (" + head.machine + ")"),
             {"explain it on " + whose + ", or on another machine of that kind"});
      return true;
    }
    if (listener.head) listener.head(head);
    return true;
  }

  void device(std::uint32_t index, std::string_view name) {
    const auto known = devices.find(index);
    const base::Name now = names.intern(name);
    if (known != devices.end()) {
      if (known->second != now) netlink.forget_devices();
      known->second = now;
    } else if (devices.size() < kMaxDevices) {
      devices.emplace(index, now);
      netlink.forget_devices();  // a packet of it may have been read before its name was told
    }
    if (listener.device) listener.device(index, name);
  }

  bool datagram(std::string_view text) {
    if (text.empty()) return false;
    aligned.resize((text.size() + 3) / 4);
    std::memcpy(aligned.data(), text.data(), text.size());
    const NetlinkEvents::Bytes raw(reinterpret_cast<const std::uint8_t*>(aligned.data()), text.size());
    if (listener.datagram) listener.datagram(raw, time);
    netlink.datagram(raw, time);
    return true;
  }

  bool rules(Take& take) {
    RecordedCapture capture;
    capture.time = time;
    capture.generation_before = take.number<std::uint32_t>();
    capture.generation_after = take.number<std::uint32_t>();
    capture.begun = take.number<std::uint64_t>();
    std::size_t all = 0;
    auto left = take.number<std::uint32_t>();
    if (left > kMaxListings) return false;
    for (; left > 0 && take.ok(); --left) {
      RecordedCapture::Listing listing;
      listing.command = take.text();
      const auto same = take.number<std::uint32_t>();
      if (same > last_listings.size()) return false;
      const std::string_view text = same == 0 ? take.text() : std::string_view(last_listings[same - 1].text);
      all += listing.command.size() + text.size();
      if (all > kMaxCapture) return false;  // small references to a large text, many times
      listing.text = text;
      capture.listings.push_back(std::move(listing));
    }
    left = take.number<std::uint32_t>();
    if (left > kMaxListings) return false;
    for (; left > 0 && take.ok(); --left) capture.problems.emplace_back(take.text());
    if (!take.ok()) return false;
    if (listener.capture) listener.capture(capture);
    last_listings = std::move(capture.listings);
    return true;
  }

  void push(std::string_view chunk) {
    bytes += chunk.size();
    while (!chunk.empty() && awaits != Awaits::Nothing) {
      if (skip > 0) {
        const std::size_t part = std::min<std::uint64_t>(skip, chunk.size());
        chunk.remove_prefix(part);
        offset += part;
        skip -= part;
        continue;
      }
      const std::size_t part = std::min(wanted - carry.size(), chunk.size());
      offset += part;
      if (carry.empty() && part == wanted) {  // all in one piece: no copy
        const std::string_view whole = chunk.substr(0, part);
        chunk.remove_prefix(part);
        take(whole);
        continue;
      }
      carry.append(chunk.substr(0, part));
      chunk.remove_prefix(part);
      if (carry.size() < wanted) return;
      const std::string whole = std::move(carry);
      carry.clear();
      take(whole);
    }
  }
};

RecordingReader::RecordingReader(base::Names& names, Sink& sink, RecordingListener listener, Sink* kernel_log)
    : impl_(std::make_unique<Impl>(names, sink, std::move(listener),
                                   kernel_log == nullptr ? sink : *kernel_log)) {}
RecordingReader::~RecordingReader() = default;

bool RecordingReader::looks_like(std::string_view first_bytes) {
  return first_bytes.starts_with(kMagicOfAll);
}

void RecordingReader::begin(std::uint32_t source) {
  Impl& in = *impl_;
  in.source = source;
  in.carry.clear();
  in.skip = in.offset = in.record_at = 0;
  in.has_head = in.has_end = false;
  in.refusal.reset();
  in.devices.clear();
  in.netlink.forget_devices();
  in.netlink.begin();
  in.last_listings.clear();
  in.await(Impl::Awaits::Magic, kMagic.size());
  in.log.begin(source);
}

void RecordingReader::push(std::string_view chunk) { impl_->push(chunk); }

void RecordingReader::finish() {
  Impl& in = *impl_;
  if (in.awaits == Impl::Awaits::Magic) {
    in.refuse(looks_like(in.carry) || kMagicOfAll.starts_with(in.carry)
                  ? "the recording is cut in its first line"
                  : "this is no recording of fwtrace");
  } else if (in.awaits != Impl::Awaits::Nothing && !in.has_end) {
    in.report(
        base::Severity::Warning, "cut-recording",
        "the recording ends early: no end record in its " + base::with_commas(in.offset) + " bytes",
        {"fwtrace was killed, the disk was full, or the file was cut: its last packets may be incomplete"});
  } else if (in.awaits != Impl::Awaits::Nothing && (!in.carry.empty() || in.skip > 0)) {
    in.record_at = in.offset - in.carry.size();
    in.damaged("there are bytes behind the last record");
  }
  in.awaits = Impl::Awaits::Nothing;
  in.log.finish();
}

const std::optional<base::Error>& RecordingReader::refusal() const { return impl_->refusal; }
bool RecordingReader::complete() const { return impl_->has_end; }
std::uint64_t RecordingReader::bytes() const { return impl_->bytes; }
std::uint64_t RecordingReader::records() const { return impl_->records; }
const NetlinkEvents& RecordingReader::netlink() const { return impl_->netlink; }
const LogReader& RecordingReader::kernel_log() const { return impl_->log; }

}  // namespace fwtrace::trace
