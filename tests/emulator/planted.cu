#include "tensor/cuda_kernel.h"
#include "tests/emulator/planted.h"

namespace planted {

using dgp::cuda::launch;

__global__ void reverse_block_kernel(const float* x, float* y, bool with_barrier) {
  DGP_SHARED(float, tile, [64]);
  tile[threadIdx.x] = x[threadIdx.x];
  if (with_barrier) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}
void reverse_block(const float* x, float* y, bool with_barrier) {
  launch(reverse_block_kernel, 1, 64, x, y, with_barrier);
}

__global__ void divergent_barrier_kernel(float* y) {
  if (threadIdx.x < 32)
    __syncthreads();  // one side
  else
    __syncthreads();  // other side
  y[threadIdx.x] = 1;
}
void divergent_barrier(float* y) { launch(divergent_barrier_kernel, 1, 64, y); }

__global__ void leave_before_barrier_kernel(float* y) {
  if (threadIdx.x >= 40) return;
  __syncthreads();  // too late for some
  y[threadIdx.x] = 1;
}
void leave_before_barrier(float* y) { launch(leave_before_barrier_kernel, 1, 64, y); }

__global__ void divergent_shuffle_kernel(float* y) {
  float v = static_cast<float>(threadIdx.x);
  if (threadIdx.x % 2 == 0) v = __shfl_xor_sync(~0U, v, 2);  // odd lanes stay away
  y[threadIdx.x] = v;
}
void divergent_shuffle(float* y) { launch(divergent_shuffle_kernel, 1, 32, y); }

__global__ void copy_kernel(const float* x, float* y, int64_t from, int64_t count) {
  int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) y[i] = x[from + i];
}
void copy(const float* x, float* y, int64_t from, int64_t count) {
  launch(copy_kernel, static_cast<unsigned>((count + 63) / 64), 64, x, y, from, count);
}

__global__ void write_at_kernel(float* y, int64_t at) {
  if (threadIdx.x == 0) y[at] = 1;
}
void write_at(float* y, int64_t at) { launch(write_at_kernel, 1, 32, y, at); }

__global__ void read_unwritten_shared_kernel(float* y) {
  DGP_SHARED(float, tile, [64]);
  if (threadIdx.x > 0) tile[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x] + tile[threadIdx.x + 32];
}
void read_unwritten_shared(float* y) { launch(read_unwritten_shared_kernel, 2, 32, y); }

__global__ void shared_out_of_bounds_kernel(float* y, int at) {
  DGP_SHARED(float, tile, [32]);
  float* values = tile;  // so that the compiler's own check of bounds does not come first
  values[threadIdx.x == 5 ? at : static_cast<int>(threadIdx.x)] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}
void shared_out_of_bounds(float* y, int at) { launch(shared_out_of_bounds_kernel, 1, 32, y, at); }

// More than a block may have: the emulator must say so, as nvcc would refuse to compile it.
#ifdef DGP_CUDA_EMULATED
__global__ void large_shared_kernel(float* y) {
  DGP_SHARED(float, first, [7168]);
  DGP_SHARED(float, second, [7168]);
  first[threadIdx.x] = second[threadIdx.x] = 1;
  y[threadIdx.x] = 1;
}
void large_shared(float* y) { launch(large_shared_kernel, 1, 32, y); }
#endif

__global__ void sum_warp_kernel(const float* x, float* y) {
  float v = x[threadIdx.x];
  unsigned votes = __ballot_sync(~0U, v > 0);
  for (int by = 16; by > 0; by /= 2) v += __shfl_down_sync(~0U, v, by);
  if (threadIdx.x == 0) y[0] = v;
  __syncwarp();
  int positive = 0;
  for (; votes != 0; votes &= votes - 1) ++positive;
  if (threadIdx.x == 0) y[1] = static_cast<float>(positive);
}
void sum_warp(const float* x, float* y) { launch(sum_warp_kernel, 1, 32, x, y); }

__global__ void count_above_kernel(const float* x, int64_t n, float limit, int* count) {
  int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n && x[i] > limit) atomicAdd(count, 1);
}
void count_above(const float* x, int64_t n, float limit, int* count) {
  launch(count_above_kernel, static_cast<unsigned>((n + 63) / 64), 64, x, n, limit, count);
}

__global__ void sum_by_atomics_kernel(const float* x, int64_t n, float* sum) {
  int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(sum, x[i]);
}
void sum_by_atomics(const float* x, int64_t n, float* sum) {
  launch(sum_by_atomics_kernel, static_cast<unsigned>((n + 63) / 64), 64, x, n, sum);
}

__device__ inline uint32_t bits(float value) {
  union {
    float f;
    uint32_t u;
  } both = {value};
  return both.u;
}

__device__ inline void store(const float (&d)[4], unsigned g, unsigned t, float* to) {
  to[g * 8 + 2 * t] = d[0];
  to[g * 8 + 2 * t + 1] = d[1];
  to[(g + 8) * 8 + 2 * t] = d[2];
  to[(g + 8) * 8 + 2 * t + 1] = d[3];
}

