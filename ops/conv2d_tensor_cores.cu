// Convolution on tensor cores: the implicit product of conv2d.cu with factors of tf32 or f16 (11 significant
// bits) or bf16 (8), rounded to nearest; products are exact and sums in f32.
//
// A block of warps makes a tile of 128 pixels by kOutputs, a warp 32 pixels by kWarpOutputs of it, from
// fragments of 16 x 8. K goes through shared memory in stages of 64 bytes a pixel, as x is stored, and as
// many terms of the weights, which weights_kernel of conv2d.cu has rounded and laid out. While one stage is
// multiplied, asynchronous copies fill the next kStages - 1. The 16-byte chunks of a row change places with
// the row (Swizzle), so that the eight rows of a fragment meet all banks once. At the end every warp lays its
// sums down in rows of outputs, 16 pixels at a time, and stores four outputs a lane.
#include "ops/conv2d_tensor_cores.h"

namespace dgp::cuda {
namespace {

// Where chunk c of a row is, in rows of kChunks of them.
template <int kChunks>
__device__ inline int swizzled(int row, int chunk) {
  return row * kChunks + (chunk ^ row / (8 / kChunks) % kChunks);
}

template <Factors kFactors>
using Weight = std::conditional_t<kFactors == Factors::bf16, bf16,
                                  std::conditional_t<kFactors == Factors::f16, f16, float>>;

template <class X, Factors kFactors, int kOutputs>
struct Tile {
  static constexpr int kPixels = 128, kDown = kPixels / 32, kBeside = kOutputs > 64 ? 2 : 1;
  static constexpr int kThreads = 32 * kDown * kBeside, kWarpOutputs = kOutputs / kBeside;
  static constexpr int kDeep = 64 / sizeof(X);                                          // terms a stage
  static constexpr int kXChunks = 4, kWChunks = kDeep * sizeof(Weight<kFactors>) / 16;  // a row
  static constexpr int kStage = kPixels * kXChunks + kOutputs * kWChunks, kStages = 3;
  static constexpr int kPitch = kWarpOutputs + 8;  // of the sums of a warp's 16 pixels, in f32
  static constexpr int kChunks = std::max(kStages * kStage, kDown* kBeside * 16 * kPitch / 4);
  static_assert(kChunks * sizeof(Chunk) <= 48 << 10);
};

// Offset of the term of a pixel in its image, or -1 where that is zero.
__device__ inline int64_t term_at(const Convolution& p, Corner at, const Walk& k) {
  int iy = at.top + k.dy, ix = at.left + k.dx;
  if (iy < 0 || ix < 0 || !k.there(p)) return -1;
  if (p.up > 1) {
    if (iy % p.up != 0 || ix % p.up != 0) return -1;
    iy /= p.up, ix /= p.up;
  }
  return iy < p.h && ix < p.w ? (int64_t{iy - p.x_first} * p.w + ix) * p.c + k.channel : -1;
}

// X: what x is stored in. kWhole: a chunk of x is channels of one tap, and may be copied as it is.
// grid: (tiles of pixels, tiles of outputs of a group, images * groups)
template <class X, Factors kFactors, int kOutputs, bool kWhole>
__global__ void __launch_bounds__(Tile<X, kFactors, kOutputs>::kThreads) tensor_core_kernel(Convolution p) {
  using T = Tile<X, kFactors, kOutputs>;
  using W = Weight<kFactors>;
  DGP_SHARED(Chunk, shared, [T::kChunks]);
  int cg = p.c / p.groups, og = p.o / p.groups, steps = p.pitch / T::kDeep;
  int64_t image = blockIdx.z / p.groups, pixel0 = int64_t{blockIdx.x} * T::kPixels;
  int group = static_cast<int>(blockIdx.z) % p.groups, output0 = static_cast<int>(blockIdx.y) * kOutputs;
  const X* x = static_cast<const X*>(p.x.data) + image * p.x_rows * p.w * p.c + group * cg;
  const W* w =
      static_cast<const W*>(p.weights) + ((p.w_per_image ? image * p.o : 0) + group * og + output0) * p.pitch;
  int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32;

  // Whole chunks: a thread copies chunk t % 4 of some pixels; else all four of pixel t, value by value.
  constexpr int kAcross = kWhole ? T::kThreads / T::kXChunks : T::kPixels, kRows = T::kPixels / kAcross;
  constexpr int kValues = 16 / sizeof(X);
  static_assert(kWhole || T::kThreads == T::kPixels);
  int chunk = kWhole ? t % T::kXChunks : 0, row0 = kWhole ? t / T::kXChunks : t;
  Corner corners[kRows];
  for (int i = 0; i < kRows; ++i) corners[i] = corner_of(p, pixel0 + row0 + i * kAcross);
  Walk walk{0, 0, 0};
  walk.advance(p, cg, chunk * kValues);
  auto fetch = [&](int stage, int step) {
    Chunk *xs = shared + stage * T::kStage, *ws = xs + T::kPixels * T::kXChunks;
    if constexpr (kWhole) {
      for (int i = 0; i < kRows; ++i) {
        int64_t at = term_at(p, corners[i], walk);
        copy_async(&xs[swizzled<T::kXChunks>(row0 + i * kAcross, chunk)], x + (at < 0 ? 0 : at), at >= 0);
      }
      walk.advance(p, cg, T::kDeep);
    } else {
      for (int c = 0; c < T::kXChunks; ++c) {
        xs[swizzled<T::kXChunks>(row0, c)] = gathered(x, [&](int) {
          int64_t at = term_at(p, corners[0], walk);
          walk.advance(p, cg, 1);
          return at;
        });
      }
    }
    for (int i = t; i < kOutputs * T::kWChunks; i += T::kThreads) {
      int o = i / T::kWChunks, c = i % T::kWChunks;
      bool there = output0 + o < og;
      copy_async(&ws[swizzled<T::kWChunks>(o, c)],
                 w + (there ? int64_t{o} * p.pitch + step * T::kDeep + c * (16 / sizeof(W)) : 0), there);
    }
  };

  int down = warp % T::kDown * 32, beside = warp / T::kDown * T::kWarpOutputs;
  float sum[2][T::kWarpOutputs / 8][4] = {};
  auto multiply = [&](int stage) {
    const Chunk *xs = shared + stage * T::kStage, *ws = xs + T::kPixels * T::kXChunks;
#pragma unroll
    for (int slice = 0; slice < T::kWChunks / 2; ++slice) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        int row = down + 16 * i + lane % 16;
        load_matrices(a[i], &xs[swizzled<T::kXChunks>(row, 2 * slice + lane / 16)]);
        using half_detail::float_of;
        if constexpr (kFactors == Factors::tf32) {
#pragma unroll
          for (uint32_t& value : a[i]) value = to_tf32(float_of(value));
        } else if constexpr (sizeof(X) == 4) {  // terms t, t + 4, ... of 16 are a lane's; so are the weights'
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
  };

  in_stages<T::kStages>(steps, fetch, multiply);
  __syncthreads();

  float* rows = reinterpret_cast<float*>(shared) + warp * 16 * T::kPitch;
  int64_t pixels = int64_t{p.y_rows} * p.ow;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < T::kWarpOutputs / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        rows[(lane / 4 + e / 2 * 8) * T::kPitch + 8 * j + lane % 4 * 2 + e % 2] = sum[i][j][e];
    __syncwarp();
    for (int quad = lane; quad < 16 * T::kWarpOutputs / 4; quad += 32) {
      int row = quad / (T::kWarpOutputs / 4), column = quad % (T::kWarpOutputs / 4) * 4;
      int64_t pixel = pixel0 + down + 16 * i + row;
      int o = output0 + beside + column;
      if (pixel >= pixels) continue;
      const float* four = &rows[row * T::kPitch + column];
      if (p.by_fours && o < og)
        store_four(p, image, pixel, group * og + o, four);
      else
        for (int e = 0; e < 4 && o + e < og; ++e) store_at(p, image, pixel, group * og + o + e, four[e]);
    }
    __syncwarp();
  }
}

template <class X, Factors kFactors, int kOutputs, bool kWhole>
void run_tiles(const Convolution& p, int64_t images) {
  using T = Tile<X, kFactors, kOutputs>;
  launch(tensor_core_kernel<X, kFactors, kOutputs, kWhole>, grid_of(p, images, T::kPixels, kOutputs),
         T::kThreads, p);
}

// The width that costs least: a tile's pixels are as much work to fetch as some outputs.
int tile_width(int outputs) {
  constexpr int kPixelsCost = 32;
  int best = 0, least = 0;
  for (int width : {128, 64, 48, 32, 16}) {
    int cost = (outputs + width - 1) / width * (width + kPixelsCost);
    if (best == 0 || cost < least) best = width, least = cost;
  }
  return best;
}

template <class X, Factors kFactors>
void run_with(const Convolution& p, int64_t images) {
  int outputs = p.o / p.groups, width = tile_width(outputs);
  bool whole = p.c / p.groups % (16 / sizeof(X)) == 0 && p.x.starts_at_multiple_of(16);
  if (!whole)
    return outputs <= 16 ? run_tiles<X, kFactors, 16, false>(p, images)
                         : run_tiles<X, kFactors, 64, false>(p, images);
  constexpr bool kMixed = kFactors != Factors::tf32 && sizeof(X) == 4;  // f32 maps, with fewer kernels
  if (width == 16) return run_tiles<X, kFactors, 16, true>(p, images);
  if constexpr (!kMixed) {
    if (width == 32) return run_tiles<X, kFactors, 32, true>(p, images);
    if (width == 48) return run_tiles<X, kFactors, 48, true>(p, images);
    if (width == 128) return run_tiles<X, kFactors, 128, true>(p, images);
  }
  run_tiles<X, kFactors, 64, true>(p, images);
}

}  // namespace

void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors) {
  bool f32 = p.x.type == DType::f32;
  if (factors == Factors::tf32) return run_with<float, Factors::tf32>(p, images);
  if (factors == Factors::bf16)
    return f32 ? run_with<float, Factors::bf16>(p, images) : run_with<bf16, Factors::bf16>(p, images);
  f32 ? run_with<float, Factors::f16>(p, images) : run_with<f16, Factors::f16>(p, images);
}

}  // namespace dgp::cuda
