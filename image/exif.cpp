#include "image/exif.h"

#include <cstring>

#include "tensor/parallel.h"

namespace dgp {

int exif_orientation(std::string_view segment) {
  constexpr std::string_view kMark("Exif\0\0", 6);
  if (!segment.starts_with(kMark)) return 1;
  std::string_view tiff = segment.substr(kMark.size());
  if (tiff.size() < 8) return 1;
  bool little = tiff.starts_with("II");
  if (!little && !tiff.starts_with("MM")) return 1;
  auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<uint8_t>(tiff[at])); };
  auto u16 = [&](size_t at) { return little ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1); };
  auto u32 = [&](size_t at) { return little ? u16(at) | u16(at + 2) << 16 : u16(at) << 16 | u16(at + 2); };
  size_t directory = u32(4);
  if (u16(2) != 42 || directory > tiff.size() - 2) return 1;
  size_t entries = u16(directory);
  for (size_t i = 0, at = directory + 2; i < entries && at + 12 <= tiff.size(); ++i, at += 12) {
    constexpr size_t kOrientation = 0x0112, kShort = 3;
    if (u16(at) != kOrientation || u16(at + 2) != kShort || u32(at + 4) != 1) continue;
    size_t value = u16(at + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Tensor apply_orientation(const Tensor& pixels, int orientation) {
  if (orientation == 1) return pixels;
  int64_t H = pixels.dim(0), W = pixels.dim(1), C = pixels.dim(2);
  bool swapped = orientation >= 5;
  // Where the picture's axes lie in the file: mirrored columns, mirrored rows.
  bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Tensor upright({swapped ? W : H, swapped ? H : W, C}, DType::u8);
  int64_t rows = upright.dim(0), columns = upright.dim(1);
  parallel_for(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < columns; ++x) {
        int64_t from_y = swapped ? x : y, from_x = swapped ? y : x;
        if (mirror_x) from_x = W - 1 - from_x;
        if (mirror_y) from_y = H - 1 - from_y;
        std::memcpy(upright.data<uint8_t>() + (y * columns + x) * C,
                    pixels.data<uint8_t>() + (from_y * W + from_x) * C, static_cast<size_t>(C));
      }
  });
  return upright;
}

}  // namespace dgp
