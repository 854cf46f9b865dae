// The functions of pointwise_functions.h, one thread an element; two operands broadcast by strides, 0 along a
// repeated axis.
#include "ops/broadcast.h"
#include "ops/pointwise_cuda.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

constexpr int kAxes = 6;

struct Strides {
  int axes = 0;
  int64_t size[kAxes], a[kAxes], b[kAxes];  // innermost first
};

template <class Function>
__global__ void unary_kernel(Function fn, const float* x, float* y, int64_t n) {
  int64_t i = element();
  if (i < n) y[i] = fn.f(x[i]);
}

template <class Function>
__global__ void binary_kernel(Function fn, Strides s, const float* a, const float* b, float* y, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t rest = i, ia = 0, ib = 0;
  for (int axis = 0; axis < s.axes; ++axis) {
    int64_t index = rest % s.size[axis];
    rest /= s.size[axis];
    ia += index * s.a[axis];
    ib += index * s.b[axis];
  }
  y[i] = fn.f(a[ia], b[ib]);
}

Strides strides(const Shape& y, const Shape& a, const Shape& b) {
  check(y.size() <= kAxes, "broadcast on the GPU: ", to_string(y), " has more than ", kAxes, " axes");
  Strides s;
  s.axes = static_cast<int>(y.size());
  int64_t next_a = 1, next_b = 1;
  for (size_t i = 0; i < y.size(); ++i) {
    int64_t wide_a = i < a.size() ? a[a.size() - 1 - i] : 1, wide_b = i < b.size() ? b[b.size() - 1 - i] : 1;
    s.size[i] = y[y.size() - 1 - i];
    s.a[i] = wide_a == 1 ? 0 : next_a;
    s.b[i] = wide_b == 1 ? 0 : next_b;
    next_a *= wide_a;
    next_b *= wide_b;
  }
  return s;
}

}  // namespace

template <class Function>
Tensor unary(const Tensor& x, Function fn) {
  Tensor y(x.shape(), x.dtype(), Device::cuda);
  if (y.numel() == 0) return y;
  launch(unary_kernel<Function>, blocks_for(y.numel()), kBlock, fn, x.device_data<float>(),
         y.device_data<float>(), y.numel());
  return y;
}

template <class Function>
Tensor binary(const Shape& shape, const Tensor& a, const Tensor& b, Function fn) {
  Tensor y(shape, a.dtype(), Device::cuda);
  if (y.numel() == 0) return y;
  launch(binary_kernel<Function>, blocks_for(y.numel()), kBlock, fn, strides(shape, a.shape(), b.shape()),
         a.device_data<float>(), b.device_data<float>(), y.device_data<float>(), y.numel());
  return y;
}

#define DGP_UNARY(name, Function) template Tensor unary(const Tensor&, pointwise::Function);
DGP_UNARY_OPS(DGP_UNARY)
DGP_UNARY(add, AddConstant)
DGP_UNARY(mul, MulConstant)
DGP_UNARY(leaky_relu, LeakyRelu)
DGP_UNARY(clamp, Clamp)
#undef DGP_UNARY
#define DGP_BINARY(name, Function) \
  template Tensor binary(const Shape&, const Tensor&, const Tensor&, pointwise::Function);
DGP_BINARY_OPS(DGP_BINARY)
DGP_BINARY(prelu, Prelu)
#undef DGP_BINARY

}  // namespace dgp::cuda
