#include "train/degrade_ops.h"

#include <algorithm>
#include <cmath>

#include "image/image.h"
#include "image/jpeg_decode.h"
#include "ops/diff_jpeg.h"
#include "tensor/kernels/picture_kernels.h"
#include "train/degrade_taps.h"
#include "train/picture_values.h"

namespace dgp {
namespace {

// Correlation with rows x columns weights, both odd, borders mirrored.
Tensor correlate(const Tensor& x, const std::vector<float>& weights, int64_t rows, int64_t columns) {
  const int64_t H = x.dim(0), W = x.dim(1), PH = H + rows - 1, PW = W + columns - 1;
  Tensor padded({PH, PW, 3}), result(x.shape());
  for (int64_t y = 0; y < PH; ++y) {
    const float* row = x.data<float>() + reflected(y - rows / 2, H) * W * 3;
    float* out = padded.data<float>() + y * PW * 3;
    std::copy_n(row, W * 3, out + columns / 2 * 3);
    for (int64_t u = 0; u < columns / 2; ++u) {
      std::copy_n(row + reflected(u - columns / 2, W) * 3, 3, out + u * 3);
      std::copy_n(row + reflected(W + u, W) * 3, 3, out + (W + columns / 2 + u) * 3);
    }
  }
  std::vector<int64_t> offset;
  std::vector<float> weight;
  for (int64_t v = 0, i = 0; v < rows; ++v)
    for (int64_t u = 0; u < columns; ++u, ++i) {
      if (weights[static_cast<size_t>(i)] == 0) continue;
      offset.push_back((v * PW + u) * 3), weight.push_back(weights[static_cast<size_t>(i)]);
    }
  for (int64_t y = 0; y < H; ++y)
    active_picture_kernels().weighted_rows(padded.data<float>() + y * PW * 3, offset.data(), weight.data(),
                                           static_cast<int64_t>(offset.size()), W * 3,
                                           result.data<float>() + y * W * 3);
  return result;
}

}  // namespace

Tensor filter_picture(const Tensor& x, const std::vector<double>& weights) {
  check_picture("filter_picture", x);
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(weights.size()))));
  check(side % 2 == 1 && side * side == static_cast<int64_t>(weights.size()),
        "filter_picture: expects a square kernel of odd side, got ", weights.size(), " weights");
  if (const auto line = separated(weights); !line.rows.empty())
    return correlate(correlate(x, line.rows, side, 1), line.columns, 1, side);
  return correlate(x, filter_weights(weights), side, side);
}

const char* to_string(Interpolation mode) {
  static constexpr const char* kNames[] = {"area", "bilinear", "bicubic", "nearest"};
  return kNames[static_cast<size_t>(mode)];
}

Tensor interpolate_picture(const Tensor& x, int64_t height, int64_t width, Interpolation mode, double ratio) {
  check_picture("interpolate_picture", x);
  check(height >= 1 && width >= 1, "interpolate_picture: expects a size of at least 1x1, got ", width, "x",
        height);
  const int64_t H = x.dim(0), W = x.dim(1);
  const Taps down = interpolation_taps(H, height, mode, ratio),
             across = interpolation_taps(W, width, mode, ratio);
  Tensor rows({height, W, 3}), result({height, width, 3});
  std::vector<int64_t> offset(static_cast<size_t>(down.n));
  for (int64_t y = 0; y < height; ++y) {
    const auto at = static_cast<size_t>(y * down.n);
    for (size_t t = 0; t < offset.size(); ++t) offset[t] = down.index[at + t] * W * 3;
    active_picture_kernels().weighted_rows(x.data<float>(), offset.data(), down.weight.data() + at, down.n,
                                           W * 3, rows.data<float>() + y * W * 3);
  }
  for (int64_t y = 0; y < height; ++y) {
    const float* in = rows.data<float>() + y * W * 3;
    float* out = result.data<float>() + y * width * 3;
    for (int64_t i = 0; i < width; ++i, out += 3) {
      const int64_t* index = across.index.data() + i * across.n;
      const float* weight = across.weight.data() + i * across.n;
      float sum[3] = {};
      for (int64_t t = 0; t < across.n; ++t)
        for (int64_t c = 0; c < 3; ++c) sum[c] += weight[t] * in[index[t] * 3 + c];
      for (int64_t c = 0; c < 3; ++c) out[c] = sum[c];
    }
  }
  return result;
}

namespace {

Tensor wide_blur(const Tensor& x) {
  const std::vector<float>& g = sharpening_weights();
  const auto side = static_cast<int64_t>(g.size());
  return correlate(correlate(x, g, side, 1), g, 1, side);
}

}  // namespace

Tensor sharpen_usm(const Tensor& x, double weight, double threshold) {
  check_picture("sharpen_usm", x);
  const Tensor blurred = wide_blur(x);
  Tensor mask(x.shape()), result(x.shape());
  const float *p = x.data<float>(), *b = blurred.data<float>();
  for (int64_t i = 0; i < x.numel(); ++i)
    mask.data<float>()[i] = std::abs(p[i] - b[i]) * 255 > static_cast<float>(threshold) ? 1.f : 0.f;
  const Tensor soft = wide_blur(mask);
  for (int64_t i = 0; i < x.numel(); ++i) {
    const float m = soft.data<float>()[i], sharp = clamped(p[i] + static_cast<float>(weight) * (p[i] - b[i]));
    result.data<float>()[i] = m * sharp + (1 - m) * p[i];
  }
  return result;
}

Tensor file_jpeg(const Tensor& x, int quality, bool halved, int64_t top, int64_t left) {
  check_picture("file_jpeg", x);
  check(quality >= 1 && quality <= 100 && top >= 0 && top < 16 && left >= 0 && left < 16,
        "file_jpeg: expects a quality of 1 to 100 and an offset of 0 to 15, got ", quality, ", ", top, ", ",
        left);
  const int64_t H = x.dim(0), W = x.dim(1);
  const Tensor bytes = to_u8(x);
  Tensor framed({H + top, W + left, 3}, DType::u8);  // the first row and column repeat
  for (int64_t r = 0; r < H + top; ++r)
    for (int64_t c = 0; c < W + left; ++c)
      std::copy_n(
          bytes.data<uint8_t>() + (std::max<int64_t>(r - top, 0) * W + std::max<int64_t>(c - left, 0)) * 3, 3,
          framed.data<uint8_t>() + (r * (W + left) + c) * 3);
  const Tensor back = jpeg_round_trip(framed, quality, halved);
  Tensor result(x.shape());
  for (int64_t r = 0; r < H; ++r) {
    const uint8_t* from = back.data<uint8_t>() + ((r + top) * (W + left) + left) * 3;
    for (int64_t i = 0; i < W * 3; ++i)
      result.data<float>()[r * W * 3 + i] = static_cast<float>(from[i]) / 255;
  }
  return result;
}

Tensor diff_jpeg(const Tensor& x, double quality) {
  check_picture("diff_jpeg", x);
  Tensor result(x.shape());
  cpu::diff_jpeg(x.data<float>(), x.dim(0), x.dim(1), diff_jpeg_tables(quality), JpegSteps::whole,
                 result.data<float>());
  return result;
}

void round_to_bytes(Tensor& x) {
  float* p = x.data<float>();
  for (int64_t i = 0; i < x.numel(); ++i) p[i] = static_cast<float>(byte_of(p[i])) / 255;
}

}  // namespace dgp
