// The functions of pointwise_functions.h and their gradients, one thread an element.
#include "ops/broadcast_cuda.h"
#include "ops/pointwise_cuda.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

template <class Function>
__global__ void unary_kernel(Function fn, const float* x, float* y, int64_t n) {
  int64_t i = element();
  if (i < n) y[i] = fn.f(x[i]);
}

template <class Function>
__global__ void unary_gradient_kernel(Function fn, const float* dy, const float* saved, float* dx,
                                      int64_t n) {
  int64_t i = element();
  if (i < n) dx[i] = dy[i] * fn.df(saved[i]);
}

template <class Function>
__global__ void binary_kernel(Function fn, Strides s, const float* a, const float* b, float* y, int64_t n) {
  int64_t i = element(), ia = 0, ib = 0;
  if (i >= n) return;
  s.at(i, ia, ib);
  y[i] = fn.f(a[ia], b[ib]);
}

template <bool kSecond, class Function>
__global__ void binary_gradient_kernel(Function fn, Strides s, const float* dy, const float* a,
                                       const float* b, float* d, int64_t n) {
  int64_t i = element(), ia = 0, ib = 0;
  if (i >= n) return;
  s.at(i, ia, ib);
  d[i] = dy[i] * (kSecond ? fn.db(a[ia], b[ib]) : fn.da(a[ia], b[ib]));
}

}  // namespace

template <class Function>
Tensor unary(const Tensor& x, Function fn) {
  Tensor y(x.shape(), x.dtype(), Device::cuda);
  if (y.numel() > 0)
    launch(unary_kernel<Function>, blocks_for(y.numel()), kBlock, fn, x.device_data<float>(),
           y.device_data<float>(), y.numel());
  return y;
}

template <class Function>
Tensor unary_gradient(const Tensor& dy, const Tensor& saved, Function fn) {
  Tensor dx(dy.shape(), dy.dtype(), Device::cuda);
  if (dx.numel() > 0)
    launch(unary_gradient_kernel<Function>, blocks_for(dx.numel()), kBlock, fn, dy.device_data<float>(),
           saved.device_data<float>(), dx.device_data<float>(), dx.numel());
  return dx;
}

template <class Function>
Tensor binary(const Shape& shape, const Tensor& a, const Tensor& b, Function fn) {
  Tensor y(shape, a.dtype(), Device::cuda);
  if (y.numel() > 0)
    launch(binary_kernel<Function>, blocks_for(y.numel()), kBlock, fn, strides(shape, a.shape(), b.shape()),
           a.device_data<float>(), b.device_data<float>(), y.device_data<float>(), y.numel());
  return y;
}

template <class Function>
Tensor binary_gradient(const Tensor& dy, const Tensor& a, const Tensor& b, Function fn, bool second) {
  Tensor d(dy.shape(), dy.dtype(), Device::cuda);
  if (d.numel() > 0)
    launch(second ? binary_gradient_kernel<true, Function> : binary_gradient_kernel<false, Function>,
           blocks_for(d.numel()), kBlock, fn, strides(dy.shape(), a.shape(), b.shape()),
           dy.device_data<float>(), a.device_data<float>(), b.device_data<float>(), d.device_data<float>(),
           d.numel());
  return d;
}

#define DGP_UNARY(name, Function)                            \
  template Tensor unary(const Tensor&, pointwise::Function); \
  template Tensor unary_gradient(const Tensor&, const Tensor&, pointwise::Function);
DGP_UNARY_OPS(DGP_UNARY)
DGP_UNARY(add, AddConstant)
DGP_UNARY(mul, MulConstant)
DGP_UNARY(leaky_relu, LeakyRelu)
DGP_UNARY(clamp, Clamp)
#undef DGP_UNARY
#define DGP_BINARY(name, Function)                                                         \
  template Tensor binary(const Shape&, const Tensor&, const Tensor&, pointwise::Function); \
  template Tensor binary_gradient(const Tensor&, const Tensor&, const Tensor&, pointwise::Function, bool);
DGP_BINARY_OPS(DGP_BINARY)
DGP_BINARY(prelu, Prelu)
#undef DGP_BINARY

}  // namespace dgp::cuda
