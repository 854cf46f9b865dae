#include "train/augment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "train/degrade.h"

namespace dgp {
namespace {

constexpr double kCutDeviation = 0.01;  // of cutblur's side around its mean, as published

// Jöhnk's method (1964): powers of two uniform numbers, accepted where their sum is at most 1.
double draw_beta(double alpha, Rng& rng) {
  while (true) {
    const double x = std::pow(rng.uniform(), 1 / alpha), y = std::pow(rng.uniform(), 1 / alpha);
    if (x + y > 0 && x + y <= 1) return x / (x + y);
  }
}

void shuffle_channels(const std::array<int, 3>& order, int64_t pixels, float* p) {
  for (int64_t i = 0; i < pixels; ++i, p += 3) {
    const std::array<float, 3> rgb = {p[0], p[1], p[2]};
    for (size_t c = 0; c < 3; ++c) p[c] = rgb[static_cast<size_t>(order[c])];
  }
}

void cut_blur(const Colours& colours, int64_t scale, int64_t patch, float* lr, const float* hr) {
  Tensor sharp({patch * scale, patch * scale, 3});
  std::copy_n(hr, sharp.numel(), sharp.data<float>());
  sharp = shrink_bicubic(sharp, scale);
  const float* from = sharp.data<float>();
  for (int64_t y = 0; y < patch; ++y)
    for (int64_t x = 0; x < patch; ++x) {
      const bool within = y >= colours.top && y < colours.top + colours.side && x >= colours.left &&
                          x < colours.left + colours.side;
      if (within != colours.inside) continue;
      for (int64_t c = 0; c < 3; ++c)
        lr[(y * patch + x) * 3 + c] = std::clamp(from[(y * patch + x) * 3 + c], 0.f, 1.f);
    }
}

}  // namespace

Orientation draw_orientation(const AugmentConfig& config, Rng rng) {
  const double h = rng.uniform(), v = rng.uniform(), t = rng.uniform();
  return {h < config.hflip, v < config.vflip, t < config.transpose};
}

Colours draw_colours(const AugmentConfig& config, int64_t patch, Rng rng) {
  Colours drawn;
  if (rng.uniform() < config.channels)
    for (size_t i = 2; i > 0; --i)
      std::swap(drawn.order[i], drawn.order[static_cast<size_t>(rng.below(static_cast<int64_t>(i + 1)))]);
  drawn.cutblur = rng.uniform() < config.cutblur;
  if (!drawn.cutblur) return drawn;
  const double ratio = std::clamp(config.cutblur_ratio + kCutDeviation * rng.normal(), 0.0, 1.0);
  drawn.side = static_cast<int64_t>(static_cast<double>(patch) * ratio);
  drawn.top = rng.below(patch - drawn.side + 1), drawn.left = rng.below(patch - drawn.side + 1);
  drawn.inside = rng.uniform() < 0.5;
  return drawn;
}

void apply_colours(const Colours& colours, int64_t scale, int64_t patch, float* lr, float* hr) {
  if (colours.order != Colours().order) {
    shuffle_channels(colours.order, patch * patch, lr);
    shuffle_channels(colours.order, patch * patch * scale * scale, hr);
  }
  if (colours.cutblur) cut_blur(colours, scale, patch, lr, hr);
}

double draw_mixup(const AugmentConfig& config, Rng rng) {
  return rng.uniform() < config.mixup ? draw_beta(config.mixup_alpha, rng) : 1;
}

void mix(double v, const float* other, int64_t n, float* to) {
  const auto a = static_cast<float>(v), b = static_cast<float>(1 - v);
  for (int64_t i = 0; i < n; ++i) to[i] = a * to[i] + b * other[i];
}

}  // namespace dgp
