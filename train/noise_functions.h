// Noise as a function of random bits, once for the CPU and for kernels: a picture's noise field is the same
// wherever it is made.
#pragma once

#include <cmath>
#include <vector>

#include "tensor/device_function.h"
#include "tensor/normals.h"
#include "tensor/philox.h"

namespace dgp {

// As Rng::uniform makes it of two draws.
DGP_DEVICE inline double uniform_of(uint32_t a, uint32_t b) {
  return static_cast<double>(static_cast<uint64_t>(a >> 5) << 26 | b >> 6) * 0x1p-53;
}

// Poisson variables by inversion. A picture has at most 256 means, byte / 255 times one of 9 powers of two,
// `levels`: a table each, made once.
struct PoissonTables {
  std::vector<double> cumulative;  // P(count <= k), of every mean in a row
  std::vector<int64_t> first;      // where a mean's begin, [log2 levels * 256 + byte]; and the end
  // To begin the search with: of each mean, the count that stands for g / kGuides.
  static constexpr int kGuides = 64;
  std::vector<uint16_t> guide;
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
