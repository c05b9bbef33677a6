#include "base/input.h"

#include <archive.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace fwtrace::base {
namespace {

constexpr std::size_t kChunk = 256 * 1024;

// gzip has zlib of its own here: libarchive does not check its sums, and a log with wrong bytes in it is worse than none.
bool is_gzip(std::string_view head) { return head.starts_with("\x1f\x8b"); }

bool is_compressed(std::string_view head) {
  using namespace std::string_view_literals;
  for (const std::string_view magic : {"\x1f\x8b"sv,
                                       "\xfd"
                                       "7zXZ\0"sv,
                                       "\x28\xb5\x2f\xfd"sv, "BZh"sv, "\x04\x22\x4d\x18"sv, "\x1f\x9d"sv}) {
    if (head.starts_with(magic)) return true;
  }
  return false;
}

}  // namespace

struct Input::Impl {
  std::string name;
  int fd = -1;
  bool owns_fd = false;
  std::uint64_t size = 0;
  std::uint64_t consumed = 0;
  std::vector<char> buffer = std::vector<char>(kChunk);
  std::size_t held = 0;  // bytes at the front of buffer that were read while sniffing, not yet given out
  struct archive* unpacker = nullptr;
  std::vector<char> unpacked;
  z_stream inflater{};
  bool inflating = false, member_done = false;

  ~Impl() {
    if (unpacker != nullptr) archive_read_free(unpacker);
    if (inflating) inflateEnd(&inflater);
    if (owns_fd) ::close(fd);
  }

  ssize_t read_some(char* to, std::size_t room) {
    while (true) {
      const ssize_t n = ::read(fd, to, room);
      if (n >= 0) {
        consumed += static_cast<std::uint64_t>(n);
        return n;
      }
      if (errno != EINTR) return -1;
    }
  }

  Result<std::string_view> read_error() const {
    const int error = errno;
    if (error == EISDIR)
      return fail(ErrorKind::Input, "\"" + name + "\" is a directory", {"name the log files in it"});
    return fail(ErrorKind::Input, "cannot read \"" + name + "\": " + std::strerror(error));
  }

  // What libarchive calls for more packed bytes.
  static la_ssize_t feed(struct archive* a, void* self, const void** data) {
    auto* in = static_cast<Impl*>(self);
    std::size_t have = std::exchange(in->held, 0);
    if (have == 0) {
      const ssize_t n = in->read_some(in->buffer.data(), in->buffer.size());
      if (n < 0) {
        archive_set_error(a, errno, "%s", std::strerror(errno));
        return ARCHIVE_FATAL;
      }
      have = static_cast<std::size_t>(n);
    }
    *data = in->buffer.data();
    return static_cast<la_ssize_t>(have);
  }

  Result<std::string_view> damaged(const std::string& why) const {
    return fail(ErrorKind::Input, "\"" + name + "\" is damaged: " + why,
                {"what could be read before the damage has been used"});
  }

  // The next unpacked bytes of a gzip file, which may hold several members one after the other.
  Result<std::string_view> inflate_some() {
    inflater.next_out = reinterpret_cast<Bytef*>(unpacked.data());
    inflater.avail_out = static_cast<uInt>(unpacked.size());
    while (inflater.avail_out == unpacked.size()) {
      if (inflater.avail_in == 0) {
        const std::size_t sniffed = std::exchange(held, 0);
        const ssize_t n =
            sniffed > 0 ? static_cast<ssize_t>(sniffed) : read_some(buffer.data(), buffer.size());
        if (n < 0) return read_error();
        if (n == 0) {
          if (member_done) return std::string_view();
          return damaged("it ends in the middle (truncated)");
        }
        inflater.next_in = reinterpret_cast<Bytef*>(buffer.data());
        inflater.avail_in = static_cast<uInt>(n);
      }
      if (member_done) {
        if (*inflater.next_in != 0x1f) return damaged("something else follows the packed data");
        if (inflateReset(&inflater) != Z_OK) return damaged("cannot unpack it");
        member_done = false;
      }
      const int code = ::inflate(&inflater, Z_NO_FLUSH);
      const std::size_t got = unpacked.size() - inflater.avail_out;
      if (code == Z_STREAM_END) {
        member_done = true;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        if (got > 0) break;  // give what is good; the next call meets the damage again
        return damaged(inflater.msg != nullptr ? inflater.msg : "cannot unpack it");
      }
    }
    return std::string_view(unpacked.data(), unpacked.size() - inflater.avail_out);
  }

  Result<std::string_view> unpack_error() const {
    return fail(
        ErrorKind::Input,
        "\"" + name + "\" is damaged: " +
            std::string(archive_error_string(unpacker) ? archive_error_string(unpacker) : "cannot unpack it"),
        {"what could be read before the damage has been used"});
  }
};

