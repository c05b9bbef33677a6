// Dialect: the kernel log's own TRACE lines, "TRACE: filter:FORWARD:rule:7 IN=em1 OUT=virbr1 …"
// (kernel: net/ipv4/netfilter/ip_tables.c trace_packet, net/netfilter/nf_log_syslog.c).
//
// Consecutive lines of one packet mostly repeat the same headers byte for byte. So the last few packet texts are
// remembered with what was read from them, and most lines cost one memcmp instead of a parse.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/names.h"
#include "trace/dialect.h"
#include "trace/kernel_packet.h"

namespace fwtrace::trace {

class KernelLine {
 public:
  KernelLine(base::Names& names, Sink& sink) : names_(names), sink_(sink) {}

  // Where the next record stands: `begin` where "TRACE:" does (what stands before is the wrapper), `head` where
  // "table:chain:rule:7 " does, or a damaged beginning of that. Both npos if there is none. At the start of a
  // search a head without TRACE: is found, too, if a packet follows it (people cut the word off).
  struct Found {
    std::size_t begin = std::string_view::npos, head = std::string_view::npos;
    explicit operator bool() const { return head != std::string_view::npos; }
  };
  static Found find(std::string_view text, std::size_t from = 0);
  // Does a whole head stand here? Cheap for heads seen before.
  bool is_head(std::string_view text) { return find_head(text) != nullptr; }
  // Is this the beginning of a record that ends before its head does ("… TRACE:", "… TRACE: raw:PRERO")?
  static bool is_cut_in_head(std::string_view text);

  // Reads every record of a line; line.body is where the first one's head begins.
  LineKind line(const Line& line);

  // A record whose end is missing is held back until the next line shows whether that continues it.
  bool pending() const { return pending_; }
  bool continues(std::string_view text) const;
  void add_continuation(std::string_view text);
  void finish();  // gives what was held back

 private:
  struct Head {
    EventKind kind = EventKind::Rule;
    std::string_view table, chain;
    std::uint32_t number = 0;
    std::size_t end = 0;  // where the packet's text begins
  };
  struct Known {  // a packet text and what was read from it
    std::string text;
    packet::Packet packet;
    std::uint64_t form = 0;
  };

  static bool read_head(std::string_view text, Head& head);
  // As read_head, with the names interned; remembers the last few heads.
  struct KnownHead {
    std::string text;
    Head head;
    base::Name table, chain;
    bool iptables_table = true;
  };
  const KnownHead* find_head(std::string_view text);
  // Reads one record at line.body; returns where the next begins, or npos. Sets `held` if it was held back.
  std::size_t record(const Line& line, bool may_hold, bool& held, bool& read);
  void forget_cut_fields(std::string_view text, bool at_line_end, packet::Packet& packet);
  void tell(const Line& line, std::size_t packet_at, std::string_view rest, const PacketScan& scan,
            const packet::Packet& packet);
  void read_held(bool may_hold);
  void emit(const Line& line, const KnownHead& known, const packet::Packet& packet, std::uint64_t form);
  void complain(const Line& line, std::size_t at, base::Severity severity, std::string_view code,
                std::string message);

  base::Names& names_;
  Sink& sink_;
  std::array<Known, 8> known_;
  std::vector<KnownHead> heads_ = std::vector<KnownHead>(1024);
  std::size_t newest_ = 0;
  std::uint64_t forms_ = 0;

  std::set<std::string> told_tables_;  // unknown ones, each said once

  bool pending_ = false;
  std::string held_text_;  // the whole line; held_.body is where its last record's head begins
  Line held_;
};

}  // namespace fwtrace::trace
