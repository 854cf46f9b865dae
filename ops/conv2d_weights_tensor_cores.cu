// The gradient of a convolution in its kernels on tensor cores: the kernel of conv2d_weights_tile.h with
// factors of 16 bits or f32 rounded to tf32. The sum is over pixels, which are rows in memory: fragments are
// read transposed.
#include "ops/conv2d_weights_tile.h"

namespace dgp::cuda {
namespace {

template <class S>
struct TensorCoreSums {
  using T = typename S::T;
  float sum[2][S::kWarpColumns / 8][4] = {};

  __device__ void add(const Chunk* ds, const Chunk* xs, int down, int beside, int lane) {
    uint32_t a[2][4];
    if constexpr (sizeof(T) == 2) {
#pragma unroll
      for (int slice = 0; slice < S::kPixels; slice += 16) {
#pragma unroll
        for (int i = 0; i < 2; ++i)
          load_matrices<true>(
              a[i],
              &ds[placed<T, S::kDChunks>(slice + lane / 16 * 8 + lane % 8, down / 8 + 2 * i + lane / 8 % 2)]);
#pragma unroll
        for (int j = 0; j < S::kWarpColumns / 16; ++j) {
          uint32_t b[4];
          load_matrices<true>(b, &xs[placed<T, S::kXChunks>(slice + lane / 8 % 2 * 8 + lane % 8,
                                                            beside / 8 + 2 * j + lane / 16)]);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            uint32_t column[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
            for (int i = 0; i < 2; ++i) mma<T>(sum[i][2 * j + half], a[i], column);
          }
        }
      }
    } else {
      int g = lane / 4, q = lane % 4;
#pragma unroll
      for (int slice = q; slice < S::kPixels; slice += 8) {
        auto d = [&](int pixel, int o) {
          return to_tf32(half_detail::float_of(ds[placed<T, S::kDChunks>(pixel, o / 4)].word[o % 4]));
        };
        auto term = [&](int pixel, int k) {
          return to_tf32(half_detail::float_of(xs[placed<T, S::kXChunks>(pixel, k / 4)].word[k % 4]));
        };
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          int o = down + 16 * i + g;
          a[i][0] = d(slice, o), a[i][1] = d(slice, o + 8);
          a[i][2] = d(slice + 4, o), a[i][3] = d(slice + 4, o + 8);
        }
#pragma unroll
        for (int j = 0; j < S::kWarpColumns / 8; ++j) {
          uint32_t b[2] = {term(slice, beside + 8 * j + g), term(slice + 4, beside + 8 * j + g)};
#pragma unroll
          for (int i = 0; i < 2; ++i) mma<T>(sum[i][j], a[i], b);
        }
      }
    }
  }
  __device__ void finish() {}
  template <class F>
  __device__ void each(int lane, F&& f) const {
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < S::kWarpColumns / 8; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          f(16 * i + lane / 4 + e / 2 * 8, 8 * j + lane % 4 * 2 + e % 2, sum[i][j][e]);
  }
};

template <class T, int kColumns>
void run_wide(const WeightGradient& p) {
  using S = WeightTile<T, kColumns>;
  run_weight_tiles<S, TensorCoreSums<S>>(p);
}

}  // namespace

void run_on_tensor_cores(const WeightGradient& p, DType type) {
  dispatch_storage(type, "conv2d", [&](auto zero) {
    using T = decltype(zero);
    // Fetching 64 outputs costs as much as 64 places of K. In tf32 a wider tile would not fit into registers.
    int by_64 = (p.depth + 63) / 64 * (64 + 64), by_128 = (p.depth + 127) / 128 * (128 + 64);
    if constexpr (sizeof(T) == 2)
      if (by_128 <= by_64) return run_wide<T, 128>(p);
    run_wide<T, 64>(p);
  });
}

}  // namespace dgp::cuda