Input::Input(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Input::Input(Input&&) noexcept = default;
Input& Input::operator=(Input&&) noexcept = default;
Input::~Input() = default;
const std::string& Input::name() const { return impl_->name; }
std::uint64_t Input::size_on_disk() const { return impl_->size; }
std::uint64_t Input::consumed() const { return impl_->consumed; }

Result<Input> Input::open(const std::string& path, int standard_input) {
  if (path == "-") return of(standard_input, "stdin");
  auto impl = std::make_unique<Impl>();
  impl->name = path;
  impl->fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  impl->owns_fd = impl->fd >= 0;
  if (impl->fd < 0) {
    const int error = errno;
    std::vector<std::string> hints;
    if (error == EACCES) hints = {"logs often belong to root or to the group adm: try with sudo"};
    if (error == ENOENT && path.find_first_of("*?[") != std::string::npos)
      return fail(ErrorKind::Input, "no file matches \"" + path + "\"");
    if (error == ENOENT) hints = {"is the name right? \"-\" reads standard input"};
    return fail(ErrorKind::Input, "cannot open \"" + path + "\": " + std::strerror(error), hints);
  }
  return start(std::move(impl));
}

Result<Input> Input::of(int fd, std::string name) {
  auto impl = std::make_unique<Impl>();
  impl->name = std::move(name);
  impl->fd = fd;
  return start(std::move(impl));
}

Result<Input> Input::start(std::unique_ptr<Impl> impl) {
  struct stat info{};
  if (::fstat(impl->fd, &info) == 0) {
    if (S_ISDIR(info.st_mode))
      return fail(ErrorKind::Input, "\"" + impl->name + "\" is a directory", {"name the log files in it"});
    if (S_ISREG(info.st_mode)) impl->size = static_cast<std::uint64_t>(info.st_size);
  }
  // Sniff the magic; a pipe may give less than six bytes at once.
  while (impl->held < 6) {
    const ssize_t n = impl->read_some(impl->buffer.data() + impl->held, impl->buffer.size() - impl->held);
    if (n < 0) return std::unexpected(impl->read_error().error());
    if (n == 0) break;
    impl->held += static_cast<std::size_t>(n);
  }
  if (is_gzip({impl->buffer.data(), impl->held})) {
    impl->unpacked.resize(kChunk);
    if (inflateInit2(&impl->inflater, 16 + MAX_WBITS) != Z_OK)  // 16: gzip's header and sums
      return std::unexpected(impl->damaged("cannot unpack it").error());
    impl->inflating = true;
  } else if (is_compressed({impl->buffer.data(), impl->held})) {
    impl->unpacker = archive_read_new();
    archive_read_support_filter_all(impl->unpacker);
    archive_read_support_format_raw(impl->unpacker);
    archive_read_support_format_empty(impl->unpacker);  // an empty log, compressed
    impl->unpacked.resize(kChunk);
    struct archive_entry* entry = nullptr;
    if (archive_read_open(impl->unpacker, impl.get(), nullptr, &Impl::feed, nullptr) != ARCHIVE_OK ||
        archive_read_next_header(impl->unpacker, &entry) != ARCHIVE_OK)
      return std::unexpected(impl->unpack_error().error());
  }
  return Input(std::move(impl));
}

Result<std::string_view> Input::read() {
  if (impl_->inflating) return impl_->inflate_some();
  if (impl_->unpacker != nullptr) {
    const la_ssize_t n = archive_read_data(impl_->unpacker, impl_->unpacked.data(), impl_->unpacked.size());
    if (n < 0) return impl_->unpack_error();
    return std::string_view(impl_->unpacked.data(), static_cast<std::size_t>(n));
  }
  if (const std::size_t held = std::exchange(impl_->held, 0); held > 0)
    return std::string_view(impl_->buffer.data(), held);
  const ssize_t n = impl_->read_some(impl_->buffer.data(), impl_->buffer.size());
  if (n < 0) return impl_->read_error();
  return std::string_view(impl_->buffer.data(), static_cast<std::size_t>(n));
}

Result<std::string> read_whole(const std::string& path, int standard_input, std::uint64_t limit) {
  TRY(Input input, Input::open(path, standard_input));
  std::string text;
  while (true) {
    TRY(const std::string_view chunk, input.read());
    if (chunk.empty()) return text;
    if (text.size() + chunk.size() > limit)
      return fail(ErrorKind::Input,
                  "\"" + input.name() + "\" is longer than " + std::to_string(limit >> 20) + " MiB");
    text.append(chunk);
  }
}

}  // namespace fwtrace::base
