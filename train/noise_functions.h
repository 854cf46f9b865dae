// Noise as a function of random bits, once for the CPU and for kernels: a picture's noise field is the same
// wherever it is made.
#pragma once

#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "tensor/device_function.h"
#include "tensor/philox.h"

namespace dgp {

// Two standard normals of two draws of 32 bits, by Box and Muller's method.
DGP_DEVICE inline void two_normals(uint32_t a, uint32_t b, float* out) {
  const float u = (static_cast<float>(a >> 8) + 1) * 0x1p-24f;  // (0, 1]
  const float angle = static_cast<float>(b) * 0x1p-32f * 2 * std::numbers::pi_v<float>;
  const float radius = std::sqrt(-2 * std::log(u));
  out[0] = radius * std::cos(angle);
  out[1] = radius * std::sin(angle);
}

// As Rng::uniform makes it of two draws.
DGP_DEVICE inline double uniform_of(uint32_t a, uint32_t b) {
  return static_cast<double>(static_cast<uint64_t>(a >> 5) << 26 | b >> 6) * 0x1p-53;
}

// Poisson variables by inversion. A picture has at most 256 means, byte / 255 times one of 9 powers of two,
// `levels`: a table each, made once.
struct PoissonTables {
  std::vector<double> cumulative;  // P(count <= k), of every mean in a row
  std::vector<int64_t> first;      // where a mean's begin, [log2 levels * 256 + byte]; and the end
};
const PoissonTables& poisson_tables();

// The count that a uniform number in [0, 1) stands for: how many of a table's values, but the last, are not
// above it.
DGP_DEVICE inline int64_t poisson_count(const double* begin, const double* end, double uniform) {
  const double* low = begin;
  for (int64_t n = end - begin - 1; n > 0;) {
    const int64_t half = n / 2;
    if (low[half] <= uniform)
      low += half + 1, n -= half + 1;
    else
      n = half;
  }
  return low - begin;
}

}  // namespace dgp
