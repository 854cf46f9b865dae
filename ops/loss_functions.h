// The losses that are a mean over elements: a function of the difference d = x - t and its derivative; CPU
// and GPU share them.
#pragma once

#include <cmath>

#include "tensor/cuda.h"
#include "tensor/device_function.h"
#include "tensor/tensor.h"

namespace dgp {

namespace losses_of_difference {

// clang-format off
struct L1 {
  template <class T> DGP_DEVICE T f(T d) const { return std::abs(d); }
  template <class T> DGP_DEVICE T df(T d) const { return T(d > 0) - T(d < 0); }
};
struct Charbonnier {
  double eps;
  template <class T> DGP_DEVICE T f(T d) const { return std::sqrt(d * d + T(eps * eps)); }
  template <class T> DGP_DEVICE T df(T d) const { return d / std::sqrt(d * d + T(eps * eps)); }
};
struct Mse {
  template <class T> DGP_DEVICE T f(T d) const { return d * d; }
  template <class T> DGP_DEVICE T df(T d) const { return d + d; }
};
// clang-format on

}  // namespace losses_of_difference

namespace cuda {
// y = scale * the sum of fn.f(x - t), one element.
template <class Function>
DGP_CUDA_FUNCTION void mean_of(const Tensor& x, const Tensor& t, Function fn, double scale, const Tensor& y);
// dx = dy scale fn.df(x - t); dy has one element.
template <class Function>
DGP_CUDA_FUNCTION void mean_of_gradient(const Tensor& x, const Tensor& t, const Tensor& dy, Function fn,
                                        double scale, const Tensor& dx);
}  // namespace cuda

}  // namespace dgp
