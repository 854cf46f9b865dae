// One thread an element of the result; backward it writes its whole window.
#include "ops/max_pool.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

// Where result element i finds the first pixel of its window.
__device__ inline int64_t window(int64_t i, int64_t height, int64_t width, int64_t channels) {
  int64_t h = height / 2, w = width / 2, k = i % channels, j = i / channels % w, row = i / (channels * w);
  return ((row / h * height + row % h * 2) * width + 2 * j) * channels + k;
}

__global__ void forward_kernel(const float* x, int64_t height, int64_t width, int64_t channels, float* y,
                               int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  const float *top = x + window(i, height, width, channels), *below = top + width * channels;
  auto larger = [](float a, float b) { return a < b ? b : a; };
  y[i] = larger(larger(top[0], top[channels]), larger(below[0], below[channels]));
}

__global__ void backward_kernel(const float* x, const float* y, const float* dy, int64_t height,
                                int64_t width, int64_t channels, float* dx, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t a = window(i, height, width, channels), b = a + channels, c = a + width * channels;
  dx[x[a] == y[i] ? a : x[b] == y[i] ? b : x[c] == y[i] ? c : c + channels] = dy[i];
}

}  // namespace

void max_pool(const Tensor& x, const Tensor& y) {
  if (y.numel() > 0)
    launch(forward_kernel, blocks_for(y.numel()), kBlock, x.device_data<float>(), x.dim(1), x.dim(2),
           x.dim(3), y.device_data<float>(), y.numel());
}

void max_pool_backward(const Tensor& x, const Tensor& y, const Tensor& dy, const Tensor& dx) {
  if (y.numel() > 0)
    launch(backward_kernel, blocks_for(y.numel()), kBlock, x.device_data<float>(), y.device_data<float>(),
           dy.device_data<float>(), x.dim(1), x.dim(2), x.dim(3), dx.device_data<float>(), y.numel());
}

}  // namespace dgp::cuda
