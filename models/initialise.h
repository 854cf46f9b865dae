// Random initial values of parameters: pure functions of a generator, in element order.
#pragma once

#include "tensor/random.h"
#include "tensor/tensor.h"

namespace dgp {

inline constexpr double kLeakySlope = 0.1;  // of every leaky ReLU in the network

// He's uniform bound for layers followed by a leaky ReLU: sqrt(3) * sqrt(2 / (1 + slope^2)) / sqrt(fan_in).
double he_bound(int64_t fan_in);

Tensor uniform_tensor(const Shape& shape, double bound, Rng rng);  // f32, in [-bound, bound)

// i64 [outputs, inputs], each in [0, taps).
Tensor random_taps(int64_t outputs, int64_t inputs, int64_t taps, Rng rng);

}  // namespace dgp
