// One thread an element of a row of the result; rows along the grid's first axis, which may be long, so that
// no index needs 64-bit divisions.
#include "infer/gpu_pixels.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

__device__ inline int reflected(int i, int n) { return i < n ? i : 2 * (n - 1) - i; }

// Where an enlarged pixel lies between two source pixels, half-pixel centred: (i + 1/2) / scale - 1/2.
struct Between {
  int low, high;
  float weight;  // of high
};
__device__ inline Between between(int64_t i, int scale, int n) {
  int64_t at = 2 * i + 1 - scale;  // in parts of 2 scale
  if (at < 0) at = 0;
  int low = static_cast<int>(at / (2 * scale)), rest = static_cast<int>(at % (2 * scale));
  return {low, low + 1 < n ? low + 1 : n - 1, static_cast<float>(rest) / static_cast<float>(2 * scale)};
}

__global__ void unshuffle_kernel(const float* lr, int lr_first, int lr_height, int lr_width, int u, int first,
                                 int columns, float* y) {
  int at = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x), channels = 3 * u * u;
  if (at >= columns * channels) return;
  int x = at / channels, c = at % channels / (u * u), i = at / u % u, j = at % u;
  int row = reflected((first + static_cast<int>(blockIdx.x)) * u + i, lr_height) - lr_first;
  y[int64_t{blockIdx.x} * columns * channels + at] =
      lr[(int64_t{row} * lr_width + reflected(x * u + j, lr_width)) * 3 + c];
}

__global__ void shuffle_kernel(const float* up, int up_first, int columns, int su, const float* lr,
                               int lr_first, int lr_height, int lr_width, int scale, int first, int width,
                               float* rows) {
  int at = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  if (at >= width * 3) return;
  int x = at / 3, c = at % 3, y = first + static_cast<int>(blockIdx.x);
  Between v = between(y, scale, lr_height), h = between(x, scale, lr_width);
  const float* above = lr + int64_t{v.low - lr_first} * lr_width * 3 + c;
  const float* below = lr + int64_t{v.high - lr_first} * lr_width * 3 + c;
  auto line = [&](int column) { return (1 - v.weight) * above[column * 3] + v.weight * below[column * 3]; };
  float base = (1 - h.weight) * line(h.low) + h.weight * line(h.high);
  int64_t pixel = int64_t{y / su - up_first} * columns + x / su;
  rows[int64_t{blockIdx.x} * width * 3 + at] =
      base + up[pixel * 3 * su * su + (c * su + y % su) * su + x % su];
}

__global__ void finite_kernel(const float* x, int64_t n, float* flag) {
  int64_t i = element();
  if (i < n && !(x[i] - x[i] == 0)) *flag = 1;
}

dim3 grid_of(int64_t rows, int64_t line) {
  int64_t across = (line + kBlock - 1) / kBlock;
  check(rows <= 0x7fffffff && line <= 0x7fffffff && across <= 65535, "upscale: rows of ", line,
        " values are too long for the GPU");
  return {static_cast<unsigned>(rows), static_cast<unsigned>(across)};
}

int narrow(int64_t n) { return static_cast<int>(n); }

}  // namespace

void unshuffle_rows(const Tensor& lr, int64_t lr_first, int64_t lr_height, int64_t u, const Tensor& y,
                    int64_t first) {
  launch(unshuffle_kernel, grid_of(y.dim(1), y.dim(2) * y.dim(3)), kBlock, lr.device_data<float>(),
         narrow(lr_first), narrow(lr_height), narrow(lr.dim(2)), narrow(u), narrow(first), narrow(y.dim(2)),
         y.device_data<float>());
}

void shuffle_add_bilinear(const Tensor& up, int64_t up_first, int64_t su, const Tensor& lr, int64_t lr_first,
                          int64_t lr_height, int64_t scale, const Tensor& rows, int64_t first) {
  launch(shuffle_kernel, grid_of(rows.dim(1), rows.dim(2) * 3), kBlock, up.device_data<float>(),
         narrow(up_first), narrow(up.dim(2)), narrow(su), lr.device_data<float>(), narrow(lr_first),
         narrow(lr_height), narrow(lr.dim(2)), narrow(scale), narrow(first), narrow(rows.dim(2)),
         rows.device_data<float>());
}

void find_not_finite(const Tensor& t, const Tensor& flag) {
  zero(flag.device_data<float>(), flag.nbytes());
  if (t.numel() > 0)
    launch(finite_kernel, blocks_for(t.numel()), kBlock, t.device_data<float>(), t.numel(),
           flag.device_data<float>());
}

}  // namespace dgp::cuda
