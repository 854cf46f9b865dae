// Images: reading and writing PNG, JPEG and BMP. What a file is, its first bytes say, never its name. Every
// length, checksum and table is checked before it is believed; a file that breaks its format is refused with
// Error(bad_file), which names the file, what was expected and what to do. Colour profiles are ignored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace dgp {

struct Image {
  Tensor pixels;  // f32 [H,W,C] in [0,1]; C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha (not
                  // premultiplied)
  int depth = 8;  // bits a sample, 8 or 16, of the file it came from and of the file it will be written to
};

struct ImageInfo {
  int64_t width = 0, height = 0, channels = 0;
  int depth = 8;
  const char* format = "";  // "PNG", "JPEG" or "BMP"
};

inline constexpr int64_t kMaxPixels = int64_t{1} << 28;     // 16384 x 16384
inline constexpr int64_t kMaxSide = 65535;                  // width or height
inline constexpr int64_t kMaxFileBytes = int64_t{1} << 28;  // 256 MiB
inline constexpr int64_t kMaxJpegSide = 65500;              // what common JPEG readers accept

// Grey stays grey, 16-bit PNG keeps its depth, palettes and transparent colours expand, and a JPEG is turned
// upright as its EXIF orientation says.
Image read_image(const std::string& path, int64_t max_pixels = kMaxPixels);

// u8 [H,W,3]: grey repeated, alpha dropped, 16-bit samples rounded to 8.
Tensor read_rgb8(const std::string& path, int64_t max_pixels = kMaxPixels);

// The same from memory; `name` stands for the file in messages.
Image decode_image(std::string_view bytes, const std::string& name, int64_t max_pixels = kMaxPixels);

// Size and kind as read_image would give them, from the header alone.
ImageInfo image_info(const std::string& path);
ImageInfo image_info(std::string_view bytes, const std::string& name);

// u8 [H,W,3] from memory, as read_rgb8 gives it from a file.
Tensor decode_rgb8(std::string_view bytes, const std::string& name, int64_t max_pixels = kMaxPixels);

// By the name's ending: .png (8 or 16 bit by image.depth), .jpg, .jpeg (quality 95, 4:4:4, no alpha), .bmp.
// Values are clamped and rounded half to even; NaN is Error(numeric). The file appears whole or not at all.
void write_image(const std::string& path, const Image& image);

// A picture read from the top, a band of rows at a time, and decoded as it is read, so that no more than a
// band is ever in memory. Interlaced PNG, and JPEG that is progressive, comes in several scans or must be
// turned, are decoded first.
class ImageReader {
 public:
  explicit ImageReader(const std::string& path, int64_t max_pixels = kMaxPixels);
  explicit ImageReader(const Image& image);
  ~ImageReader();

  const ImageInfo& info() const { return info_; }
  int64_t working_bytes() const;  // that rows() takes while the picture is read, at most
  Tensor rows(int64_t count);     // the next `count` rows, f32 [count,W,C] in [0,1]
  // The whole of a picture that is in memory as f32 [H,W,C]; else undefined.
  const Tensor& pixels() const { return image_; }

 private:
  struct File;
  ImageInfo info_;
  std::unique_ptr<File> file_;
  Tensor image_;
  int64_t next_ = 0;
};

// The same file written from the top, a band of rows at a time.
class ImageWriter {
 public:
  ImageWriter(const std::string& path, const ImageInfo& info);  // size, channels and depth are read
  ~ImageWriter();                                               // without commit() nothing is left behind

  void rows(const Tensor& x);  // f32 [R,W,C], the next ones
  void commit();               // after the last

 private:
  struct File;
  std::unique_ptr<File> file_;
};

bool is_image_name(const std::string& path);  // ends in .png, .jpg, .jpeg or .bmp, in any case

Tensor to_u8(const Tensor& x);     // f32 in [0,1] -> u8: clamped, rounded half to even; NaN is Error(numeric)
Tensor to_float(const Tensor& x);  // u8 -> f32, divided by 255

}  // namespace dgp
