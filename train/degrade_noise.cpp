// Noise: Gaussian, and Poisson of as many levels as a picture has values.
#include <array>
#include <bitset>
#include <numbers>

#include "train/degrade_ops.h"
#include "train/picture_values.h"

namespace dgp {
namespace {

// Standard normals by Box and Muller's method, both of each pair, from 32 random bits each: a third of the
// time of Rng::normal, which takes 53 bits.
class Normals {
 public:
  explicit Normals(const Rng& rng) : rng_(rng) {}
  float next() {
    if ((have_ = !have_)) {
      const float u = (static_cast<float>(rng_.bits() >> 8) + 1) * 0x1p-24f;  // (0, 1]
      const float angle = static_cast<float>(rng_.bits()) * 0x1p-32f * 2 * std::numbers::pi_v<float>;
      const float radius = std::sqrt(-2 * std::log(u));
      second_ = radius * std::sin(angle);
      return radius * std::cos(angle);
    }
    return second_;
  }

 private:
  Rng rng_;
  bool have_ = false;
  float second_ = 0;
};

}  // namespace

Tensor add_gaussian_noise(const Tensor& x, double sigma, bool grey, Rng rng) {
  check_picture("add_gaussian_noise", x);
  Tensor result(x.shape());
  const float *p = x.data<float>(), deviation = static_cast<float>(sigma / 255);
  float *out = result.data<float>(), drawn = 0;
  Normals normals(rng);
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (!grey || i % 3 == 0) drawn = normals.next();
    out[i] = clamped(p[i] + drawn * deviation);
  }
  return result;
}

int64_t poisson_levels(const Tensor& x, bool grey) {
  check_picture("poisson_levels", x);
  std::bitset<256> seen;
  const float* p = x.data<float>();
  for (int64_t i = 0; i < x.numel(); i += grey ? 3 : 1)
    seen.set(static_cast<size_t>(byte_of(grey ? luma(p + i) : p[i])));
  int64_t levels = 1;
  while (levels < static_cast<int64_t>(seen.count())) levels *= 2;
  return levels;
}

namespace {

// Poisson variables of one mean, by inversion: a picture has at most 256 means, so that a table each costs
// little, and a draw is a search in it.
class PoissonTable {
 public:
  int64_t draw(double mean, double uniform) {
    if (cumulative_.empty()) fill(mean);
    return std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, uniform) - cumulative_.begin();
  }

 private:
  void fill(double mean) {
    double probability = std::exp(-mean), sum = 0;
    const double last =
        mean + 12 * std::sqrt(mean) + 20;  // beyond it less is left than a double can tell from 0
    for (int64_t k = 0; static_cast<double>(k) <= last; ++k) {
      cumulative_.push_back(sum += probability);
      probability *= mean / static_cast<double>(k + 1);
    }
  }
  std::vector<double> cumulative_;
};

}  // namespace

Tensor add_poisson_noise(const Tensor& x, double scale, bool grey, Rng rng) {
  const auto levels = static_cast<double>(poisson_levels(x, grey));
  Tensor result(x.shape());
  const float* p = x.data<float>();
  float* out = result.data<float>();
  std::array<PoissonTable, 256> tables;
  double noise = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (!grey || i % 3 == 0) {
      const int64_t byte = byte_of(grey ? luma(p + i) : p[i]);
      const double level = static_cast<double>(byte) / 255;
      const int64_t count = tables[static_cast<size_t>(byte)].draw(level * levels, rng.uniform());
      noise = static_cast<double>(count) / levels - level;
    }
    out[i] = clamped(p[i] + static_cast<float>(noise * scale));
  }
  return result;
}

}  // namespace dgp
