#include "image/image.h"

#include <algorithm>

#include "image/bytes.h"
#include "image/quantise.h"
#include "tensor/file.h"
#include "tensor/parallel.h"

namespace dgp {
namespace {

struct Format {
  bool (*is)(const Bytes&);
  ImageInfo (*info)(const Bytes&);
  Decoded (*decode)(const Bytes&, int64_t max_pixels);
};
constexpr Format kFormats[] = {
    {is_png, png_info, decode_png}, {is_jpeg, jpeg_info, decode_jpeg}, {is_bmp, bmp_info, decode_bmp}};

const Format& format_of(const Bytes& file) {
  for (const Format& format : kFormats)
    if (format.is(file)) return format;
  const char* kind = file.size() == 0           ? "the file is empty"
                     : file.starts_with("GIF8") ? "this is a GIF"
                     : file.starts_with("RIFF") ? "this is a WebP or another RIFF file"
                     : file.starts_with("II*") || file.starts_with("MM") ? "this is a TIFF"
                     : file.size() > 12 && file.text(4, 4) == "ftyp" ? "this is a HEIF, AVIF or video file"
                                                                     : "this is something else";
  fail(ErrorCode::bad_file, file.name(), ": expected a PNG, JPEG or BMP image, ", kind,
       "; convert it to PNG or JPEG first");
}

Tensor rgb_of(const Tensor& pixels) {  // u8 [H,W,C] -> u8 [H,W,3]
  int64_t C = pixels.dim(2), n = pixels.dim(0) * pixels.dim(1);
  if (C == 3) return pixels;
  Tensor rgb({pixels.dim(0), pixels.dim(1), 3}, DType::u8);
  const uint8_t* from = pixels.data<uint8_t>();
  uint8_t* to = rgb.data<uint8_t>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < 3; ++c) to[3 * i + c] = from[C * i + (C < 3 ? 0 : c)];
  return rgb;
}

}  // namespace

Decoded decode(const Bytes& file, int64_t max_pixels) { return format_of(file).decode(file, max_pixels); }

Tensor to_u8(const Tensor& x) {
  Tensor y(x.shape(), DType::u8);
  parallel_for(x.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    uint8_t* to = y.data<uint8_t>() + begin;
    quantise(x.data<float>() + begin, end - begin, 255,
             [&](int64_t i, int v) { to[i] = static_cast<uint8_t>(v); });
  });
  return y;
}

Tensor to_float(const Tensor& x) {
  Tensor y(x.shape(), DType::f32);
  parallel_for(x.numel(), kPointwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y.data<float>()[i] = static_cast<float>(x.data<uint8_t>()[i]) / 255;
  });
  return y;
}

Image decode_image(std::string_view bytes, const std::string& name, int64_t max_pixels) {
  Decoded d = decode(Bytes(bytes, name), max_pixels);
  return {d.pixels.dtype() == DType::u8 ? to_float(d.pixels) : d.pixels, d.depth};
}

Image read_image(const std::string& path, int64_t max_pixels) {
  return decode_image(read_file(path, kMaxFileBytes), path, max_pixels);
}

Tensor read_rgb8(const std::string& path, int64_t max_pixels) {
  return decode_rgb8(read_file(path, kMaxFileBytes), path, max_pixels);
}

Tensor decode_rgb8(std::string_view bytes, const std::string& name, int64_t max_pixels) {
  Tensor pixels = decode(Bytes(bytes, name), max_pixels).pixels;
  return rgb_of(pixels.dtype() == DType::u8 ? pixels : to_u8(pixels));
}

ImageInfo image_info(const std::string& path) {
  Bytes file(path, kMaxFileBytes);
  return format_of(file).info(file);
}

ImageInfo image_info(std::string_view bytes, const std::string& name) {
  Bytes file(bytes, name);
  return format_of(file).info(file);
}

void write_image(const std::string& path, const Image& image) {
  const Tensor& x = image.pixels;
  check(x.defined() && x.rank() == 3 && x.dtype() == DType::f32 && x.numel() > 0 && x.dim(2) <= 4, path,
        ": an image expects f32 [H,W,1..4], got ", x.defined() ? to_string(x.shape()) : "nothing");
  ImageWriter writer(path, {x.dim(1), x.dim(0), x.dim(2), image.depth});
  writer.rows(x);
  writer.commit();
}

}  // namespace dgp
