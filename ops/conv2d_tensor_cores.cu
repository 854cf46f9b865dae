// Convolution on tensor cores: the implicit product of conv2d.cu with its factors rounded to tf32 (11
// significant bits) or bf16 (8), to nearest, as they come into shared memory; products are exact and sums in
// f32. A block of four warps makes a tile of kPixels x kOutputs; a warp 32 pixels by its share of the
// outputs, from fragments of 16 x 8 (tensor/cuda_kernel.h). Rows of shared memory are 8 words longer than
// their content: the 32 lanes of a fragment then meet 32 banks.
#include "ops/conv2d_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kStep = 16, kThreads = 128, kAcross = kThreads / kStep, kWarpPixels = 32;

__device__ inline uint32_t bits_of(float value) {
  union {
    float f;
    uint32_t u;
  } both{value};
  return both.u;
}

// To nearest, ties to even in bf16 and away from zero in tf32, as the hardware's conversions do; the result
// is still an f32. Values too large for that become infinite, as they do there.
__device__ inline uint32_t rounded(float value, Factors factors) {
  uint32_t bits = bits_of(value);
  if ((bits & 0x7F800000U) == 0x7F800000U) return bits;
  if (factors == Factors::tf32) return (bits + 0x1000U) & 0xFFFFE000U;
  return (bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U;
}

__device__ inline uint32_t packed(uint32_t low, uint32_t high) { return low >> 16 | (high & 0xFFFF0000U); }

template <Factors kFactors, int kPixels, int kOutputs>
__global__ void tensor_core_kernel(Convolution p) {
  constexpr int kDown = kPixels / kWarpPixels, kBeside = kThreads / 32 / kDown;  // warps
  constexpr int kWarpOutputs = kOutputs / kBeside, kLoads = kPixels / kAcross;
  constexpr int kTall = kWarpPixels / 16, kWide = kWarpOutputs / 8;  // fragments of a warp
  DGP_SHARED(uint32_t, xs, [kStep][kPixels + 8]);
  DGP_SHARED(uint32_t, ws, [kStep][kOutputs + 8]);
  int cg = p.c / p.groups, og = p.o / p.groups, depth = p.kh * p.kw * cg;
  int64_t image = blockIdx.z / p.groups, pixel0 = int64_t{blockIdx.x} * kPixels;
  int group = static_cast<int>(blockIdx.z) % p.groups, output0 = static_cast<int>(blockIdx.y) * kOutputs;
  const float* x = p.x + image * p.x_rows * p.w * p.c + group * cg;
  const float* w = p.weights + ((p.w_per_image ? image * p.o : 0) + group * og) * depth;
  int t = static_cast<int>(threadIdx.x), k_lane = t % kStep, across = t / kStep;
  Corner corners[kLoads];
  for (int i = 0; i < kLoads; ++i) corners[i] = corner_of(p, pixel0 + across + i * kAcross);

  int warp = t / 32, g = t % 32 / 4, q = t % 4;
  int down = warp % kDown * kWarpPixels, beside = warp / kDown * kWarpOutputs;
  float sum[kTall][kWide][4] = {};
  for (int k0 = 0; k0 < depth; k0 += kStep) {
    Term term = term_of(p, k0 + k_lane);
    for (int i = 0; i < kLoads; ++i)
      xs[k_lane][across + i * kAcross] = rounded(input_at(p, x, corners[i], term), kFactors);
    for (int o = across; o < kOutputs; o += kAcross)
      ws[k_lane][o] = rounded(
          output0 + o < og && term.there ? w[int64_t{output0 + o} * depth + k0 + k_lane] : 0.0F, kFactors);
    __syncthreads();
    auto both = [&](const auto& rows, int k, int column) {
      return packed(rows[k][column], rows[k + 1][column]);
    };
    for (int i = 0; i < kTall; ++i) {
      int row = down + 16 * i + g;
      for (int j = 0; j < kWide; ++j) {
        int column = beside + 8 * j + g;
        if constexpr (kFactors == Factors::bf16) {
          uint32_t a[4] = {both(xs, 2 * q, row), both(xs, 2 * q, row + 8), both(xs, 2 * q + 8, row),
                           both(xs, 2 * q + 8, row + 8)};
          uint32_t b[2] = {both(ws, 2 * q, column), both(ws, 2 * q + 8, column)};
          mma_bf16(sum[i][j], a, b);
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

template <Factors kFactors, int kPixels, int kOutputs>
void run_tiles(const Convolution& p, int64_t images) {
  launch(tensor_core_kernel<kFactors, kPixels, kOutputs>, grid_of(p, images, kPixels, kOutputs), kThreads, p);
}

template <Factors kFactors>
void run_with(const Convolution& p, int64_t images) {
  if (p.o / p.groups <= 16)
    run_tiles<kFactors, 128, 16>(p, images);
  else
    run_tiles<kFactors, 64, 64>(p, images);
}

}  // namespace

void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors) {
  factors == Factors::tf32 ? run_with<Factors::tf32>(p, images) : run_with<Factors::bf16>(p, images);
}

}  // namespace dgp::cuda
