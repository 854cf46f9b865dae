// What Tensor and the accumulation of gradients need of the device: filling, adding and converting, one
// thread an element.
#include "tensor/cuda.h"
#include "tensor/cuda_kernel.h"
#include "tensor/tensor.h"

namespace dgp::cuda {
namespace {

__global__ void fill_kernel(float* x, int64_t n, float value) {
  int64_t i = element();
  if (i < n) x[i] = value;
}

__global__ void add_kernel(const float* a, const float* b, float* sum, int64_t n) {
  int64_t i = element();
  if (i < n) sum[i] = a[i] + b[i];
}

template <class To, class From>
__global__ void convert_kernel(To* to, const From* from, int64_t n) {
  int64_t i = element();
  if (i < n) to[i] = static_cast<To>(static_cast<float>(from[i]));
}

// f(T{}) for a type T that the device converts.
template <class F>
void dispatch_storage(DType dtype, F&& f) {
  if (dtype == DType::bf16) return f(bf16{});
  if (dtype == DType::f16) return f(f16{});
  check(dtype == DType::f32, "convert: the GPU has f32, bf16 and f16, not ", to_string(dtype));
  f(float{});
}

}  // namespace

void fill(float* x, int64_t n, float value) {
  if (n > 0) launch(fill_kernel, blocks_for(n), kBlock, x, n, value);
}
void add(const float* a, const float* b, float* sum, int64_t n) {
  if (n > 0) launch(add_kernel, blocks_for(n), kBlock, a, b, sum, n);
}

void convert(void* to, DType to_type, const void* from, DType from_type, int64_t n) {
  dispatch_storage(to_type, [&](auto to_zero) {
    dispatch_storage(from_type, [&](auto from_zero) {
      using To = decltype(to_zero);
      using From = decltype(from_zero);
      if (n > 0)
        launch(convert_kernel<To, From>, blocks_for(n), kBlock, static_cast<To*>(to),
               static_cast<const From*>(from), n);
    });
  });
}

}  // namespace dgp::cuda
