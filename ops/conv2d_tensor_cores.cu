// Convolution on tensor cores: the kernel of conv2d_tile.h with factors of tf32 or f16 (11 significant bits)
// or bf16 (8), rounded to nearest; products are exact and sums in f32. Fragments are of 16 pixels by 8
// outputs.
#include "ops/conv2d_tile.h"

namespace dgp::cuda {
namespace {

template <class T>
struct TensorCoreSums {
  float sum[2][T::kWarpOutputs / 8][4] = {};

  __device__ void add(const Chunk* xs, const Chunk* ws, int down, int beside, int lane) {
    using half_detail::float_of;
    using W = typename T::W;
#pragma unroll
    for (int slice = 0; slice < T::kWChunks / 2; ++slice) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        int row = down + 16 * i + lane % 16;
        load_matrices(a[i], &xs[swizzled<T::kXChunks>(row, 2 * slice + lane / 16)]);
        if constexpr (std::is_same_v<W, float>) {
#pragma unroll
          for (uint32_t& value : a[i]) value = to_tf32(float_of(value));
        } else if constexpr (sizeof(typename T::X) == 4) {
          // Terms t, t + 4, t + 8 and t + 12 are a lane's; so are the weights'.
          uint32_t n[4], v[4] = {a[i][0], a[i][1], a[i][2], a[i][3]};
          load_matrices(n, &xs[swizzled<T::kXChunks>(row, 2 + lane / 16)]);
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            a[i][e] = pack<W>(float_of(v[e]), float_of(v[e + 2]));
            a[i][e + 2] = pack<W>(float_of(n[e]), float_of(n[e + 2]));
          }
        }
      }
#pragma unroll
      for (int j = 0; j < T::kWarpOutputs / 16; ++j) {
        int row = beside + 16 * j + lane / 16 * 8 + lane % 8;
        uint32_t b[4];
        load_matrices(b, &ws[swizzled<T::kWChunks>(row, 2 * slice + lane / 8 % 2)]);
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            uint32_t column[2] = {b[2 * half], b[2 * half + 1]};
            mma<W>(sum[i][2 * j + half], a[i], column);
          }
      }
    }
  }
  __device__ void finish() {}
  __device__ void lay_down(int i, float* rows, int lane) const {
#pragma unroll
    for (int j = 0; j < T::kWarpOutputs / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        rows[(lane / 4 + e / 2 * 8) * T::kPitch + 8 * j + lane % 4 * 2 + e % 2] = sum[i][j][e];
  }
};

template <class X, class W, int kOutputs, bool kWhole>
void run_wide(const Convolution& p, int64_t images) {
  using T = Tile<X, W, kOutputs, kOutputs <= 64 ? kOutputs : kOutputs / 2>;
  run_tiles<T, TensorCoreSums<T>, kWhole>(p, images);
}

template <class X, class W>
void run_with(const Convolution& p, int64_t images) {
  const int width = tile_width(p, {128, 64, 48, 32, 16});
  if (!has_whole_chunks(p))
    return width == 16 ? run_wide<X, W, 16, false>(p, images) : run_wide<X, W, 64, false>(p, images);
  if (width == 16) return run_wide<X, W, 16, true>(p, images);
  if constexpr (std::is_same_v<X, W>) {  // f32 maps with factors of 16 bits make do with fewer kernels
    if (width == 128) return run_wide<X, W, 128, true>(p, images);
    if (width == 48) return run_wide<X, W, 48, true>(p, images);
    if (width == 32) return run_wide<X, W, 32, true>(p, images);
  }
  run_wide<X, W, 64, true>(p, images);
}

}  // namespace

void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors) {
  bool f32 = p.x.type == DType::f32;
  if (factors == Factors::tf32) return run_with<float, float>(p, images);
  if (factors == Factors::bf16)
    return f32 ? run_with<float, bf16>(p, images) : run_with<bf16, bf16>(p, images);
  f32 ? run_with<float, f16>(p, images) : run_with<f16, f16>(p, images);
}

}  // namespace dgp::cuda
