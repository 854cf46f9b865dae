#include "train/blur_kernels.h"

#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace dgp {
namespace {

double sinc_weight(double cutoff, double r) {
  if (r == 0) return cutoff * cutoff / (4 * std::numbers::pi);
  return cutoff * std::cyl_bessel_j(1.0, cutoff * r) / (2 * std::numbers::pi * r);
}

// q at (x, y): the two axes of the ellipse are at right angles, so S^-1 needs no inverse.
double distance(const BlurKernel& k, double x, double y) {
  const double c = std::cos(k.angle), s = std::sin(k.angle);
  const double along = (c * x + s * y) / k.sigma_x, across = (c * y - s * x) / k.sigma_y;
  return along * along + across * across;
}

double weight_at(const BlurKernel& k, double x, double y) {
  switch (k.shape) {
    case BlurShape::sinc:
      return sinc_weight(k.cutoff, std::sqrt(x * x + y * y));
    case BlurShape::generalized:
      return std::exp(-0.5 * std::pow(distance(k, x, y), k.beta));
    case BlurShape::plateau:
      return 1 / (1 + std::pow(distance(k, x, y), k.beta));
    case BlurShape::gaussian:
      break;
  }
  return std::exp(-0.5 * distance(k, x, y));
}

}  // namespace

std::vector<double> kernel_weights(const BlurKernel& k) {
  check(k.size >= 1 && k.size % 2 == 1, "blur kernel: expects an odd size, got ", k.size);
  check(k.shape == BlurShape::sinc ? k.cutoff > 0 : k.sigma_x > 0 && k.sigma_y > 0 && k.beta > 0,
        "blur kernel: deviations, exponent and cutoff must be above 0");
  const int64_t half = k.size / 2;
  std::vector<double> weights;
  double sum = 0;
  for (int64_t y = -half; y <= half; ++y)
    for (int64_t x = -half; x <= half; ++x) {
      weights.push_back(weight_at(k, static_cast<double>(x), static_cast<double>(y)));
      sum += weights.back();
    }
  for (double& w : weights) w /= sum;
  return weights;
}

}  // namespace dgp
