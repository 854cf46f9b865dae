#include "train/degrade_taps.h"

#include <algorithm>
#include <cmath>

namespace dgp {
namespace {

// Keys' kernel.
double cubic(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

Taps area_taps(int64_t in, int64_t out) {
  Taps taps;
  taps.n = (in + out - 1) / out + 1;
  for (int64_t o = 0; o < out; ++o) {
    const int64_t begin = o * in / out, end = ((o + 1) * in + out - 1) / out;
    for (int64_t t = 0; t < taps.n; ++t) {
      taps.index.push_back(std::min(begin + t, in - 1));
      taps.weight.push_back(begin + t < end ? 1.f / static_cast<float>(end - begin) : 0.f);
    }
  }
  return taps;
}

}  // namespace

Taps interpolation_taps(int64_t in, int64_t out, Interpolation mode, double ratio) {
  if (mode == Interpolation::area) return area_taps(in, out);
  if (ratio == 0) ratio = static_cast<double>(in) / static_cast<double>(out);
  Taps taps;
  if (mode == Interpolation::nearest) {
    taps.n = 1;
    for (int64_t o = 0; o < out; ++o) {
      taps.index.push_back(std::min(static_cast<int64_t>(ratio * (static_cast<double>(o) + 0.5)), in - 1));
      taps.weight.push_back(1);
    }
    return taps;
  }
  const bool linear = mode == Interpolation::bilinear;
  taps.n = linear ? 2 : 4;
  for (int64_t o = 0; o < out; ++o) {
    double at = ratio * (static_cast<double>(o) + 0.5) - 0.5;
    if (linear) at = std::max(at, 0.0);
    const double first = std::floor(at), t = at - first;
    for (int64_t k = 0; k < taps.n; ++k) {
      const int64_t offset = linear ? k : k - 1;
      taps.index.push_back(std::clamp<int64_t>(static_cast<int64_t>(first) + offset, 0, in - 1));
      taps.weight.push_back(
          static_cast<float>(linear ? (k == 0 ? 1 - t : t) : cubic(t - static_cast<double>(offset), -0.75)));
    }
  }
  return taps;
}

Taps bicubic_taps(int64_t in, int64_t out) {
  const double scale = static_cast<double>(out) / static_cast<double>(in), narrow = std::min(scale, 1.0);
  Taps taps;
  taps.n = static_cast<int64_t>(std::ceil(4 / narrow)) + 1;
  std::vector<double> row(static_cast<size_t>(taps.n));
  for (int64_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) / scale - 0.5;
    const auto first = static_cast<int64_t>(std::floor(centre - 2 / narrow));
    double sum = 0;
    for (size_t t = 0; t < row.size(); ++t)
      sum += row[t] = cubic(narrow * (centre - static_cast<double>(first) - static_cast<double>(t)), -0.5);
    for (size_t t = 0; t < row.size(); ++t) {
      int64_t i = (first + static_cast<int64_t>(t)) % (2 * in);
      if (i < 0) i += 2 * in;
      taps.index.push_back(i < in ? i : 2 * in - 1 - i);
      taps.weight.push_back(static_cast<float>(row[t] / sum));
    }
  }
  return taps;
}

std::vector<float> filter_weights(const std::vector<double>& kernel) {
  constexpr double kNoWeight = 1e-8;  // of the largest: less is lost in the rounding of the sum
  double largest = 0;
  for (double w : kernel) largest = std::max(largest, std::abs(w));
  std::vector<float> weights;
  for (double w : kernel)
    weights.push_back(std::abs(static_cast<float>(w)) < kNoWeight * largest ? 0.f : static_cast<float>(w));
  return weights;
}

Separated separated(const std::vector<double>& kernel) {
  constexpr double kNothing = 1e-9;  // of the largest
  const auto side = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(kernel.size()))));
  std::vector<double> rows(side), columns(side);
  for (size_t i = 0; i < kernel.size(); ++i) rows[i / side] += kernel[i], columns[i % side] += kernel[i];
  const double largest = *std::max_element(kernel.begin(), kernel.end());
  for (size_t i = 0; i < kernel.size(); ++i)
    if (std::abs(kernel[i] - rows[i / side] * columns[i % side]) > kNothing * largest) return {};
  return {filter_weights(rows), filter_weights(columns)};
}

// The one that OpenCV makes of a width of 51 and no deviation: 0.3 ((51 - 1) / 2 - 1) + 0.8 = 8.
const std::vector<float>& sharpening_weights() {
  static const std::vector<float> weights = [] {
    std::vector<double> g;
    double sum = 0;
    for (int i = -25; i <= 25; ++i) {
      g.push_back(std::exp(-static_cast<double>(i * i) / (2 * 8.0 * 8.0)));
      sum += g.back();
    }
    std::vector<float> w;
    for (double v : g) w.push_back(static_cast<float>(v / sum));
    return w;
  }();
  return weights;
}

}  // namespace dgp
