#include "models/initialise.h"

#include <cmath>

namespace dgp {

double he_bound(int64_t fan_in) {
  return std::sqrt(3.0) * std::sqrt(2 / (1 + kLeakySlope * kLeakySlope)) /
         std::sqrt(static_cast<double>(fan_in));
}

Tensor uniform_tensor(const Shape& shape, double bound, Rng rng) {
  Tensor t(shape);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(rng.uniform(-bound, bound));
  return t;
}

Tensor random_taps(int64_t outputs, int64_t inputs, int64_t taps, Rng rng) {
  Tensor t({outputs, inputs}, DType::i64);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<int64_t>()[i] = rng.below(taps);
  return t;
}

}  // namespace dgp
