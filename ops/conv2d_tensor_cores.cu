// Convolution on tensor cores: the implicit product of conv2d.cu with its factors rounded to tf32 or f16 (11
// significant bits) or bf16 (8), to nearest, as they come into shared memory; products are exact and sums in
// f32. A block of four warps makes a tile of kPixels x kOutputs; a warp 32 pixels by its share of the
// outputs, from fragments of 16 x 8 (tensor/cuda_kernel.h). Rows of shared memory are 8 words longer than
// their content: the 32 lanes of a fragment then meet 32 banks.
#include "ops/conv2d_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kStep = 16, kThreads = 128, kAcross = kThreads / kStep, kWarpPixels = 32;

// A factor of an f32, in 32 bits. tf32's ties are rounded away from zero, as the hardware's conversion does.
template <Factors kFactors>
__device__ inline uint32_t factor(float value) {
  if constexpr (kFactors == Factors::bf16) return bf16(value).bits;
  if constexpr (kFactors == Factors::f16) return f16(value).bits;
  uint32_t bits = half_detail::bits_of(value);
  return (bits & 0x7F800000U) == 0x7F800000U ? bits : (bits + 0x1000U) & 0xFFFFE000U;
}

template <Factors kFactors>
using Weight = std::conditional_t<kFactors == Factors::bf16, bf16,
                                  std::conditional_t<kFactors == Factors::f16, f16, float>>;

// X: what x is stored in.
template <class X, Factors kFactors, int kPixels, int kOutputs>
__global__ void tensor_core_kernel(Convolution p) {
  constexpr int kDown = kPixels / kWarpPixels, kBeside = kThreads / 32 / kDown;  // warps
  constexpr int kWarpOutputs = kOutputs / kBeside, kLoads = kPixels / kAcross;
  constexpr int kTall = kWarpPixels / 16, kWide = kWarpOutputs / 8;  // fragments of a warp
  DGP_SHARED(uint32_t, xs, [kStep][kPixels + 8]);
  DGP_SHARED(uint32_t, ws, [kStep][kOutputs + 8]);
  int cg = p.c / p.groups, og = p.o / p.groups, depth = p.kh * p.kw * cg;
  int64_t image = blockIdx.z / p.groups, pixel0 = int64_t{blockIdx.x} * kPixels;
  int group = static_cast<int>(blockIdx.z) % p.groups, output0 = static_cast<int>(blockIdx.y) * kOutputs;
  using W = Weight<kFactors>;
  const X* x = static_cast<const X*>(p.x.data) + image * p.x_rows * p.w * p.c + group * cg;
  const W* w = static_cast<const W*>(p.weights) + ((p.w_per_image ? image * p.o : 0) + group * og) * depth;
  int t = static_cast<int>(threadIdx.x), k_lane = t % kStep, across = t / kStep;
  Corner corners[kLoads];
  for (int i = 0; i < kLoads; ++i) corners[i] = corner_of(p, pixel0 + across + i * kAcross);

  int warp = t / 32, g = t % 32 / 4, q = t % 4;
  int down = warp % kDown * kWarpPixels, beside = warp / kDown * kWarpOutputs;
  float sum[kTall][kWide][4] = {};
  for (int k0 = 0; k0 < depth; k0 += kStep) {
    Term term = term_of(p, k0 + k_lane);
    for (int i = 0; i < kLoads; ++i)
      xs[k_lane][across + i * kAcross] = factor<kFactors>(input_at(p, x, corners[i], term));
    for (int o = across; o < kOutputs; o += kAcross)
      ws[k_lane][o] = factor<kFactors>(output0 + o < og && term.there
                                           ? static_cast<float>(w[int64_t{output0 + o} * depth + k0 + k_lane])
                                           : 0.0F);
    __syncthreads();
    auto both = [&](const auto& rows, int k, int column) {
      return rows[k][column] | rows[k + 1][column] << 16;
    };
    for (int i = 0; i < kTall; ++i) {
      int row = down + 16 * i + g;
      for (int j = 0; j < kWide; ++j) {
        int column = beside + 8 * j + g;
        if constexpr (kFactors != Factors::tf32) {
          uint32_t a[4] = {both(xs, 2 * q, row), both(xs, 2 * q, row + 8), both(xs, 2 * q + 8, row),
                           both(xs, 2 * q + 8, row + 8)};
          uint32_t b[2] = {both(ws, 2 * q, column), both(ws, 2 * q + 8, column)};
          if constexpr (kFactors == Factors::bf16)
            mma_bf16(sum[i][j], a, b);
          else
            mma_f16(sum[i][j], a, b);
        } else {
          for (int k = q; k < kStep; k += 8) {
            uint32_t a[4] = {xs[k][row], xs[k][row + 8], xs[k + 4][row], xs[k + 4][row + 8]};
            uint32_t b[2] = {ws[k][column], ws[k + 4][column]};
            mma_tf32(sum[i][j], a, b);
          }
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < kTall; ++i)
    for (int j = 0; j < kWide; ++j)
      for (int e = 0; e < 4; ++e) {
        int64_t pixel = pixel0 + down + 16 * i + g + e / 2 * 8;
        int o = output0 + beside + 8 * j + 2 * q + e % 2;
        if (pixel < int64_t{p.y_rows} * p.ow && o < og)
          store_at(p, image, pixel, group * og + o, sum[i][j][e]);
      }
}

template <class X, Factors kFactors>
void run_tiles(const Convolution& p, int64_t images) {
  if (p.o / p.groups <= 16)
    launch(tensor_core_kernel<X, kFactors, 128, 16>, grid_of(p, images, 128, 16), kThreads, p);
  else
    launch(tensor_core_kernel<X, kFactors, 64, 64>, grid_of(p, images, 64, 64), kThreads, p);
}

}  // namespace

void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors) {
  bool whole = p.x.type == DType::f32;
  if (factors == Factors::tf32) return run_tiles<float, Factors::tf32>(p, images);
  if (factors == Factors::bf16)
    return whole ? run_tiles<float, Factors::bf16>(p, images) : run_tiles<bf16, Factors::bf16>(p, images);
  whole ? run_tiles<float, Factors::f16>(p, images) : run_tiles<f16, Factors::f16>(p, images);
}

}  // namespace dgp::cuda
