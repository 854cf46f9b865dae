// The kernel of the gradient in w, for .cu files: the implicit product of conv2d_weights.cu, outputs by K =
// taps x input channels, summed over pixels. A block of four warps makes a tile of 64 outputs by kColumns
// places of K from its rows of the images; a stage is 128 or 256 bytes of outputs, and of K, for 32 or 16
// pixels, and while one is multiplied, asynchronous copies fill the next two. Rows are pixels, as in memory.
// `Sums` is how a warp multiplies.
#pragma once

#include "ops/conv2d_stages.h"

namespace dgp::cuda {

template <class T_, int kColumns_>
struct WeightTile {
  using T = T_;
  static constexpr int kOutputs = 64, kColumns = kColumns_, kThreads = 128;
  static constexpr int kWarpOutputs = 32, kWarpColumns = kColumns / 2;      // two warps by two
  static constexpr int kPixels = 64 / sizeof(T), kValues = 16 / sizeof(T);  // of a stage; of a chunk
  static constexpr int kDChunks = kOutputs / kValues, kXChunks = kColumns / kValues;  // of a row
  static constexpr int kStage = kPixels * (kDChunks + kXChunks), kStages = 3;
  // A thread copies a chunk of dy, and kColumns / 64 of x, for kRows pixels.
  static constexpr int kAcross = kThreads / kDChunks, kRows = kPixels / kAcross;
};

// Where a chunk of a pixel is. Of 16 bits eight pixels' chunks are read at once, of 32 bits four pixels'
// pairs.
template <class T, int kChunks>
__device__ inline int placed(int pixel, int chunk) {
  return pixel * kChunks + (chunk ^ (sizeof(T) == 2 ? pixel % 8 : pixel % 4 * 2));
}

// Sums<S>: add(ds, xs, down, beside, lane) multiplies a stage, of the warp's outputs from `down` and its
// places of K from `beside`; finish() when all have been; each(lane, f) calls f(output, place, sum) for those
// of a lane. grid: (tiles of K, tiles of the outputs of a group, sets * splits * groups)
template <class S, class Sums>
__global__ void __launch_bounds__(S::kThreads, 3) weight_gradient_kernel(WeightGradient p) {
  using T = typename S::T;
  DGP_SHARED(Chunk, shared, [S::kStages * S::kStage]);
  int cg = p.c / p.groups, og = p.o / p.groups, group = static_cast<int>(blockIdx.z) % p.groups;
  int64_t split = blockIdx.z / p.groups % p.splits, set = blockIdx.z / (p.groups * p.splits);
  int output0 = static_cast<int>(blockIdx.y) * S::kOutputs, k0 = static_cast<int>(blockIdx.x) * S::kColumns;
  int64_t first = split * p.rows_each, end = first + p.rows_each < p.rows ? first + p.rows_each : p.rows;
  int64_t row0 = p.per_image ? set * p.oh + first : first, pixels = (end - first) * p.ow;
  int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32;

  int chunk = t % S::kDChunks;
  const T* x = static_cast<const T*>(p.x) + group * cg;
  const T* dy = static_cast<const T*>(p.dy) + row0 * p.ow * p.o + group * og + output0 + chunk * S::kValues;
  Walk columns[S::kColumns / 64];
#pragma unroll
  for (int i = 0; i < S::kColumns / 64; ++i) {
    columns[i] = {0, 0, 0};
    columns[i].advance(p, cg, k0 + (chunk + i * S::kDChunks) * S::kValues);
  }
  struct Pixel {
    int64_t index, image;  // from the block's first
    int y, x;
  } at[S::kRows];
#pragma unroll
  for (int i = 0; i < S::kRows; ++i) {
    int64_t index = t / S::kDChunks + i * S::kAcross, row = row0 + index / p.ow;
    at[i] = {index, row / p.oh, static_cast<int>(row % p.oh), static_cast<int>(index % p.ow)};
  }
  // Of input channel and tap `k`, as seen from a pixel; -1 where that is zero.
  auto input_at = [&](const Pixel& pixel, const Walk& k) -> int64_t {
    int iy = pixel.y * p.stride - p.padding + k.dy, ix = pixel.x * p.stride - p.padding + k.dx;
    bool there = pixel.index < pixels && k.there(p) && iy >= 0 && iy < p.h && ix >= 0 && ix < p.w;
    return there ? ((pixel.image * p.h + iy) * p.w + ix) * p.c + k.channel : -1;
  };
  auto fetch = [&](int stage, int) {
    Chunk *ds = shared + stage * S::kStage, *xs = ds + S::kPixels * S::kDChunks;
#pragma unroll
    for (int i = 0; i < S::kRows; ++i) {
      Pixel& pixel = at[i];
      int row = t / S::kDChunks + i * S::kAcross, left = og - output0 - chunk * S::kValues;
      if (pixel.index >= pixels) left = 0;
      Chunk* to = &ds[placed<T, S::kDChunks>(row, chunk)];
      if (p.whole_dy)
        copy_async(to, dy + (left > 0 ? pixel.index * p.o : 0), left > 0);
      else
        *to = gathered(dy, [&](int e) { return e < left ? pixel.index * p.o + e : -1; });
#pragma unroll
      for (int c = 0; c < S::kColumns / 64; ++c) {
        to = &xs[placed<T, S::kXChunks>(row, chunk + c * S::kDChunks)];
        Walk k = columns[c];
        int64_t from = input_at(pixel, k);
        if (p.whole_x) {
          copy_async(to, x + (from < 0 ? 0 : from), from >= 0);
          continue;
        }
        *to = gathered(x, [&](int) {
          int64_t value = input_at(pixel, k);
          k.advance(p, cg, 1);
          return value;
        });
      }
      pixel.index += S::kPixels;
      for (pixel.x += S::kPixels; pixel.x >= p.ow; pixel.x -= p.ow)
        if (++pixel.y == p.oh) pixel.y = 0, ++pixel.image;
    }
  };

  int down = warp % 2 * S::kWarpOutputs, beside = warp / 2 * S::kWarpColumns;
  Sums sums;
  in_stages<S::kStages>(static_cast<int>((pixels + S::kPixels - 1) / S::kPixels), fetch, [&](int stage) {
    const Chunk* ds = shared + stage * S::kStage;
    sums.add(ds, ds + S::kPixels * S::kDChunks, down, beside, lane);
  });
  sums.finish();

  float* to = p.partial + ((set * p.splits + split) * p.o + group * og) * p.depth;
  sums.each(lane, [&](int output, int place, float sum) {
    int o = output0 + down + output, k = k0 + beside + place;
    if (o < og && k < p.depth) to[int64_t{o} * p.depth + k] = sum;
  });
}

template <class S, class Sums>
void run_weight_tiles(WeightGradient p) {
  auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  p.whole_x = p.c / p.groups % S::kValues == 0 && aligned(p.x);
  p.whole_dy = p.o / p.groups % S::kValues == 0 && aligned(p.dy);
  launch(weight_gradient_kernel<S, Sums>, grid_of(p, S::kColumns, S::kOutputs), S::kThreads, p);
}

}  // namespace dgp::cuda
