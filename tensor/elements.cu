// What Tensor and the accumulation of gradients need of the device: filling and adding, one thread an
// element.
#include "tensor/cuda.h"
#include "tensor/cuda_kernel.h"

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

}  // namespace

void fill(float* x, int64_t n, float value) {
  if (n > 0) launch(fill_kernel, blocks_for(n), kBlock, x, n, value);
}
void add(const float* a, const float* b, float* sum, int64_t n) {
  if (n > 0) launch(add_kernel, blocks_for(n), kBlock, a, b, sum, n);
}

}  // namespace dgp::cuda
