// Kernels, right ones and ones with a planted bug; each function queues one launch. x and y are device
// memory.
#pragma once

#include <cstdint>

namespace planted {

void reverse_block(const float* x, float* y, bool with_barrier);  // y[i] = x[63-i], through shared memory
void divergent_barrier(float* y);
void leave_before_barrier(float* y);
void divergent_shuffle(float* y);
void copy(const float* x, float* y, int64_t from, int64_t count);  // y[i] = x[from+i]; writes count values
void write_at(float* y, int64_t at);
void read_unwritten_shared(float* y);  // y[0..31] = a shared array nobody wrote
void shared_out_of_bounds(float* y, int at);
void large_shared(float* y);              // 56 KiB
void sum_warp(const float* x, float* y);  // y[0] = sum of 32 values; y[1] = votes for > 0
void count_above(const float* x, int64_t n, float limit, int* count);
void sum_by_atomics(const float* x, int64_t n, float* sum);     // depends on the order
void mma_tf32(const float* a, const float* b, float* d);        // [16,8] [8,8] [16,8]
void mma_bf16(const uint16_t* a, const uint16_t* b, float* d);  // [16,16] [16,8] [16,8]
void mma_f16(const uint16_t* a, const uint16_t* b, float* d);
void load_matrices(const uint16_t* x, uint32_t* d, bool transposed);  // [4,8,8] to [32 lanes,4]
// y[256] = x[from + i] with its fours in reverse order in each half, by copies into two stages of shared
// memory, of which the `latest` are not waited for.
void copy_in_stages(const float* x, float* y, int64_t from, int latest, bool with_barrier);
// The same of one stage of 128, which is filled with zeros while others may still read it.
void refill_stage(const float* x, float* y, bool with_barrier);

}  // namespace planted
