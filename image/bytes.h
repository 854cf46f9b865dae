// A file's bytes with every access checked: the ground on which the decoders of this folder stand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "image/image.h"
#include "tensor/error.h"

namespace dgp {

class Bytes {
 public:
  Bytes(std::string_view bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  const std::string& name() const { return name_; }

  // Throws unless [offset, offset + count) lies in the file.
  void need(int64_t offset, int64_t count) const {
    if (offset < 0 || count < 0 || offset > size() || count > size() - offset)
      refuse("ends too early: ", count, " bytes expected at byte ", offset, ", the file has ", size());
  }
  const uint8_t* at(int64_t offset, int64_t count) const {
    need(offset, count);
    return reinterpret_cast<const uint8_t*>(bytes_.data()) + offset;
  }
  std::string_view text(int64_t offset, int64_t count) const {
    need(offset, count);
    return bytes_.substr(static_cast<size_t>(offset), static_cast<size_t>(count));
  }
  bool starts_with(std::string_view prefix) const { return bytes_.starts_with(prefix); }

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
  std::string_view bytes_;
  std::string name_;
};

// What a decoder gives: u8 [H,W,C] at depth 8, f32 [H,W,C] in [0,1] at depth 16.
struct Decoded {
  Tensor pixels;
  int depth = 8;
};

bool is_png(const Bytes& file);
ImageInfo png_info(const Bytes& file);
Decoded decode_png(const Bytes& file, int64_t max_pixels);

bool is_jpeg(const Bytes& file);
ImageInfo jpeg_info(const Bytes& file);
Decoded decode_jpeg(const Bytes& file, int64_t max_pixels);

bool is_bmp(const Bytes& file);
ImageInfo bmp_info(const Bytes& file);
Decoded decode_bmp(const Bytes& file, int64_t max_pixels);

std::string encode_jpeg(const Tensor& pixels /* u8 [H,W,1|3] */, int quality);
void write_bmp(const std::string& path, const Tensor& pixels /* u8 [H,W,C] */);

}  // namespace dgp
