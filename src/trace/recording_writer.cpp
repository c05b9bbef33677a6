#include <algorithm>
#include <bit>
#include <cstring>

#include "base/text.h"
#include "trace/recording.h"
#include "trace/recording_form.h"

namespace fwtrace::trace {

using namespace recording;

bool RecordingHead::is_little_endian() { return std::endian::native == std::endian::little; }

RecordingWriter::RecordingWriter(base::Output& out, const RecordingHead& head) : out_(out) {
  out_.append(kMagic);
  bytes_ += kMagic.size();
  RecordedFacts facts{{"fwtrace", head.version},
                      {"host", head.host},
                      {"kernel", head.kernel},
                      {"machine", head.machine},
                      {"byte order", head.little_endian ? "little" : "big"}};
  for (const std::string& word : head.words) facts.emplace_back("word", word);
  facts.insert(facts.end(), head.facts.begin(), head.facts.end());
  payload_.clear();
  put_facts(payload_, facts);
  record(kHead, head.start, payload_);
}

RecordingWriter::~RecordingWriter() { flush(); }

void RecordingWriter::give_held() {
  if (held_.empty()) return;
  out_.append(held_);
  held_.clear();
}

void RecordingWriter::record(std::string_view tag, const base::Stamp& time, std::string_view payload) {
  give_held();
  std::string& to = out_.buffer();
  to += tag;
  put(to, static_cast<std::uint32_t>(payload.size()));
  put(to, to_wire(time));
  to += payload;
  bytes_ += kHeader + payload.size();
  out_.wrote();
}

void RecordingWriter::datagram(Bytes bytes, const base::Stamp& time) {
  if (bytes.empty() || bytes.size() > kMaxDatagram) return;  // neither comes from the kernel
  give_held();
  held_ += kDatagram;
  put(held_, static_cast<std::uint32_t>(bytes.size()));
  put(held_, to_wire(time));
  held_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  bytes_ += held_.size();
}

void RecordingWriter::kernel_log(std::string_view text, const base::Stamp& time) {
  while (!text.empty()) {
    const std::string_view part = text.substr(0, kMaxRecord);
    record(kKernelLog, time, part);
    text.remove_prefix(part.size());
  }
}

void RecordingWriter::device(std::uint32_t index, std::string_view name, const base::Stamp& time) {
  const auto [known, added] = devices_.try_emplace(index, name);
  if (!added && known->second == name) return;
  known->second = name;
  payload_.clear();
  put(payload_, index);
  payload_ += name.substr(0, base::Names::kMaxLength);
  std::string datagram = std::move(held_);
  held_.clear();
  record(kLink, time, payload_);
  held_ = std::move(datagram);
}

void RecordingWriter::loss(std::uint64_t messages, const base::Stamp& time) {
  payload_.clear();
  put(payload_, messages);
  record(kLoss, time, payload_);
}

void RecordingWriter::generation(std::uint32_t generation, const base::Stamp& time) {
  payload_.clear();
  put(payload_, generation);
  record(kGeneration, time, payload_);
}

void RecordingWriter::capture(const RecordedCapture& capture) {
  constexpr std::size_t kRoomForRest = 1U << 20;  // commands, problems
  std::vector<RecordedCapture::Listing> listings = capture.listings;
  std::vector<std::string> problems = capture.problems;
  if (listings.size() > kMaxListings) listings.resize(kMaxListings);
  if (problems.size() > kMaxListings / 2) problems.resize(kMaxListings / 2);
  std::size_t texts = 0;  // what the reader will have in memory
  for (RecordedCapture::Listing& listing : listings) {
    if (texts + listing.text.size() + kRoomForRest > kMaxCapture) {
      problems.push_back(listing.command + ": " + base::with_commas(listing.text.size() >> 20) +
                         " MiB are too long for a recording");
      listing.text.clear();
    }
    texts += listing.text.size();
  }

  std::string payload;
  put(payload, capture.generation_before);
  put(payload, capture.generation_after);
  put(payload, capture.begun);
  put(payload, static_cast<std::uint32_t>(listings.size()));
  for (const RecordedCapture::Listing& listing : listings) {
    put_text(payload, listing.command);
    const auto same = std::ranges::find(last_listings_, listing.text, &RecordedCapture::Listing::text);
    const bool is_new = same == last_listings_.end();
    put(payload, is_new ? 0U : static_cast<std::uint32_t>(same - last_listings_.begin()) + 1);
    if (is_new) put_text(payload, listing.text);
  }
  put(payload, static_cast<std::uint32_t>(problems.size()));
  for (const std::string& problem : problems) put_text(payload, problem);
  record(kRules, capture.time, payload);
  last_listings_ = std::move(listings);
}

void RecordingWriter::end(const RecordingEnd& end) {
  RecordedFacts facts{{"stopped by", end.stopped_by}, {"drops", std::to_string(end.drops)}};
  if (end.matched) facts.emplace_back("matched", std::to_string(*end.matched));
  if (end.armed) facts.emplace_back("armed", std::to_string(*end.armed));
  facts.insert(facts.end(), end.facts.begin(), end.facts.end());
  payload_.clear();
  put_facts(payload_, facts);
  record(kDone, end.time, payload_);
  flush();
}

void RecordingWriter::flush() {
  give_held();
  out_.flush();
}

std::optional<base::Error> RecordingWriter::take_problem() {
  if (problem_told_ || out_.write_error() == 0) return std::nullopt;
  problem_told_ = true;
  return base::Error{
      base::ErrorKind::Input,
      std::string("the recording cannot be written any more: ") + std::strerror(out_.write_error()),
      {"what it holds so far can be read; tracing goes on"}};
}

}  // namespace fwtrace::trace
