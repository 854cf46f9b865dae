// What the convolutions' kernels share, for .cu files: how chunks of shared memory are filled, stage by
// stage, while others are multiplied.
#pragma once

#include "ops/conv2d_cuda.h"

namespace dgp::cuda {

struct alignas(16) Chunk {
  uint32_t word[4];
};

// A place in K: a tap, in pixels, and a channel of the group; moved on without dividing.
struct Walk {
  int channel, dy, dx;

  template <class P>
  __device__ void advance(const P& p, int cg, int terms) {
    for (channel += terms; channel >= cg; channel -= cg)
      if ((dx += p.dilation) == p.kw * p.dilation) dx = 0, dy += p.dilation;
  }
  template <class P>
  __device__ bool there(const P& p) const {
    return dy < p.kh * p.dilation;
  }
};

// The fragments' product (tensor/cuda_kernel.h) of factors T, where float means tf32.
template <class T>
__device__ inline void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, bf16>)
    mma_bf16(d, a, b);
  else if constexpr (std::is_same_v<T, f16>)
    mma_f16(d, a, b);
  else
    mma_tf32(d, a, b);
}

__device__ inline uint32_t bits_of(float value) { return half_detail::bits_of(value); }
__device__ inline uint32_t bits_of(bf16 value) { return value.bits; }
__device__ inline uint32_t bits_of(f16 value) { return value.bits; }

// A chunk of values that do not lie side by side: from[offset(i)], zero where that is negative.
template <class T, class Offset>
__device__ inline Chunk gathered(const T* from, Offset&& offset) {
  Chunk values{};
#pragma unroll
  for (int i = 0; i < static_cast<int>(16 / sizeof(T)); ++i) {
    int64_t at = offset(i);
    if (at >= 0) values.word[i * sizeof(T) / 4] |= bits_of(from[at]) << i * sizeof(T) % 4 * 8;
  }
  return values;
}

// fetch(stage, step) begins to fill a stage of shared memory, multiply(stage) uses it: for every step, with
// the next kStages - 1 under way. Group `step` of the copies is that step's; groups may be empty.
template <int kStages, class Fetch, class Multiply>
__device__ inline void in_stages(int steps, Fetch&& fetch, Multiply&& multiply) {
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) fetch(step, step);
    commit_copies();
  }
  for (int step = 0, stage = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // everyone's copies are there, and everyone is done with the stage before this one
    int ahead = step + kStages - 1;
    if (ahead < steps) fetch(stage == 0 ? kStages - 1 : stage - 1, ahead);
    commit_copies();
    multiply(stage);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
}

}  // namespace dgp::cuda
