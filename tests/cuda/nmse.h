// Normalised mean squared error against float64.
#pragma once

#include "tensor/tensor.h"
#include "tests/test.h"

namespace dgp {

// Of an f32 or 16-bit tensor, wherever it is.
inline double nmse(const Tensor& of, const Tensor& want) {
  const Tensor got = of.to(Device::cpu).to(DType::f32);
  REQUIRE(got.shape() == want.shape());
  double error = 0, power = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    const double e = want.data<double>()[i], d = static_cast<double>(got.data<float>()[i]) - e;
    error += d * d, power += e * e;
  }
  return error / power;
}

}  // namespace dgp
