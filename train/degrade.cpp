#include "train/degrade.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "train/degradation.h"

namespace dgp {
namespace {

double cubic(double x) {  // Keys' kernel with a = -0.5
  x = std::abs(x);
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

int64_t mirrored(int64_t i, int64_t n) {
  i %= 2 * n;
  if (i < 0) i += 2 * n;
  return i < n ? i : 2 * n - 1 - i;
}

// Along the first axis of x [n, inner]: out[o] = sum_t weights[t] x[s*o + first + t], borders mirrored.
void shrink_axis(const float* x, int64_t n, int64_t inner, int64_t s, const std::vector<float>& weights,
                 int64_t first, float* out) {
  for (int64_t o = 0; o < n / s; ++o) {
    float* row = out + o * inner;
    std::fill(row, row + inner, 0.f);
    for (size_t t = 0; t < weights.size(); ++t) {
      const float* from = x + mirrored(s * o + first + static_cast<int64_t>(t), n) * inner;
      const float w = weights[t];
      for (int64_t i = 0; i < inner; ++i) row[i] += w * from[i];
    }
  }
}

// Both axes shrunk by s with the same taps, tap t at s*o + first + t.
Tensor shrink(const Tensor& x, int64_t s, const std::vector<float>& weights, int64_t first) {
  const int64_t H = x.dim(0), W = x.dim(1), C = x.dim(2);
  Tensor rows({H / s, W, C}), result({H / s, W / s, C});
  shrink_axis(x.data<float>(), H, W * C, s, weights, first, rows.data<float>());
  for (int64_t y = 0; y < H / s; ++y)
    shrink_axis(rows.data<float>() + y * W * C, W, C, s, weights, first,
                result.data<float>() + y * (W / s) * C);
  return result;
}

std::vector<float> normalised(std::vector<double> weights) {
  double sum = 0;
  for (double w : weights) sum += w;
  std::vector<float> result;
  for (double w : weights) result.push_back(static_cast<float>(w / sum));
  return result;
}

Tensor shrink_bilinear(const Tensor& x, int64_t s) {  // samples at the centre of each s x s square
  if (s % 2) return shrink(x, s, {1.f}, s / 2);
  return shrink(x, s, {0.5f, 0.5f}, s / 2 - 1);
}

Tensor shrink_area(const Tensor& x, int64_t s) {
  return shrink(x, s, normalised(std::vector<double>(static_cast<size_t>(s), 1.0)), 0);
}

void add_noise(Tensor& x, const DegradeConfig& config, Rng& rng) {
  const bool poisson = rng.uniform() < config.noise.poisson, grey = rng.uniform() < config.noise.grey;
  const Range& range = poisson ? config.noise.scale : config.noise.sigma;
  const double strength = rng.uniform(range[0], range[1]);
  float* p = x.data<float>();
  for (int64_t i = 0, n = x.numel() / 3; i < n; ++i, p += 3) {
    double shared = grey ? rng.normal() : 0;
    double light = std::clamp(0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2], 0.0, 1.0);
    for (int c = 0; c < 3; ++c) {
      // A Poisson count of mean k has deviation sqrt(k) and is nearly normal at the counts pixels have.
      double level = grey ? light : std::clamp(double{p[c]}, 0.0, 1.0);
      double deviation = poisson ? strength * std::sqrt(level / 255) : strength / 255;
      p[c] += static_cast<float>(deviation * (grey ? shared : rng.normal()));
    }
  }
}

}  // namespace

Tensor shrink_bicubic(const Tensor& hr, int64_t scale) {
  check_rank("shrink_bicubic", "hr", hr, 3);
  check(scale >= 1 && hr.dim(0) % scale == 0 && hr.dim(1) % scale == 0,
        "shrink_bicubic: ", to_string(hr.shape()), " is not divisible by ", scale);
  if (scale == 1) return hr;
  // The centre of output o lies at s*o + (s-1)/2; the kernel is s times as wide.
  const double s = static_cast<double>(scale), centre = (s - 1) / 2;
  const auto first = static_cast<int64_t>(std::floor(centre - 2 * s)) + 1;
  const auto last = static_cast<int64_t>(std::ceil(centre + 2 * s)) - 1;
  std::vector<double> weights;
  for (int64_t t = first; t <= last; ++t) weights.push_back(cubic((static_cast<double>(t) - centre) / s));
  return shrink(hr, scale, normalised(weights), first);
}

namespace {

// The same deviation along both axes: rows first, then columns.
Tensor round_blur(const Tensor& x, double sigma) {
  const int64_t H = x.dim(0), W = x.dim(1), C = x.dim(2);
  const auto radius = static_cast<int64_t>(std::ceil(2.5 * sigma));
  std::vector<double> taps;
  for (int64_t t = -radius; t <= radius; ++t)
    taps.push_back(std::exp(-0.5 * static_cast<double>(t * t) / (sigma * sigma)));
  const std::vector<float> weights = normalised(taps);
  Tensor rows = Tensor::zeros(x.shape()), result = Tensor::zeros(x.shape());
  for (int64_t y = 0; y < H; ++y) {
    float* out = rows.data<float>() + y * W * C;
    for (int64_t t = -radius; t <= radius; ++t) {
      const float* from = x.data<float>() + std::clamp<int64_t>(y + t, 0, H - 1) * W * C;
      const float w = weights[static_cast<size_t>(t + radius)];
      for (int64_t i = 0; i < W * C; ++i) out[i] += w * from[i];
    }
  }
  std::vector<float> line(static_cast<size_t>((W + 2 * radius) * C));
  for (int64_t y = 0; y < H; ++y) {
    for (int64_t u = 0; u < W + 2 * radius; ++u)
      std::copy_n(rows.data<float>() + (y * W + std::clamp<int64_t>(u - radius, 0, W - 1)) * C, C,
                  &line[static_cast<size_t>(u * C)]);
    float* out = result.data<float>() + y * W * C;
    for (int64_t t = 0; t <= 2 * radius; ++t)
      for (int64_t i = 0; i < W * C; ++i)
        out[i] += weights[static_cast<size_t>(t)] * line[static_cast<size_t>(t * C + i)];
  }
  return result;
}

}  // namespace

Tensor gaussian_blur(const Tensor& x, double sigma_x, double sigma_y, double angle) {
  check_rank("gaussian_blur", "picture", x, 3);
  if (sigma_x == sigma_y) return round_blur(x, sigma_x);
  const int64_t H = x.dim(0), W = x.dim(1), C = x.dim(2);
  const auto radius = static_cast<int64_t>(std::ceil(2.5 * std::max(sigma_x, sigma_y)));
  const double c = std::cos(angle), s = std::sin(angle);
  std::vector<double> taps;
  for (int64_t v = -radius; v <= radius; ++v)
    for (int64_t u = -radius; u <= radius; ++u) {
      double a = (c * static_cast<double>(u) + s * static_cast<double>(v)) / sigma_x;
      double b = (c * static_cast<double>(v) - s * static_cast<double>(u)) / sigma_y;
      taps.push_back(std::exp(-0.5 * (a * a + b * b)));
    }
  std::vector<float> weights = normalised(taps);
  const int64_t PW = W + 2 * radius;
  std::vector<float> padded(static_cast<size_t>((H + 2 * radius) * PW * C));
  for (int64_t y = 0; y < H + 2 * radius; ++y)
    for (int64_t u = 0; u < PW; ++u)
      std::copy_n(
          x.data<float>() +
              (std::clamp<int64_t>(y - radius, 0, H - 1) * W + std::clamp<int64_t>(u - radius, 0, W - 1)) * C,
          C, padded.data() + (y * PW + u) * C);
  Tensor result = Tensor::zeros(x.shape());
  for (int64_t y = 0; y < H; ++y) {
    float* out = result.data<float>() + y * W * C;
    for (int64_t v = 0, tap = 0; v <= 2 * radius; ++v)
      for (int64_t u = 0; u <= 2 * radius; ++u, ++tap) {
        const float* from = padded.data() + ((y + v) * PW + u) * C;
        const float w = weights[static_cast<size_t>(tap)];
        for (int64_t i = 0; i < W * C; ++i) out[i] += w * from[i];
      }
  }
  return result;
}

Tensor degrade(const Tensor& hr, int64_t scale, const DegradeConfig& config, Rng rng) {
  if (config.type == "ordered" || config.type == "shuffled")
    return apply_degradation(draw_degradation(config, scale, hr.dim(0), hr.dim(1), rng), hr);
  Tensor x = hr;
  if (config.type == "bicubic") {
    x = shrink_bicubic(hr, scale);
    if (scale == 1) x = x.clone();
    round_to_bytes(x);
    return x;
  }
  if (rng.uniform() < config.blur.probability) {
    double a = rng.uniform(config.blur.sigma[0], config.blur.sigma[1]), b = a;
    if (rng.uniform() < config.blur.anisotropic) b = rng.uniform(config.blur.sigma[0], config.blur.sigma[1]);
    x = gaussian_blur(x, a, b, rng.uniform(0, 3.14159265358979));
  }
  const auto& mode = config.resize;
  double pick = rng.uniform(0, mode.bicubic + mode.bilinear + mode.area);
  x = pick < mode.bicubic                   ? shrink_bicubic(x, scale)
      : pick < mode.bicubic + mode.bilinear ? shrink_bilinear(x, scale)
                                            : shrink_area(x, scale);
  if (x.bytes() == hr.bytes()) x = x.clone();
  if (rng.uniform() < config.noise.probability) add_noise(x, config, rng);
  if (rng.uniform() < config.jpeg.probability) {
    auto quality = static_cast<int>(std::lround(rng.uniform(config.jpeg.quality[0], config.jpeg.quality[1])));
    bool subsample = rng.uniform() < config.jpeg.subsample;
    int64_t top = rng.below(16), left = rng.below(16);
    x = file_jpeg(x, quality, subsample, top, left);
  }
  round_to_bytes(x);
  return x;
}

}  // namespace dgp
