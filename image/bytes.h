// A file's bytes with every access checked: the ground on which the decoders of this folder stand.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "image/image.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace dgp {

class Bytes {
 public:
  Bytes(std::string_view bytes, std::string name)
      : bytes_(bytes), size_(static_cast<int64_t>(bytes.size())), name_(std::move(name)) {}

  // A file that is read piece by piece: what at() and text() return holds until the next of them is called.
  Bytes(const std::string& path, int64_t max_bytes)
      : window_(std::make_shared<Window>(path, max_bytes)), size_(window_->file.size()), name_(path) {}

  int64_t size() const { return size_; }
  const std::string& name() const { return name_; }

  // Throws unless [offset, offset + count) lies in the file.
  void need(int64_t offset, int64_t count) const {
    if (offset < 0 || count < 0 || offset > size() || count > size() - offset)
      refuse("ends too early: ", count, " bytes expected at byte ", offset, ", the file has ", size());
  }
  const uint8_t* at(int64_t offset, int64_t count) const {
    need(offset, count);
    const char* from = window_ ? window_->at(offset, count, size_) : bytes_.data() + offset;
    return reinterpret_cast<const uint8_t*>(from);
  }
  std::string_view text(int64_t offset, int64_t count) const {
    return {reinterpret_cast<const char*>(at(offset, count)), static_cast<size_t>(count)};
  }
  bool starts_with(std::string_view prefix) const {
    auto count = static_cast<int64_t>(prefix.size());
    return size_ >= count && text(0, count) == prefix;
  }

  int64_t u8(int64_t o) const { return *at(o, 1); }
  int64_t u16be(int64_t o) const { return u8(o) << 8 | u8(o + 1); }
  int64_t u32be(int64_t o) const { return u16be(o) << 16 | u16be(o + 2); }
  int64_t u16le(int64_t o) const { return u8(o) | u8(o + 1) << 8; }
  int64_t u32le(int64_t o) const { return u16le(o) | u16le(o + 2) << 16; }

  // "photo.png: <parts>; <advice>"
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::bad_file, name_, ": ", parts..., "; the file is damaged: fetch or export it again");
  }
  template <class... Parts>
  [[noreturn]] void unsupported(const Parts&... parts) const {
    fail(ErrorCode::bad_file, name_, ": ", parts...,
         " is not supported; convert it to an ordinary PNG or JPEG");
  }
  template <class... Parts>
  void expect(bool ok, const Parts&... parts) const {
    if (!ok) [[unlikely]]
      refuse(parts...);
  }

  // Refuses sizes of zero, past kMaxSide, or of more than max_pixels.
  void check_size(int64_t width, int64_t height, int64_t max_pixels) const {
    expect(width > 0 && height > 0, "has a size of ", width, "x", height, ", expected at least 1x1");
    if (width > kMaxSide || height > kMaxSide || width * height > max_pixels)
      fail(ErrorCode::bad_file, name_, ": is ", width, "x", height, " pixels, expected at most ", kMaxSide,
           " a side and ", max_pixels, " in all; cut it into parts or shrink it");
  }

 private:
  struct Window {
    FileReader file;
    std::string bytes = {};  // of the file, from `first`
    int64_t first = 0;

    Window(const std::string& path, int64_t max_bytes) : file(path, max_bytes) {}
    const char* at(int64_t offset, int64_t count, int64_t size) {
      constexpr int64_t kLeast = int64_t{1} << 16;
      if (offset < first || offset + count > first + static_cast<int64_t>(bytes.size())) {
        bytes.resize(static_cast<size_t>(std::min(std::max(count, kLeast), size - offset)));
        first = offset;
        file.read(first, bytes.data(), bytes.size());
      }
      return bytes.data() + (offset - first);
    }
  };

  std::string_view bytes_;
  std::shared_ptr<Window> window_;  // or the bytes are in memory
  int64_t size_;
  std::string name_;
};

// What a decoder gives: u8 [H,W,C] at depth 8, f32 [H,W,C] in [0,1] at depth 16.
struct Decoded {
  Tensor pixels;
  int depth = 8;
};

// A picture's rows decoded one after the other, from a file that need not be in memory.
class RowDecoder {
 public:
  virtual ~RowDecoder() = default;
  virtual void rows(int64_t first, const Tensor& pixels) = 0;  // the next ones; as Decoded
  virtual void finish() {}                                     // after the last: what follows is checked
};

Decoded decode(const Bytes& file, int64_t max_pixels);  // whatever it is

bool is_png(const Bytes& file);
ImageInfo png_info(const Bytes& file);
Decoded decode_png(const Bytes& file, int64_t max_pixels);
std::unique_ptr<RowDecoder> png_rows(const Bytes& file, int64_t max_pixels);  // null: interlaced

bool is_jpeg(const Bytes& file);
ImageInfo jpeg_info(const Bytes& file);
Decoded decode_jpeg(const Bytes& file, int64_t max_pixels);
struct JpegSource {
  std::unique_ptr<RowDecoder> rows;  // null: progressive, in several scans, or to be turned
  int64_t bytes;                     // of memory that decoding takes
};
JpegSource jpeg_source(const std::string& path, int64_t max_pixels);

bool is_bmp(const Bytes& file);
ImageInfo bmp_info(const Bytes& file);
Decoded decode_bmp(const Bytes& file, int64_t max_pixels);
std::unique_ptr<RowDecoder> bmp_rows(const Bytes& file, int64_t max_pixels);

// halved: colour at half the resolution (4:2:0), as cameras and the web have it.
std::string encode_jpeg(const Tensor& pixels /* u8 [H,W,1|3] */, int quality, bool halved = false);

// The same for rows as they come: what rows() and finish() return is, in a row, the file.
class JpegEncoder {
 public:
  JpegEncoder(int64_t width, int64_t height, int64_t channels, int quality, bool halved = false);
  ~JpegEncoder();
  std::string rows(const Tensor& pixels);  // u8 [R,W,C], the next ones
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class BmpWriter {
 public:
  BmpWriter(const std::string& path, int64_t width, int64_t height, int64_t channels);
  void rows(const Tensor& pixels);  // u8 [R,W,C], the next ones
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  int64_t width_, height_, channels_, row_bytes_, offset_, done_ = 0;
};

}  // namespace dgp
