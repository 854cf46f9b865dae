// The functions of pointwise_functions.h and their gradients, one thread an element.
#include "ops/broadcast_cuda.h"
#include "ops/pointwise_cuda.h"
#include "tensor/cuda_kernel.h"
#include "tensor/storage.h"

namespace dgp::cuda {
namespace {

__device__ inline float f32(float x) { return x; }  // of any stored type

template <class Function, class T>
__global__ void unary_kernel(Function fn, const T* x, T* y, int64_t n) {
  int64_t i = element();
  if (i < n) y[i] = static_cast<T>(fn.f(f32(x[i])));
}

// `saved` is what df reads, but of 16 bits always x: the result's rounding would be felt where f levels off.
template <class Function, class T>
__global__ void unary_gradient_kernel(Function fn, const T* dy, const T* saved, T* dx, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  float s = f32(saved[i]);
  if constexpr (Function::kFromResult && sizeof(T) == 2) s = fn.f(s);
  dx[i] = static_cast<T>(f32(dy[i]) * fn.df(s));
}

// The result has the type of a.
template <class Function, class A, class B>
__global__ void binary_kernel(Function fn, Strides s, const A* a, const B* b, A* y, int64_t n) {
  int64_t i = element(), ia = 0, ib = 0;
  if (i >= n) return;
  s.at(i, ia, ib);
  y[i] = static_cast<A>(fn.f(f32(a[ia]), f32(b[ib])));
}

template <bool kSecond, class Function, class A, class B, class D>
__global__ void binary_gradient_kernel(Function fn, Strides s, const A* dy, const A* a, const B* b, D* d,
                                       int64_t n) {
  int64_t i = element(), ia = 0, ib = 0;
  if (i >= n) return;
  s.at(i, ia, ib);
  float x = f32(a[ia]), y = f32(b[ib]);
  d[i] = static_cast<D>(f32(dy[i]) * (kSecond ? fn.db(x, y) : fn.da(x, y)));
}

// f(A{}, B{}) for the types of two operands: the same, or f32 beside one of 16 bits.
template <class F>
void dispatch_operands(const Tensor& a, const Tensor& b, F&& f) {
  dispatch_storage(a.dtype(), "pointwise",
                   [&](auto zero) { a.dtype() == b.dtype() ? f(zero, zero) : f(zero, float{}); });
}

}  // namespace

template <class Function>
Tensor unary(const Tensor& x, Function fn) {
  Tensor y(x.shape(), x.dtype(), Device::cuda);
  if (y.numel() == 0) return y;
  dispatch_storage(x.dtype(), "pointwise", [&](auto zero) {
    using T = decltype(zero);
    launch(unary_kernel<Function, T>, blocks_for(y.numel()), kBlock, fn, x.device_data<T>(),
           y.device_data<T>(), y.numel());
  });
  return y;
}

template <class Function>
Tensor unary_gradient(const Tensor& dy, const Tensor& saved, Function fn) {
  Tensor dx(dy.shape(), dy.dtype(), Device::cuda);
  if (dx.numel() == 0) return dx;
  dispatch_storage(dx.dtype(), "pointwise", [&](auto zero) {
    using T = decltype(zero);
    launch(unary_gradient_kernel<Function, T>, blocks_for(dx.numel()), kBlock, fn, dy.device_data<T>(),
           saved.device_data<T>(), dx.device_data<T>(), dx.numel());
  });
  return dx;
}

template <class Function>
Tensor binary(const Shape& shape, const Tensor& a, const Tensor& b, Function fn) {
  Tensor y(shape, a.dtype(), Device::cuda);
  if (y.numel() == 0) return y;
  dispatch_operands(a, b, [&](auto of_a, auto of_b) {
    using A = decltype(of_a);
    using B = decltype(of_b);
    launch(binary_kernel<Function, A, B>, blocks_for(y.numel()), kBlock, fn,
           strides(shape, a.shape(), b.shape()), a.device_data<A>(), b.device_data<B>(), y.device_data<A>(),
           y.numel());
  });
  return y;
}

// What will be summed over an operand's repetitions stays f32 until then.
template <class Function>
Tensor binary_gradient(const Tensor& dy, const Tensor& a, const Tensor& b, Function fn, bool second) {
  const Tensor& operand = second ? b : a;
  bool repeated = operand.shape() != dy.shape();
  Tensor d(dy.shape(), repeated ? DType::f32 : operand.dtype(), Device::cuda);
  if (d.numel() == 0) return d;
  dispatch_operands(a, b, [&](auto of_a, auto of_b) {
    using A = decltype(of_a);
    using B = decltype(of_b);
    auto run = [&](auto kernel, auto* to) {
      launch(kernel, blocks_for(d.numel()), kBlock, fn, strides(dy.shape(), a.shape(), b.shape()),
             dy.device_data<A>(), a.device_data<A>(), b.device_data<B>(), to, d.numel());
    };
    if (second && d.dtype() == dtype_of<B>())
      run(binary_gradient_kernel<true, Function, A, B, B>, d.device_data<B>());
    else if (second)
      run(binary_gradient_kernel<true, Function, A, B, float>, d.device_data<float>());
    else if (d.dtype() == dtype_of<A>())
      run(binary_gradient_kernel<false, Function, A, B, A>, d.device_data<A>());
    else
      run(binary_gradient_kernel<false, Function, A, B, float>, d.device_data<float>());
  });
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
