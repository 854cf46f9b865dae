// Small networks in which every path matters: nothing is left zero or at the identity.
#pragma once

#include <cmath>
#include <string>

#include "models/dgpnet.h"

inline dgp::Tensor random_tensor(const dgp::Shape& shape, uint64_t seed, double low = 0, double high = 1) {
  dgp::Tensor t(shape);
  dgp::Rng rng(seed);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(rng.uniform(low, high));
  return t;
}

inline dgp::DGPNet random_net(const dgp::DGPNetConfig& config, uint64_t seed) {
  dgp::DGPNet net(config, dgp::Rng(seed));
  uint64_t stream = 0;
  net.visit([&](const std::string& name, dgp::Var& value) {
    bool plain = value.shape().size() == 1 || name.find("balance") != std::string::npos ||
                 name.starts_with("upsample") || name.starts_with("tail");
    ++stream;
    if (value.dtype() == dgp::DType::f32 && plain)
      value.value().copy_from(random_tensor(value.shape(), seed * 1000 + stream, -0.3, 0.3));
  });
  return net;
}

// Largest difference over the largest value.
inline double relative_difference(const dgp::Tensor& a, const dgp::Tensor& b) {
  dgp::check_same("relative_difference", a, b);
  double difference = 0, value = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    double x = a.data<float>()[i], y = b.data<float>()[i];
    if (!(std::abs(x - y) <= difference)) difference = std::abs(x - y);
    value = std::max(value, std::abs(y));
  }
  return difference / value;
}

inline bool same_bits(const dgp::Tensor& a, const dgp::Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}
