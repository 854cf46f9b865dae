#include "train/degrade_ops.h"

#include <algorithm>
#include <cmath>

#include "image/bytes.h"
#include "image/image.h"
#include "train/degrade_taps.h"
#include "train/picture_values.h"

namespace dgp {
namespace {

// [H + 2 half, W + 2 half, 3]
std::vector<float> padded(const Tensor& x, int64_t half) {
  const int64_t H = x.dim(0), W = x.dim(1), PW = W + 2 * half;
  std::vector<float> result(static_cast<size_t>((H + 2 * half) * PW * 3));
  float* out = result.data();
  for (int64_t y = -half; y < H + half; ++y) {
    const float* row = x.data<float>() + reflected(y, H) * W * 3;
    for (int64_t u = -half; u < W + half; ++u, out += 3) std::copy_n(row + reflected(u, W) * 3, 3, out);
  }
  return result;
}

}  // namespace

Tensor filter_picture(const Tensor& x, const std::vector<double>& weights) {
  check_picture("filter_picture", x);
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(weights.size()))));
  check(side % 2 == 1 && side * side == static_cast<int64_t>(weights.size()),
        "filter_picture: expects a square kernel of odd side, got ", weights.size(), " weights");
  const int64_t H = x.dim(0), W = x.dim(1), PW = W + side - 1;
  const std::vector<float> from = padded(x, side / 2);
  const std::vector<float> taps = filter_weights(weights);
  Tensor result = Tensor::zeros(x.shape());
  for (int64_t y = 0; y < H; ++y) {
    float* out = result.data<float>() + y * W * 3;
    for (int64_t v = 0; v < side; ++v)
      for (int64_t u = 0; u < side; ++u) {
        const float* in = from.data() + ((y + v) * PW + u) * 3;
        const float w = taps[static_cast<size_t>(v * side + u)];
        if (w == 0) continue;
        for (int64_t i = 0; i < W * 3; ++i) out[i] += w * in[i];
      }
  }
  return result;
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
  Tensor rows = Tensor::zeros({height, W, 3}), result = Tensor::zeros({height, width, 3});
  for (int64_t y = 0; y < height; ++y) {
    float* out = rows.data<float>() + y * W * 3;
    for (int64_t t = 0; t < down.n; ++t) {
      const auto at = static_cast<size_t>(y * down.n + t);
      const float* in = x.data<float>() + down.index[at] * W * 3;
      for (int64_t i = 0; i < W * 3; ++i) out[i] += down.weight[at] * in[i];
    }
  }
  for (int64_t y = 0; y < height; ++y) {
    const float* in = rows.data<float>() + y * W * 3;
    float* out = result.data<float>() + y * width * 3;
    for (int64_t i = 0; i < width; ++i)
      for (int64_t t = 0; t < across.n; ++t) {
        const auto at = static_cast<size_t>(i * across.n + t);
        for (int64_t c = 0; c < 3; ++c) out[i * 3 + c] += across.weight[at] * in[across.index[at] * 3 + c];
      }
  }
  return result;
}

namespace {

Tensor wide_blur(const Tensor& x) {
  const std::vector<float>& g = sharpening_weights();
  const auto half = static_cast<int64_t>(g.size()) / 2;
  const int64_t H = x.dim(0), W = x.dim(1);
  Tensor rows = Tensor::zeros(x.shape()), result = Tensor::zeros(x.shape());
  std::vector<float> line(static_cast<size_t>((W + 2 * half) * 3));
  for (int64_t y = 0; y < H; ++y)
    for (int64_t t = -half; t <= half; ++t) {
      const float* in = x.data<float>() + reflected(y + t, H) * W * 3;
      float* out = rows.data<float>() + y * W * 3;
      const float w = g[static_cast<size_t>(t + half)];
      for (int64_t i = 0; i < W * 3; ++i) out[i] += w * in[i];
    }
  for (int64_t y = 0; y < H; ++y) {
    const float* in = rows.data<float>() + y * W * 3;
    for (int64_t u = 0; u < W + 2 * half; ++u)
      std::copy_n(in + reflected(u - half, W) * 3, 3, line.data() + u * 3);
    float* out = result.data<float>() + y * W * 3;
    for (int64_t t = 0; t <= 2 * half; ++t) {
      const float w = g[static_cast<size_t>(t)];
      for (int64_t i = 0; i < W * 3; ++i) out[i] += w * line[static_cast<size_t>(t * 3 + i)];
    }
  }
  return result;
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
  const Tensor back = decode_rgb8(encode_jpeg(framed, quality, halved), "JPEG in memory");
  Tensor result(x.shape());
  for (int64_t r = 0; r < H; ++r) {
    const uint8_t* from = back.data<uint8_t>() + ((r + top) * (W + left) + left) * 3;
    for (int64_t i = 0; i < W * 3; ++i)
      result.data<float>()[r * W * 3 + i] = static_cast<float>(from[i]) / 255;
  }
  return result;
}

void round_to_bytes(Tensor& x) {
  float* p = x.data<float>();
  for (int64_t i = 0; i < x.numel(); ++i) p[i] = static_cast<float>(byte_of(p[i])) / 255;
}

}  // namespace dgp