__global__ void mma_tf32_kernel(const float* a, const float* b, float* to) {
  unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  uint32_t fa[4] = {bits(a[g * 8 + t]), bits(a[(g + 8) * 8 + t]), bits(a[g * 8 + t + 4]),
                    bits(a[(g + 8) * 8 + t + 4])};
  uint32_t fb[2] = {bits(b[t * 8 + g]), bits(b[(t + 4) * 8 + g])};
  float d[4] = {};
  dgp::cuda::mma_tf32(d, fa, fb);
  store(d, g, t, to);
}
void mma_tf32(const float* a, const float* b, float* d) { launch(mma_tf32_kernel, 1, 32, a, b, d); }

// Of bf16 or, with `half`, of f16.
__global__ void mma_pairs_kernel(const uint16_t* a, const uint16_t* b, float* to, bool half) {
  unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  uint32_t fa[4], fb[2];
  for (unsigned i = 0; i < 4; ++i) {
    const uint16_t* at = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    fa[i] = at[0] | uint32_t{at[1]} << 16;
  }
  for (unsigned i = 0; i < 2; ++i) {
    const uint16_t* at = b + (2 * t + i * 8) * 8 + g;
    fb[i] = at[0] | uint32_t{at[8]} << 16;
  }
  float d[4] = {};
  if (half)
    dgp::cuda::mma_f16(d, fa, fb);
  else
    dgp::cuda::mma_bf16(d, fa, fb);
  store(d, g, t, to);
}
void mma_bf16(const uint16_t* a, const uint16_t* b, float* d) {
  launch(mma_pairs_kernel, 1, 32, a, b, d, false);
}
void mma_f16(const uint16_t* a, const uint16_t* b, float* d) {
  launch(mma_pairs_kernel, 1, 32, a, b, d, true);
}

struct alignas(16) Four {
  float value[4];
};

__global__ void load_matrices_kernel(const uint16_t* x, uint32_t* to, bool transposed) {
  DGP_SHARED(Four, rows, [32]);
  auto* row = reinterpret_cast<uint16_t*>(&rows[threadIdx.x]);
  for (int i = 0; i < 8; ++i) row[i] = x[threadIdx.x * 8 + i];
  __syncthreads();
  uint32_t d[4];
  if (transposed)
    dgp::cuda::load_matrices<true>(d, row);
  else
    dgp::cuda::load_matrices(d, row);
  for (int i = 0; i < 4; ++i) to[threadIdx.x * 4 + i] = d[i];
}
void load_matrices(const uint16_t* x, uint32_t* d, bool transposed) {
  launch(load_matrices_kernel, 1, 32, x, d, transposed);
}

__device__ inline void store_reversed(const Four* stage, float* y) {
  for (int e = 0; e < 4; ++e) y[threadIdx.x * 4 + e] = stage[31 - threadIdx.x].value[e];
}

__global__ void copy_in_stages_kernel(const float* x, float* y, int64_t from, int latest, bool with_barrier) {
  DGP_SHARED(Four, stages, [2][32]);
  for (int stage = 0; stage < 2; ++stage) {
    const float* four = x + from + stage * 128 + threadIdx.x * 4;
    dgp::cuda::copy_async(&stages[stage][threadIdx.x], four, true);  // of a four
    dgp::cuda::commit_copies();
  }
  if (latest == 0) dgp::cuda::wait_for_copies<0>();
  if (latest == 1) dgp::cuda::wait_for_copies<1>();
  if (with_barrier) __syncthreads();
  for (int stage = 0; stage < 2; ++stage) store_reversed(stages[stage], y + stage * 128);
}
void copy_in_stages(const float* x, float* y, int64_t from, int latest, bool with_barrier) {
  launch(copy_in_stages_kernel, 1, 32, x, y, from, latest, with_barrier);
}

__global__ void refill_stage_kernel(const float* x, float* y, bool with_barrier) {
  DGP_SHARED(Four, stage, [32]);
  dgp::cuda::copy_async(&stage[threadIdx.x], x + threadIdx.x * 4, true);
  dgp::cuda::commit_copies();
  dgp::cuda::wait_for_copies<0>();
  __syncthreads();
  store_reversed(stage, y);
  if (with_barrier) __syncthreads();
  dgp::cuda::copy_async(&stage[threadIdx.x], x, false);
  dgp::cuda::commit_copies();
  dgp::cuda::wait_for_copies<0>();
  __syncthreads();
  for (int e = 0; e < 4; ++e) y[128 + threadIdx.x * 4 + e] = stage[31 - threadIdx.x].value[e];
}
void refill_stage(const float* x, float* y, bool with_barrier) {
  launch(refill_stage_kernel, 1, 32, x, y, with_barrier);
}

}  // namespace planted
