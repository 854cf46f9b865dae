// What Tensor and the accumulation of gradients need of the device: filling, adding and converting, one
// thread an element.
#include "tensor/cuda_kernel.h"
#include "tensor/storage.h"

namespace dgp::cuda {
namespace {

__global__ void fill_kernel(float* x, int64_t n, float value) {
  int64_t i = element();
  if (i < n) x[i] = value;
}

template <class T>
__global__ void add_kernel(const T* a, const T* b, T* sum, int64_t n) {
  int64_t i = element();
  if (i < n) sum[i] = static_cast<T>(static_cast<float>(a[i]) + static_cast<float>(b[i]));
}

template <class T>
void run_add(const T* a, const T* b, T* sum, int64_t n) {
  if (n > 0) launch(add_kernel<T>, blocks_for(n), kBlock, a, b, sum, n);
}

template <class To, class From>
__global__ void convert_kernel(To* to, const From* from, int64_t n) {
  int64_t i = element();
  if (i < n) to[i] = static_cast<To>(static_cast<float>(from[i]));
}

}  // namespace

void fill(float* x, int64_t n, float value) {
  if (n > 0) launch(fill_kernel, blocks_for(n), kBlock, x, n, value);
}
void add(const Tensor& a, const Tensor& b, const Tensor& sum) {
  dispatch_storage(sum.dtype(), "add", [&](auto zero) {
    using T = decltype(zero);
    run_add(a.device_data<T>(), b.device_data<T>(), sum.device_data<T>(), sum.numel());
  });
}

void convert(void* to, DType to_type, const void* from, DType from_type, int64_t n) {
  dispatch_storage(to_type, "convert", [&](auto to_zero) {
    dispatch_storage(from_type, "convert", [&](auto from_zero) {
      using To = decltype(to_zero);
      using From = decltype(from_zero);
      if (n > 0)
        launch(convert_kernel<To, From>, blocks_for(n), kBlock, static_cast<To*>(to),
               static_cast<const From*>(from), n);
    });
  });
}

}  // namespace dgp::cuda
