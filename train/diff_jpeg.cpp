// DiffJPEG as Real-ESRGAN runs it, with true rounding: YCbCr, 2x2 chroma means, 8x8 DCT, division by tables
// scaled by a real number, rounding half to even, and back. Not what a JPEG file gives: file_jpeg is.
#include "train/diff_jpeg.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/kernels/picture_kernels.h"
#include "train/degrade_ops.h"

namespace dgp {
namespace {

// ITU-T T.81, table K.1; and the corner of K.2 that is not 99.
constexpr std::array<int, 64> kLuma = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                       14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                       18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                       49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr std::array<int, 16> kChroma = {17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 99, 47, 66, 99, 99};

using Block = JpegBlock;

Block table_of(bool chroma, double factor) {  // transposed, as DiffJPEG has them
  Block table;
  for (size_t v = 0; v < 8; ++v)
    for (size_t u = 0; u < 8; ++u)
      table[v * 8 + u] = factor * (!chroma ? kLuma[u * 8 + v] : u < 4 && v < 4 ? kChroma[u * 4 + v] : 99);
  return table;
}

Block transposed(const Block& a) {
  Block t;
  for (size_t i = 0; i < 64; ++i) t[i % 8 * 8 + i / 8] = a[i];
  return t;
}

struct Plane {
  int64_t height, width;
  Tensor values;
  double* at;
  Plane(int64_t h, int64_t w)
      : height(h), width(w), values(Tensor::zeros({h, w}, DType::f64)), at(values.data<double>()) {}
  double& operator()(int64_t y, int64_t x) { return at[y * width + x]; }

  void quantise(const Block& steps) {
    static const Block basis = diff_jpeg_basis(), inverse = transposed(basis);
    active_picture_kernels().jpeg_rounding({basis.data(), inverse.data(), steps.data()}, height, width, at);
  }
};

}  // namespace

DiffJpegTables diff_jpeg_tables(double quality) {
  check(quality > 0 && quality <= 100, "diff_jpeg: expects a quality above 0 and up to 100, got ", quality);
  // At 100 the tables are 0; a step so small that it rounds nothing away stands for it.
  const double factor = std::max((quality < 50 ? 5000 / quality : 200 - 2 * quality) / 100, 1e-6);
  return {table_of(false, factor), table_of(true, factor)};
}

const JpegBlock& diff_jpeg_basis() {
  static const Block basis = [] {
    Block b;
    for (size_t u = 0; u < 8; ++u)
      for (size_t x = 0; x < 8; ++x)
        b[u * 8 + x] = (u == 0 ? std::sqrt(0.125) : 0.5) *
                       std::cos(static_cast<double>((2 * x + 1) * u) * std::numbers::pi / 16);
    return b;
  }();
  return basis;
}

Tensor diff_jpeg(const Tensor& picture, double quality) {
  check_rank("diff_jpeg", "picture", picture, 3);
  check(picture.dim(2) == 3, "diff_jpeg: expects [H,W,3], got ", to_string(picture.shape()));
  const DiffJpegTables tables = diff_jpeg_tables(quality);
  const int64_t height = picture.dim(0), width = picture.dim(1);
  const int64_t H = (height + 15) / 16 * 16, W = (width + 15) / 16 * 16;
  Plane luma(H, W), blue(H / 2, W / 2), red(H / 2, W / 2);
  for (int64_t y = 0; y < H; ++y)
    for (int64_t x = 0; x < W; ++x) {
      double rgb[3] = {};
      if (y < height && x < width)
        for (int c = 0; c < 3; ++c) rgb[c] = 255.0 * picture.data<float>()[(y * width + x) * 3 + c];
      luma(y, x) = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
      blue(y / 2, x / 2) += (-0.168736 * rgb[0] - 0.331264 * rgb[1] + 0.5 * rgb[2] + 128) / 4;
      red(y / 2, x / 2) += (0.5 * rgb[0] - 0.418688 * rgb[1] - 0.081312 * rgb[2] + 128) / 4;
    }
  luma.quantise(tables.luma);
  blue.quantise(tables.chroma);
  red.quantise(tables.chroma);
  Tensor result(picture.shape());
  float* out = result.data<float>();
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const double l = luma(y, x), b = blue(y / 2, x / 2) - 128, r = red(y / 2, x / 2) - 128;
      for (double v : {l + 1.402 * r, l - 0.344136 * b - 0.714136 * r, l + 1.772 * b})
        *out++ = static_cast<float>(std::clamp(v, 0.0, 255.0) / 255);
    }
  return result;
}

}  // namespace dgp
