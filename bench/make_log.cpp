// Writes a long kernel TRACE log for measurements: bench_make_log BYTES TEMPLATE... > log
//
// The templates are recorded logs (tests/fixtures, syslog or kmsg). They are cut into packets; each packet is written
// again and again, every time with another client address, client port, IP id, sequence numbers and time, the same in
// all its lines. Each template is a host of its own in the log. One packet in ten runs on the other CPU at the same time as
// its neighbour, so that their lines mix, and about one line in 150 is not of netfilter. Equal arguments give equal bytes.

#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

enum class Slot : std::uint8_t { Address, Port, Id, Sequence };

struct Piece {
  std::string literal;  // before the slot
  int slot = -1;        // index into Packet::slots; -1: nothing behind the literal
};
using Line = std::vector<Piece>;

struct Packet {
  std::vector<Slot> slots;
  std::vector<std::string> prefixes;  // of an Address: its first two bytes, "10.36."
  std::vector<Line> lines;
};

struct Host {
  std::string name;
  std::vector<Packet> packets;
};

// xorshift64*
class Random {
 public:
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL;
  }
  std::uint64_t below(std::uint64_t limit) { return (next() >> 16) % limit; }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C15ULL;
};

void append(std::string& out, std::uint64_t value) {
  std::array<char, 20> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_padded(std::string& out, std::uint64_t value, std::size_t width, char with) {
  const std::size_t before = out.size();
  append(out, value);
  if (out.size() - before < width) out.insert(before, width - (out.size() - before), with);
}

std::string_view value_of(std::string_view text, std::string_view name) {
  const std::size_t at = text.find(name);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + name.size();
  return text.substr(begin, text.find(' ', begin) - begin);
}

// Only clients move: the addresses that the rulesets of the templates name stay.
bool is_client(std::string_view address) {
  return address == "10.36.7.11" || address == "10.81.1.2" || address == "10.80.1.2";
}

class Cutter {
 public:
  explicit Cutter(Packet& packet) : packet_(packet) {}

  void add(std::string_view text) {
    Line line;
    std::string literal;
    std::size_t at = 0;
    while (at < text.size()) {
      const std::size_t end = std::min(text.find_first_of(" [", at), text.size() - 1) + 1;
      const std::string_view word = text.substr(at, end - at);
      at = end;
      const std::size_t equals = word.find('=');
      const std::string_view name = word.substr(0, equals == std::string_view::npos ? 0 : equals);
      std::string_view value =
          equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
      const std::size_t size = value.find_first_of(" ]");
      const std::string_view tail = size == std::string_view::npos ? std::string_view() : value.substr(size);
      value = value.substr(0, size);
      const int slot = slot_of(name, value);
      if (slot < 0) {
        literal += word;
        continue;
      }
      literal.append(name).append("=");
      line.push_back({literal, slot});
      literal = tail;
    }
    line.push_back({literal + "\n", -1});
    packet_.lines.push_back(std::move(line));
  }

 private:
  int slot_of(std::string_view name, std::string_view value) {
    if (name == "SRC" || name == "DST") {
      if (!is_client(value)) return -1;
      const std::size_t second = value.find('.', value.find('.') + 1);
      return find(Slot::Address, value, std::string(value.substr(0, second + 1)));
    }
    if (value.empty() || value == "0") return -1;
    if (name == "ID") return find(Slot::Id, value, {});
    if (name == "SEQ" || name == "ACK") return value.size() > 5 ? find(Slot::Sequence, value, {}) : -1;
    if ((name == "SPT" || name == "DPT") && std::atoi(std::string(value).c_str()) >= 32768)
      return find(Slot::Port, value, {});
    return -1;
  }

  int find(Slot slot, std::string_view value, std::string prefix) {
    const auto [entry, added] =
        known_.try_emplace({slot, std::string(value)}, static_cast<int>(packet_.slots.size()));
    if (added) {
      packet_.slots.push_back(slot);
      packet_.prefixes.push_back(std::move(prefix));
    }
    return entry->second;
  }

  Packet& packet_;
  std::map<std::pair<Slot, std::string>, int> known_;
};

// Consecutive lines of one packet: NAT and TTL change on the way, these do not.
std::string identity(std::string_view text) {
  std::string id(value_of(text, " ID="));
  return id.append("/").append(value_of(text, "PROTO=")).append("/").append(value_of(text, "SEQ="));
}

Host read_template(const std::string& path, std::string name) {
  Host host{std::move(name), {}};
  std::ifstream in(path);
  if (!in) {
    std::fprintf(stderr, "bench_make_log: cannot read \"%s\"\n", path.c_str());
    std::exit(2);
  }
  std::vector<std::vector<std::string>> packets;
  std::string last;
  for (std::string line; std::getline(in, line);) {
    const std::size_t at = line.find("TRACE: ");
    if (at == std::string::npos) continue;
    std::string text = line.substr(at);
    if (std::string id = identity(text); packets.empty() || id != last) {
      packets.emplace_back();
      last = std::move(id);
    }
    packets.back().push_back(std::move(text));
  }
  for (const auto& lines : packets) {
    Packet packet;
    Cutter cutter(packet);
    for (const std::string& line : lines) cutter.add(line);
    host.packets.push_back(std::move(packet));
  }
  return host;
}

constexpr std::array<std::string_view, 4> kForeign = {
    "sshd[1022]: Accepted publickey for admin from 10.36.7.9 port 51522 ssh2\n",
    "systemd[1]: Started Daily apt download activities.\n",
    "kernel: virbr1: port 2(vnet1) entered forwarding state\n",
    "dnsmasq-dhcp[871]: DHCPACK(virbr1) 192.168.101.10 52:54:00:1f:6b:02 guest\n",
};

class Writer {
 public:
  Writer(const std::vector<Host>& hosts, std::uint64_t bytes) : hosts_(hosts), bytes_(bytes) {}

  void run() {
    while (written_ + out_.size() < bytes_) {
      const Host& host = hosts_[random_.below(hosts_.size())];
      for (std::uint64_t burst = 1 + random_.below(8); burst > 0; --burst) {
        clock_ += 50 + random_.below(2000);
        if (random_.below(10) == 0) {
          write_two(host);
        } else {
          Moving packet = choose(host);
          while (packet.line < packet.packet->lines.size()) write_line(host, packet);
        }
      }
      if (out_.size() > (1U << 20)) flush();
    }
    flush();
  }

 private:
  struct Moving {
    const Packet* packet = nullptr;
    std::size_t line = 0;
    std::vector<std::string> values;
  };

  Moving choose(const Host& host) {
    Moving moving;
    moving.packet = &host.packets[random_.below(host.packets.size())];
    for (std::size_t i = 0; i < moving.packet->slots.size(); ++i) {
      std::string value;
      switch (moving.packet->slots[i]) {
        case Slot::Address:
          value = moving.packet->prefixes[i];
          append(value, random_.below(256));
          value += '.';
          append(value, 1 + random_.below(254));
          break;
        case Slot::Port: append(value, 32768 + random_.below(28232)); break;
        case Slot::Id: append(value, 1 + random_.below(65535)); break;
        case Slot::Sequence: append(value, 1 + random_.below(0xffffffffU)); break;
      }
      moving.values.push_back(std::move(value));
    }
    return moving;
  }

  void write_two(const Host& host) {
    Moving one = choose(host), two = choose(host);
    while (one.line < one.packet->lines.size() || two.line < two.packet->lines.size()) {
      const bool first = two.line >= two.packet->lines.size() ||
                         (one.line < one.packet->lines.size() && random_.below(2) == 0);
      write_line(host, first ? one : two);
    }
  }

  void write_stamp(const Host& host) {
    const std::uint64_t seconds = clock_ / 1'000'000;
    if (seconds != stamp_second_) {
      stamp_second_ = seconds;
      // From Nov 1 on; a GB is some twenty minutes.
      const std::uint64_t day = 1 + seconds / 86400;
      stamp_ = "Nov ";
      append_padded(stamp_, day, 2, ' ');
      stamp_ += ' ';
      append_padded(stamp_, seconds / 3600 % 24, 2, '0');
      stamp_ += ':';
      append_padded(stamp_, seconds / 60 % 60, 2, '0');
      stamp_ += ':';
      append_padded(stamp_, seconds % 60, 2, '0');
      stamp_ += ' ';
    }
    out_.append(stamp_).append(host.name).append(" ");
  }

  void write_line(const Host& host, Moving& moving) {
    clock_ += 4 + random_.below(9);
    if (random_.below(150) == 0) {
      write_stamp(host);
      out_ += kForeign[random_.below(kForeign.size())];
    }
    write_stamp(host);
    out_ += "kernel: [";
    append_padded(out_, clock_ / 1'000'000, 5, ' ');
    out_ += '.';
    append_padded(out_, clock_ % 1'000'000, 6, '0');
    out_ += "] ";
    for (const Piece& piece : moving.packet->lines[moving.line]) {
      out_ += piece.literal;
      if (piece.slot >= 0) out_ += moving.values[static_cast<std::size_t>(piece.slot)];
    }
    ++moving.line;
  }

  void flush() {
    std::string_view rest = out_;
    while (!rest.empty()) {
      const ssize_t n = ::write(STDOUT_FILENO, rest.data(), rest.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        std::perror("bench_make_log");
        std::exit(1);
      }
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    written_ += out_.size();
    out_.clear();
  }

  const std::vector<Host>& hosts_;
  std::uint64_t bytes_, written_ = 0;
  std::uint64_t clock_ = 47'401'000'000;  // microseconds: both the time of day and the uptime
  std::uint64_t stamp_second_ = 0;
  std::string stamp_, out_;
  Random random_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_make_log BYTES TEMPLATE... >log\n");
    return 2;
  }
  std::vector<Host> hosts;
  for (int i = 2; i < argc; ++i) {
    std::string name = "router";
    if (i > 2) append(name, static_cast<std::uint64_t>(i - 1));
    hosts.push_back(read_template(argv[i], std::move(name)));
  }
  Writer(hosts, std::strtoull(argv[1], nullptr, 10)).run();
}
