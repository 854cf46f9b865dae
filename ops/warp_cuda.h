// For kernels in which a warp works on a row.
#pragma once

#include <cmath>

#include "tensor/cuda_kernel.h"

namespace dgp::cuda {

__device__ inline int64_t warp_row() { return element() / 32; }
__device__ inline int lane() { return static_cast<int>(threadIdx.x % 32); }

// The sum over the warp's lanes, for all of them.
__device__ inline double warp_sum(double value) {
  for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(~0U, value, by);
  return value;
}

}  // namespace dgp::cuda
