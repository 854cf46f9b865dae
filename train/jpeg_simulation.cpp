// JPEG's losses without its entropy coding: colour conversion, chroma subsampling, and per 8x8 block
// DCT, division by the quantisation table, rounding, and back (ITU-T T.81, sections A.3 and K.1).
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "train/degrade.h"

namespace dgp {
namespace {

constexpr std::array<int, 64> kLuma = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                       14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                       18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                       49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr std::array<int, 64> kChroma = {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
                                         24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
                                         99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
                                         99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

struct Plane {
  int64_t height, width;
  std::vector<float> at;
  Plane(int64_t h, int64_t w) : height(h), width(w), at(static_cast<size_t>(h * w)) {}
  float& operator()(int64_t y, int64_t x) { return at[static_cast<size_t>(y * width + x)]; }
};

std::array<float, 64> scaled_table(const std::array<int, 64>& base, int quality) {
  int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;  // libjpeg's jpeg_quality_scaling
  std::array<float, 64> table;
  for (size_t i = 0; i < 64; ++i)
    table[i] = static_cast<float>(std::clamp((base[i] * scale + 50) / 100, 1, 255));
  return table;
}

// basis[u][x] = c(u)/2 cos((2x+1) u pi / 16): orthonormal, so that the inverse is the transpose.
const std::array<std::array<float, 8>, 8>& dct_basis() {
  static const auto basis = [] {
    std::array<std::array<float, 8>, 8> b;
    for (int u = 0; u < 8; ++u)
      for (int x = 0; x < 8; ++x)
        b[u][x] = static_cast<float>((u == 0 ? std::sqrt(0.125) : 0.5) *
                                     std::cos((2 * x + 1) * u * std::numbers::pi / 16));
    return b;
  }();
  return basis;
}

void quantise_block(float* corner, int64_t stride, const std::array<float, 64>& table) {
  const auto& b = dct_basis();
  float rows[8][8], freq[8][8];
  for (int y = 0; y < 8; ++y)
    for (int u = 0; u < 8; ++u) {
      float sum = 0;
      for (int x = 0; x < 8; ++x) sum += b[u][x] * (corner[y * stride + x] - 128);
      rows[y][u] = sum;
    }
  for (int v = 0; v < 8; ++v)
    for (int u = 0; u < 8; ++u) {
      float sum = 0;
      for (int y = 0; y < 8; ++y) sum += b[v][y] * rows[y][u];
      freq[v][u] = std::nearbyint(sum / table[v * 8 + u]) * table[v * 8 + u];
    }
  for (int y = 0; y < 8; ++y)
    for (int u = 0; u < 8; ++u) {
      float sum = 0;
      for (int v = 0; v < 8; ++v) sum += b[v][y] * freq[v][u];
      rows[y][u] = sum;
    }
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) {
      float sum = 0;
      for (int u = 0; u < 8; ++u) sum += b[u][x] * rows[y][u];
      corner[y * stride + x] = std::clamp(std::nearbyint(sum + 128), 0.f, 255.f);
    }
}

void quantise(Plane& plane, const std::array<float, 64>& table) {
  for (int64_t y = 0; y < plane.height; y += 8)
    for (int64_t x = 0; x < plane.width; x += 8) quantise_block(&plane(y, x), plane.width, table);
}

Plane halve(Plane& full) {
  Plane half(full.height / 2, full.width / 2);
  for (int64_t y = 0; y < half.height; ++y)
    for (int64_t x = 0; x < half.width; ++x)
      half(y, x) = (full(2 * y, 2 * x) + full(2 * y, 2 * x + 1) + full(2 * y + 1, 2 * x) +
                    full(2 * y + 1, 2 * x + 1)) /
                   4;
  return half;
}

// libjpeg's "fancy" upsampling: each new sample is 3/4 of the nearer and 1/4 of the further, in both axes.
Plane twice(Plane& half) {
  Plane full(half.height * 2, half.width * 2);
  for (int64_t y = 0; y < full.height; ++y)
    for (int64_t x = 0; x < full.width; ++x) {
      int64_t y0 = y / 2, y1 = std::clamp<int64_t>(y0 + (y % 2 ? 1 : -1), 0, half.height - 1);
      int64_t x0 = x / 2, x1 = std::clamp<int64_t>(x0 + (x % 2 ? 1 : -1), 0, half.width - 1);
      full(y, x) = (9 * half(y0, x0) + 3 * half(y0, x1) + 3 * half(y1, x0) + half(y1, x1)) / 16;
    }
  return full;
}

}  // namespace

Tensor jpeg_round_trip(const Tensor& picture, int quality, bool subsample, int64_t top, int64_t left) {
  check_rank("jpeg_round_trip", "picture", picture, 3);
  check(picture.dim(2) == 3 && quality >= 1 && quality <= 100 && top >= 0 && left >= 0,
        "jpeg_round_trip: expects [H,W,3] and a quality of 1 to 100, got ", to_string(picture.shape()), ", ",
        quality);
  const int64_t height = picture.dim(0), width = picture.dim(1);
  const int64_t H = (height + top + 15) / 16 * 16, W = (width + left + 15) / 16 * 16;
  Plane luma(H, W), blue(H, W), red(H, W);
  const float* p = picture.data<float>();
  for (int64_t y = 0; y < H; ++y)
    for (int64_t x = 0; x < W; ++x) {
      const float* s = p + (std::clamp<int64_t>(y - top, 0, height - 1) * width +
                            std::clamp<int64_t>(x - left, 0, width - 1)) *
                               3;
      float r = std::clamp(s[0], 0.f, 1.f) * 255, g = std::clamp(s[1], 0.f, 1.f) * 255,
            b = std::clamp(s[2], 0.f, 1.f) * 255;
      luma(y, x) = 0.299f * r + 0.587f * g + 0.114f * b;
      blue(y, x) = 128 - 0.168736f * r - 0.331264f * g + 0.5f * b;
      red(y, x) = 128 + 0.5f * r - 0.418688f * g - 0.081312f * b;
    }
  quantise(luma, scaled_table(kLuma, quality));
  auto table = scaled_table(kChroma, quality);
  for (Plane* plane : {&blue, &red}) {
    if (!subsample) {
      quantise(*plane, table);
      continue;
    }
    Plane half = halve(*plane);
    quantise(half, table);
    *plane = twice(half);
  }
  Tensor result(picture.shape());
  float* out = result.data<float>();
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x, out += 3) {
      float l = luma(y + top, x + left), b = blue(y + top, x + left) - 128, r = red(y + top, x + left) - 128;
      float rgb[3] = {l + 1.402f * r, l - 0.344136f * b - 0.714136f * r, l + 1.772f * b};
      for (int c = 0; c < 3; ++c) out[c] = std::clamp(std::nearbyint(rgb[c]), 0.f, 255.f) / 255;
    }
  return result;
}

}  // namespace dgp
