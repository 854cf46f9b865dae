// The blurs of Real-ESRGAN (Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
// Synthetic Data", 2021, section 3): Gaussians, round and long, their generalized and plateau forms, and the
// sinc filter that leaves rings. With q(x, y) = p' S^-1 p, S = R(angle) diag(sigma_x^2, sigma_y^2) R(angle)':
//   gaussian exp(-q/2), generalized exp(-q^beta / 2), plateau 1 / (1 + q^beta),
//   sinc     c J1(c r) / (2 pi r), c^2 / (4 pi) at the centre;   each divided by its sum.
#pragma once

#include <cstdint>
#include <vector>

namespace dgp {

enum class BlurShape { gaussian, generalized, plateau, sinc };

struct BlurKernel {
  BlurShape shape = BlurShape::gaussian;
  int64_t size = 21;  // side, odd
  double sigma_x = 1, sigma_y = 1, angle = 0, beta = 1;
  double cutoff = 0;  // of sinc, in (0, pi]

  bool round() const { return sigma_x == sigma_y; }
};

// size * size weights, row by row, of sum 1. Throws Error(invalid) for a size that is even or below 1, and
// for deviations, exponents or a cutoff that are not above 0.
std::vector<double> kernel_weights(const BlurKernel& kernel);

}  // namespace dgp
