// Noise: Gaussian, and Poisson of as many levels as a picture has values.
#include <bitset>

#include "train/degrade_ops.h"
#include "train/noise_functions.h"
#include "train/picture_values.h"

namespace dgp {

Tensor add_gaussian_noise(const Tensor& x, double sigma, bool grey, Rng rng) {
  check_picture("add_gaussian_noise", x);
  Tensor result(x.shape());
  const float *p = x.data<float>(), deviation = static_cast<float>(sigma / 255);
  float* out = result.data<float>();
  float drawn[2] = {};
  const int64_t each = grey ? 3 : 1;  // values that one normal is added to
  for (int64_t i = 0, draws = x.numel() / each; i < draws; ++i) {
    if (i % 2 == 0) {
      const uint32_t a = rng.bits(), b = rng.bits();
      two_normals(a, b, drawn);
    }
    for (int64_t c = i * each; c < (i + 1) * each; ++c) out[c] = clamped(p[c] + drawn[i % 2] * deviation);
  }
  return result;
}

namespace {

int log2_levels(const Tensor& x, bool grey) {
  std::bitset<256> seen;
  const float* p = x.data<float>();
  for (int64_t i = 0; i < x.numel(); i += grey ? 3 : 1)
    seen.set(static_cast<size_t>(byte_of(grey ? luma(p + i) : p[i])));
  int log2 = 0;
  while (1 << log2 < static_cast<int>(seen.count())) ++log2;
  return log2;
}

void append_table(double mean, std::vector<double>& cumulative) {
  double probability = std::exp(-mean), sum = 0;
  const double last =
      mean + 12 * std::sqrt(mean) + 20;  // beyond it less is left than a double can tell from 0
  for (int64_t k = 0; static_cast<double>(k) <= last; ++k) {
    cumulative.push_back(sum += probability);
    probability *= mean / static_cast<double>(k + 1);
  }
}

}  // namespace

const PoissonTables& poisson_tables() {
  static const PoissonTables tables = [] {
    PoissonTables t;
    t.first.push_back(0);
    for (int log2 = 0; log2 <= 8; ++log2)
      for (int byte = 0; byte < 256; ++byte) {
        append_table(byte / 255.0 * (1 << log2), t.cumulative);
        t.first.push_back(static_cast<int64_t>(t.cumulative.size()));
      }
    return t;
  }();
  return tables;
}

int64_t poisson_levels(const Tensor& x, bool grey) {
  check_picture("poisson_levels", x);
  return int64_t{1} << log2_levels(x, grey);
}

Tensor add_poisson_noise(const Tensor& x, double scale, bool grey, Rng rng) {
  check_picture("add_poisson_noise", x);
  const PoissonTables& tables = poisson_tables();
  const int log2 = log2_levels(x, grey);
  const int64_t* first = tables.first.data() + log2 * 256;
  Tensor result(x.shape());
  const float* p = x.data<float>();
  float* out = result.data<float>();
  double noise = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (!grey || i % 3 == 0) {
      const int byte = byte_of(grey ? luma(p + i) : p[i]);
      const int64_t count = poisson_count(tables.cumulative.data() + first[byte],
                                          tables.cumulative.data() + first[byte + 1], rng.uniform());
      noise = static_cast<double>(count) / (1 << log2) - byte / 255.0;
    }
    out[i] = clamped(p[i] + static_cast<float>(noise * scale));
  }
  return result;
}

}  // namespace dgp
