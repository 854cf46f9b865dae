// Sums on the GPU, for .cu files: of anything that can be loaded by index, in double, in an order that the
// shape alone fixes. A launch adds parts of the rows; launches follow until one part is left.
#pragma once

#include "tensor/cuda_kernel.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

// Loads for sum_axis: the term with flat index i.
template <class T>
struct LoadStored {  // T: float, bf16 or f16
  const T* x;
  __device__ double operator()(int64_t i) const { return static_cast<double>(static_cast<float>(x[i])); }
};
using LoadF32 = LoadStored<float>;
struct LoadF64 {
  const double* x;
  __device__ double operator()(int64_t i) const { return x[i]; }
};

// How a block's threads divide the work: `groups` sums side by side, of `width` columns each, every column
// summed by `lanes` threads. groups * lanes * width = kBlock, all powers of two.
struct SumShape {
  int64_t outer, rows, inner, part, parts, tiles;  // part: rows of one sum; tiles: blocks over the columns
  int width, lanes;
  double scale;
};

template <class Load, class Out>
__global__ void sum_kernel(SumShape s, Load load, Out* y) {
  DGP_SHARED(double, sums, [kBlock]);
  int t = static_cast<int>(threadIdx.x), lane = t / s.width % s.lanes;
  int64_t k = blockIdx.x % s.tiles * s.width + t % s.width;
  int64_t group = t / (s.width * s.lanes), groups = kBlock / (s.width * s.lanes);
  int64_t at = blockIdx.x / s.tiles * groups + group;  // which part of which outer index
  bool mine = at < s.outer * s.parts && k < s.inner;
  double sum = 0;
  if (mine) {
    int64_t first = at % s.parts * s.part, end = first + s.part < s.rows ? first + s.part : s.rows;
    int64_t base = at / s.parts * s.rows * s.inner + k;
    for (int64_t r = first + lane; r < end; r += s.lanes) sum += load(base + r * s.inner);
  }
  sums[t] = sum;
  __syncthreads();
  for (int half = s.lanes / 2; half > 0; half /= 2) {
    if (lane < half) sums[t] += sums[t + half * s.width];
    __syncthreads();
  }
  if (mine && lane == 0) y[at * s.inner + k] = static_cast<Out>(s.scale * sums[t]);
}

inline SumShape sum_shape(int64_t outer, int64_t rows, int64_t inner) {
  constexpr int64_t kEach = 32;  // rows a thread
  SumShape s{outer, rows, inner, 0, 0, 0, 1, 1, 1};
  while (s.width < 32 && s.width < inner) s.width *= 2;
  while (s.lanes * s.width < static_cast<int>(kBlock) && s.lanes < rows) s.lanes *= 2;
  s.part = s.lanes * kEach;
  s.parts = rows > s.part ? (rows + s.part - 1) / s.part : 1;
  s.tiles = (inner + s.width - 1) / s.width;
  return s;
}

template <class Load, class Out>
void launch_sum(const SumShape& s, Load load, Out* y) {
  int64_t groups = kBlock / (s.width * s.lanes), blocks = (s.outer * s.parts + groups - 1) / groups * s.tiles;
  check(blocks <= 0x7fffffff, "sum: ", s.outer, " times ", s.inner, " sums are too many for one kernel");
  launch(sum_kernel<Load, Out>, static_cast<unsigned>(blocks), kBlock, s, load, y);
}

// scale * the sum over r of load((o * rows + r) * inner + k) for every o < outer and k < inner -> y, which
// has room for outer * inner values.
template <class Load, class Out>
void sum_axis(Load load, int64_t outer, int64_t rows, int64_t inner, double scale, Out* y) {
  if (outer * inner == 0) return;
  SumShape s = sum_shape(outer, rows, inner);
  if (s.parts == 1) {
    s.scale = scale;
    return launch_sum(s, load, y);
  }
  Tensor partial({outer, s.parts, inner}, DType::f64, Device::cuda);
  launch_sum(s, load, partial.device_data<double>());
  sum_axis(LoadF64{partial.device_data<double>()}, outer, s.parts, inner, scale, y);
}

}  // namespace dgp::cuda
