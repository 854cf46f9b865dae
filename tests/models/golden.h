// Test vectors made by PyTorch (tests/reference/dgpnet_vectors.py), and the measure of being equal to them.
#pragma once

#include <cmath>
#include <map>
#include <string>

#include "models/state.h"
#include "tensor/safetensors.h"
#include "tests/test.h"

struct Golden {
  explicit Golden(const std::string& name) {
    auto file = dgp::read_safetensors(std::string(DGP_SOURCE_DIR "/tests/golden/") + name + ".safetensors");
    tensors.insert(file.tensors.begin(), file.tensors.end());
  }

  bool has(const std::string& name) const { return tensors.count(name) > 0; }
  // Images and kernels come with channels last.
  dgp::Tensor operator[](const std::string& name) const {
    INFO(name);
    REQUIRE(has(name));
    return dgp::from_file_layout(tensors.at(name));
  }

  // A visitor that gives each parameter of a module its recorded value.
  dgp::Visitor loader(dgp::DType dtype) const {
    return [this, dtype](const std::string& name, dgp::Var& v) {
      dgp::Tensor value = (*this)[name.substr(name[0] == '.')];
      REQUIRE(value.shape() == v.shape());
      v.set_value(v.requires_grad() ? value.to(dtype) : value);
    };
  }

  std::map<std::string, dgp::Tensor> tensors;
};

// |a - b| / |b| over all elements, in double.
inline double relative_l2(const dgp::Tensor& a, const dgp::Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  dgp::Tensor x = a.to(dgp::DType::f64), y = b.to(dgp::DType::f64);
  double difference = 0, size = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    double d = x.data<double>()[i] - y.data<double>()[i];
    difference += d * d;
    size += y.data<double>()[i] * y.data<double>()[i];
  }
  return std::sqrt(difference / (size > 0 ? size : 1));
}

inline double largest_difference(const dgp::Tensor& a, const dgp::Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  dgp::Tensor x = a.to(dgp::DType::f64), y = b.to(dgp::DType::f64);
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i)
    worst = std::max(worst, std::abs(x.data<double>()[i] - y.data<double>()[i]));
  return worst;
}

// Checks every parameter's gradient against grad.<name>; one recorded in f32 allows for its rounding.
inline dgp::Visitor gradient_checker(const Golden& golden, double tolerance) {
  return [&golden, tolerance](const std::string& full_name, dgp::Var& v) {
    if (!v.requires_grad()) return;
    std::string name = full_name.substr(full_name[0] == '.');
    INFO(name);
    dgp::Tensor expected = golden["grad." + name];
    REQUIRE(v.grad().defined());
    double rounding = expected.dtype() == dgp::DType::f32 ? 1e-7 : 0;
    CHECK(relative_l2(v.grad(), expected) <= tolerance + rounding);
  };
}

// Uniform in [low, high), the same numbers each time.
inline dgp::Tensor random_tensor(const dgp::Shape& shape, uint64_t seed, dgp::DType dtype = dgp::DType::f64,
                                 double low = -1, double high = 1) {
  dgp::Rng rng(seed);
  dgp::Tensor t(shape, dgp::DType::f64);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = rng.uniform(low, high);
  return t.to(dtype);
}

// Gives every parameter a value that matters: nothing stays zero or at the identity.
inline dgp::Visitor randomiser(uint64_t seed, double size = 0.2) {
  auto count = std::make_shared<uint64_t>(seed);
  return [count, size](const std::string&, dgp::Var& v) {
    if (v.requires_grad()) v.set_value(random_tensor(v.shape(), ++*count, v.dtype(), -size, size));
  };
}
