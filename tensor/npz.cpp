#include "tensor/npz.h"

#include <zlib.h>

#include "tensor/file.h"
#include "tensor/npy.h"

namespace dgp {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;  // of one array, unpacked
constexpr size_t kEndSize = 22, kEntrySize = 46, kLocalSize = 30;

// ZIP's records as its APPNOTE numbers their bytes.
class Archive {
 public:
  Archive(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::map<std::string, Tensor> arrays() const {
    const size_t end = find_end();
    const uint64_t count = number(end + 10, 2), begin = number(end + 16, 4);
    require(number(end + 4, 2) == 0 && number(end + 8, 2) == count, "a part of a split archive");
    require(count != 0xffff && begin != 0xffffffff, "ZIP64, which is not supported");
    std::map<std::string, Tensor> found;
    size_t at = begin;
    for (uint64_t i = 0; i < count; ++i) {
      require(number(at, 4) == 0x02014b50, "entry ", i, " of the directory does not begin as one");
      const size_t length = number(at + 28, 2);
      std::string file(part(at + kEntrySize, length));
      require(file.ends_with(".npy"), "'", file.substr(0, 40), "' is no .npy file");
      file.resize(file.size() - 4);
      require(found.emplace(file, parse_npy(content(at, file), name_ + ": " + file)).second, "'", file,
              "' is there twice");
      at += kEntrySize + length + number(at + 30, 2) + number(at + 32, 2);
    }
    return found;
  }

 private:
  template <class... Parts>
  void require(bool ok, const Parts&... parts) const {
    if (!ok) fail(ErrorCode::bad_file, name_, ": not a valid .npz file: ", parts...);
  }
  std::string_view part(size_t at, uint64_t count) const {
    require(at <= bytes_.size() && count <= bytes_.size() - at, "it ends early");
    return bytes_.substr(at, count);
  }
  uint64_t number(size_t at, size_t size) const {
    uint64_t value = 0;
    const std::string_view digits = part(at, size);
    for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(digits[i]);
    return value;
  }

  // The record at the end, before which a comment of at most 65535 bytes may stand.
  size_t find_end() const {
    for (size_t back = kEndSize; back <= bytes_.size() && back <= kEndSize + 0xffff; ++back)
      if (number(bytes_.size() - back, 4) == 0x06054b50) return bytes_.size() - back;
    fail(ErrorCode::bad_file, name_, ": not a valid .npz file: expected a ZIP archive");
  }

  std::string content(size_t entry, const std::string& file) const {
    const uint64_t flags = number(entry + 8, 2), method = number(entry + 10, 2), crc = number(entry + 16, 4);
    const uint64_t packed = number(entry + 20, 4), size = number(entry + 24, 4);
    const size_t local = number(entry + 42, 4);
    require((flags & 1) == 0, "'", file, "' is encrypted");
    require(size <= kMostBytes, "'", file, "' unpacks to ", size, " bytes, at most ", kMostBytes,
            " are read");
    require(number(local, 4) == 0x04034b50, "'", file, "' is not where the directory says");
    const std::string_view data =
        part(local + kLocalSize + number(local + 26, 2) + number(local + 28, 2), packed);
    require(method == 0 || method == 8, "'", file, "' is packed by method ", method,
            ", neither stored nor deflated");
    std::string content = method == 0 ? std::string(data) : inflated(data, size, file);
    require(content.size() == size && crc32(content.data(), size) == crc, "'", file, "' is damaged");
    return content;
  }

  std::string inflated(std::string_view data, uint64_t size, const std::string& file) const {
    std::string out(size, '\0');
    z_stream stream{};
    if (inflateInit2(&stream, -15) != Z_OK) fail(ErrorCode::limit, name_, ": out of memory");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = inflate(&stream, Z_FINISH);
    const bool whole = status == Z_STREAM_END && stream.avail_out == 0;
    inflateEnd(&stream);
    require(whole, "'", file, "' is damaged");
    return out;
  }

  std::string_view bytes_;
  const std::string& name_;
};

}  // namespace

std::map<std::string, Tensor> parse_npz(std::string_view bytes, const std::string& name) {
  return Archive(bytes, name).arrays();
}

std::map<std::string, Tensor> read_npz(const std::string& path) { return parse_npz(read_file(path), path); }

}  // namespace dgp
