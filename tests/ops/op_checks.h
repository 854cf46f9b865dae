// What every op is put through: gradients against central differences in f64, f32 against f64, the same bits
// on any number of threads, and, on the GPU or its emulator, against f64 and the same bits in every run. An
// op under test is a function of leaves; inputs are f64 tensors.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>

#include "autograd/gradcheck.h"
#include "tensor/cuda.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/test.h"

#ifdef DGP_CUDA_EMULATED
#include <emulator.h>
#endif

namespace dgp {

using OpUnderTest = std::function<Var(const std::vector<Var>&)>;

inline Tensor random_tensor(const Shape& shape, uint64_t seed, double low = -1, double high = 1) {
  Tensor t(shape, DType::f64);
  Rng rng(seed, 77);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<double>()[i] = rng.uniform(low, high);
  return t;
}

// Random values whose distance from each kink is at least `gap`.
inline Tensor random_away_from(const Shape& shape, uint64_t seed, const std::vector<double>& kinks,
                               double gap = 0.05, double low = -1, double high = 1) {
  Tensor t = random_tensor(shape, seed, low, high);
  for (int64_t i = 0; i < t.numel(); ++i)
    for (double kink : kinks) {
      double& v = t.data<double>()[i];
      if (std::abs(v - kink) < gap) v = kink + (v < kink ? -gap : gap);
    }
  return t;
}

inline Tensor tensor(const Shape& shape, const std::vector<double>& values) {
  return Tensor::from<double>(shape, values);
}

// The result and the gradients of every input, with a fixed random seed gradient.
inline std::vector<Tensor> run_op(const OpUnderTest& f, const std::vector<Tensor>& inputs, DType dtype,
                                  Device device = Device::cpu) {
  std::vector<Var> leaves;
  for (const Tensor& input : inputs) leaves.emplace_back(input.clone().to(dtype).to(device), true);
  Var y = f(leaves);
  std::vector<Tensor> out{y.value().clone().to(Device::cpu)};
  backward(y, random_tensor(y.shape(), 5).to(dtype).to(device));
  for (const Var& leaf : leaves) out.push_back(leaf.grad().to(Device::cpu));
  return out;
}

inline void check_gradient(const OpUnderTest& f, const std::vector<Tensor>& inputs, double limit = 1e-6) {
  GradcheckResult result = gradcheck(f, inputs);
  INFO("input shape " << to_string(inputs[0].shape()) << ", " << result.where);
  CHECK(result.worst <= limit);
}

// What f32 sees, so that only the arithmetic differs.
inline std::vector<Tensor> rounded_to_f32(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> rounded;
  for (const Tensor& input : inputs) rounded.push_back(input.to(DType::f32).to(DType::f64));
  return rounded;
}

// Normalised mean squared error of f32, for the result (first) and every gradient.
inline void check_close(const std::vector<Tensor>& got, const std::vector<Tensor>& exact, double of_result,
                        double of_gradients, const Shape& input) {
  REQUIRE(got.size() == exact.size());
  for (size_t k = 0; k < exact.size(); ++k) {
    REQUIRE(got[k].dtype() == DType::f32);
    REQUIRE(got[k].shape() == exact[k].shape());
    double error = 0, power = 0;
    for (int64_t i = 0; i < exact[k].numel(); ++i) {
      double e = exact[k].data<double>()[i], d = static_cast<double>(got[k].data<float>()[i]) - e;
      error += d * d;
      power += e * e;
    }
    INFO("input shape " << to_string(input) << (k == 0 ? ", result" : ", gradient ") << k);
    CHECK(error <= (k == 0 ? of_result : of_gradients) * power);
  }
}

inline void check_f32(const OpUnderTest& f, const std::vector<Tensor>& inputs, double limit = 1e-12) {
  std::vector<Tensor> rounded = rounded_to_f32(inputs);
  check_close(run_op(f, rounded, DType::f32), run_op(f, rounded, DType::f64), limit, limit,
              inputs[0].shape());
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.nbytes() == 0 || std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())) == 0);
}

struct ThreadsRestored {
  int before = num_threads();
  ~ThreadsRestored() { set_num_threads(before); }
};

inline void check_threads(const OpUnderTest& f, const std::vector<Tensor>& inputs) {
  ThreadsRestored restored;
  set_num_threads(1);
  std::vector<Tensor> one = run_op(f, inputs, DType::f32);
  for (int threads : {2, 3, 4, 8}) {
    set_num_threads(threads);
    std::vector<Tensor> many = run_op(f, inputs, DType::f32);
    for (size_t k = 0; k < one.size(); ++k) {
      INFO("input shape " << to_string(inputs[0].shape()) << ", " << threads << " threads, tensor " << k);
      CHECK(same_bits(one[k], many[k]));
    }
  }
}

// The GPU against f64, and three runs against each other: emulated, with the threads of a kernel forward,
// reversed and shuffled, and buffers at either edge of their pages. Nothing where there is no GPU.
inline void check_cuda(const OpUnderTest& f, const std::vector<Tensor>& inputs, double of_result = 1e-12,
                       double of_gradients = 1e-11) {
  if (!cuda::status().empty()) return;
  std::vector<Tensor> rounded = rounded_to_f32(inputs), first;
  for (int run = 0; run < 3; ++run) {
#ifdef DGP_CUDA_EMULATED
    using emulator::Order, emulator::Placement;
    emulator::With with({.order = run == 0   ? Order::forward
                                  : run == 1 ? Order::reverse
                                             : Order::shuffled,
                         .placement = run == 1 ? Placement::begin : Placement::end});
#endif
    std::vector<Tensor> got = run_op(f, rounded, DType::f32, Device::cuda);
#ifdef DGP_CUDA_EMULATED
    cuda::synchronize();
    emulator::check_leaks();
#endif
    if (run == 0)
      check_close(got, run_op(f, rounded, DType::f64), of_result, of_gradients, inputs[0].shape());
    else
      for (size_t k = 0; k < got.size(); ++k) {
        INFO("input shape " << to_string(inputs[0].shape()) << ", run " << run << " on the GPU, tensor "
                            << k);
        CHECK(same_bits(got[k], first[k]));
      }
    if (run == 0) first = got;
  }
}

inline void check_op(const OpUnderTest& f, const std::vector<Tensor>& inputs) {
  check_gradient(f, inputs);
  check_f32(f, inputs);
  check_threads(f, inputs);
  check_cuda(f, inputs);
}

// The same for tensors that span several chunks; differences would take too long.
inline void check_large(const OpUnderTest& f, const std::vector<Tensor>& inputs) {
  check_f32(f, inputs);
  check_threads(f, inputs);
  check_cuda(f, inputs);
}

inline void check_values(const Tensor& got, const Shape& shape, const std::vector<double>& want,
                         double margin = 1e-12) {
  REQUIRE(got.shape() == shape);
  Tensor g = got.to(DType::f64);
  REQUIRE(static_cast<size_t>(g.numel()) == want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    INFO("element " << i);
    CHECK(g.data<double>()[i] == Approx(want[i]).epsilon(margin).margin(margin));
  }
}

}  // namespace dgp
