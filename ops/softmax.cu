// A warp a row: its lanes take every 32nd element and add what they found by shuffles, in a fixed order.
#include "ops/softmax.h"
#include "ops/warp_cuda.h"

namespace dgp::cuda {
namespace {

__global__ void softmax_kernel(float* x, int64_t rows, int64_t n) {
  int64_t row = warp_row();
  if (row >= rows) return;  // the whole warp
  float* p = x + row * n;
  float highest = -HUGE_VALF;
  for (int64_t i = lane(); i < n; i += 32) highest = p[i] > highest || p[i] != p[i] ? p[i] : highest;
  for (int by = 16; by > 0; by /= 2) {
    float other = __shfl_xor_sync(~0U, highest, by);
    highest = other > highest || other != other ? other : highest;
  }
  double sum = 0;
  for (int64_t i = lane(); i < n; i += 32) {
    p[i] = std::exp(p[i] - highest);
    sum += static_cast<double>(p[i]);
  }
  float scale = static_cast<float>(1 / warp_sum(sum));
  for (int64_t i = lane(); i < n; i += 32) p[i] *= scale;
}

__global__ void softmax_backward_kernel(const float* y, float* dy, int64_t rows, int64_t n) {
  int64_t row = warp_row();
  if (row >= rows) return;
  const float* p = y + row * n;
  float* d = dy + row * n;
  double dot = 0;
  for (int64_t i = lane(); i < n; i += 32) dot += static_cast<double>(p[i]) * static_cast<double>(d[i]);
  float all = static_cast<float>(warp_sum(dot));
  for (int64_t i = lane(); i < n; i += 32) d[i] = p[i] * (d[i] - all);
}

}  // namespace

void softmax_rows(float* x, int64_t rows, int64_t n) {
  if (rows > 0) launch(softmax_kernel, blocks_for(rows * 32), kBlock, x, rows, n);
}
void softmax_backward_rows(const float* y, float* dy, int64_t rows, int64_t n) {
  if (rows > 0) launch(softmax_backward_kernel, blocks_for(rows * 32), kBlock, y, dy, rows, n);
}

}  // namespace dgp::cuda
