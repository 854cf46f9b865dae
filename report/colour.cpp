#include "report/colour.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace dgp {
namespace {

using Rgb = std::array<double, 3>;

template <size_t N>
Rgb between(const std::array<Rgb, N>& anchors, double at) {  // at in [0, 1]
  const double place = at * static_cast<double>(N - 1);
  const size_t left = std::min(static_cast<size_t>(place), N - 2);
  const double share = place - static_cast<double>(left);
  Rgb mixed{};
  for (size_t c = 0; c < 3; ++c)
    mixed[c] = ((1 - share) * anchors[left][c] + share * anchors[left + 1][c]) / 255;
  return mixed;
}

double place_of(double value, double low, double high) {
  return high > low ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 0.5;
}

}  // namespace

Tensor viridis(const Tensor& x, double low, double high) {
  static constexpr std::array<Rgb, 9> kAnchors = {{{68, 1, 84},
                                                   {71, 44, 122},
                                                   {59, 81, 139},
                                                   {44, 113, 142},
                                                   {33, 144, 141},
                                                   {39, 173, 129},
                                                   {92, 200, 99},
                                                   {170, 220, 50},
                                                   {253, 231, 37}}};
  check_rank("viridis", "map", x, 2);
  Tensor y({x.dim(0), x.dim(1), 3});
  for (int64_t i = 0; i < x.numel(); ++i) {
    const Rgb colour = between(kAnchors, place_of(static_cast<double>(x.data<float>()[i]), low, high));
    for (size_t c = 0; c < 3; ++c)
      y.data<float>()[i * 3 + static_cast<int64_t>(c)] = static_cast<float>(colour[c]);
  }
  return y;
}

Limits limits_of(const Tensor& x, double inside) {
  std::vector<float> values(x.data<float>(), x.data<float>() + x.numel());
  check(!values.empty(), "limits_of: expects values, got none");
  auto at = [&](double share) {
    const auto place = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1) + 0.5);
    std::nth_element(values.begin(), values.begin() + place, values.end());
    return static_cast<double>(values[static_cast<size_t>(place)]);
  };
  return {at((1 - inside) / 2), at((1 + inside) / 2)};
}

Tensor kernel_mosaic(const Tensor& kernels, double limit, int64_t most) {
  static constexpr std::array<Rgb, 5> kAnchors = {
      {{33, 102, 172}, {146, 197, 222}, {247, 247, 247}, {244, 165, 130}, {178, 24, 43}}};
  check_rank("kernel_mosaic", "kernels [O,k,k,I]", kernels, 4);
  const int64_t k = kernels.dim(1), I = kernels.dim(3), step = k + 1;
  const int64_t rows = std::min(most, kernels.dim(0)), columns = std::min(most, I);
  const int64_t H = rows * step - 1, W = columns * step - 1;
  Tensor picture = Tensor::zeros({H, W, 4});
  for (int64_t y = 0; y < H; ++y)
    for (int64_t x = 0; x < W; ++x) {
      const int64_t ky = y % step, kx = x % step;
      if (ky == k || kx == k) continue;
      const float w = kernels.data<float>()[((y / step * k + ky) * k + kx) * I + x / step];
      const Rgb colour = between(kAnchors, place_of(static_cast<double>(w), -limit, limit));
      float* to = picture.data<float>() + (y * W + x) * 4;
      for (size_t c = 0; c < 3; ++c) to[c] = static_cast<float>(colour[c]);
      to[3] = 1;
    }
  return picture;
}

}  // namespace dgp
