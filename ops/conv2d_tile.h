// The kernel of all convolutions on the GPU, for .cu files: the implicit product of conv2d.cu, a tile of 128
// pixels by Tile::kOutputs a block, 32 pixels by Tile::kWarpOutputs a warp. K goes through shared memory in
// stages of 64 bytes a pixel, as x is stored, and as many terms of the weights, which conv2d_prepare.cu has
// laid out. While one stage is multiplied, asynchronous copies fill the next two. The 16-byte chunks of a row
// change places with the row (swizzled), so that eight rows that are read at once meet all banks. `Sums` is
// how a warp multiplies. At the end every warp lays its sums down in rows of outputs, 16 pixels at a time,
// and stores four outputs a lane, with bias, activation and residual.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "ops/conv2d_stages.h"

namespace dgp::cuda {

// Where chunk c of a row is, in rows of kChunks of them.
template <int kChunks>
__device__ inline int swizzled(int row, int chunk) {
  return row * kChunks + (chunk ^ row / (8 / kChunks) % kChunks);
}

// X_: what x is stored in; W_: the type of the weights, and of the factors.
template <class X_, class W_, int kOutputs_, int kWarpOutputs_>
struct Tile {
  using X = X_;
  using W = W_;
  static constexpr int kPixels = 128, kOutputs = kOutputs_, kWarpOutputs = kWarpOutputs_;
  static constexpr int kDown = kPixels / 32, kThreads = 32 * kDown * (kOutputs / kWarpOutputs);
  static constexpr int kDeep = 64 / sizeof(X);                           // terms a stage
  static constexpr int kXChunks = 4, kWChunks = kDeep * sizeof(W) / 16;  // a row
  static constexpr int kStage = kPixels * kXChunks + kOutputs * kWChunks, kStages = 3;
  static constexpr int kPitch = kWarpOutputs + (kWarpOutputs % 32 == 24 ? 16 : 8);  // of laid down sums
  static constexpr int kChunks = std::max(kStages * kStage, kThreads / 32 * 16 * kPitch / 4);
  static_assert(kChunks * sizeof(Chunk) <= 48 << 10);
};

// Offset of the term of a pixel in its image, or -1 where that is zero.
__device__ inline int64_t term_at(const Convolution& p, const Part& part, Corner at, const Walk& k) {
  int iy = at.top + k.dy, ix = at.left + k.dx;
  if (iy < 0 || ix < 0 || !k.there(part)) return -1;
  return iy < p.h && ix < p.w ? (int64_t{iy - p.x_first} * p.w + ix) * p.c + k.channel : -1;
}

// kWhole: a chunk of x is channels of one tap, and may be copied as it is. kParts: p.up > 1.
// Sums<T>: add(xs, ws, down, beside, lane) multiplies a stage, of the warp's 32 pixels from `down` and its
// outputs from `beside`; finish() when all have been; lay_down(i, rows, lane) writes those of pixels 16 i..
// to rows of T::kPitch. grid: (tiles of pixels, tiles of outputs of a group, images * groups)
template <class T, class Sums, bool kWhole, bool kParts>
__global__ void __launch_bounds__(T::kThreads) conv2d_kernel(Convolution p) {
  using X = typename T::X;
  using W = typename T::W;
  DGP_SHARED(Chunk, shared, [T::kChunks]);
  const int parts = kParts ? p.up * p.up : 1, index = kParts ? static_cast<int>(blockIdx.x) % parts : 0;
  const Part part = part_of<kParts>(p, index);
  int64_t image = blockIdx.z / p.groups, pixel0 = int64_t{blockIdx.x / parts} * T::kPixels;
  int64_t pixels = int64_t{part.rows} * part.columns;
  if (kParts && pixel0 >= pixels) return;  // parts are not all of one size
  int cg = p.c / p.groups, og = p.o / p.groups, depth = part.kh * part.kw * cg;
  int group = static_cast<int>(blockIdx.z) % p.groups, output0 = static_cast<int>(blockIdx.y) * T::kOutputs;
  const X* x = static_cast<const X*>(p.x.data) + image * p.x_rows * p.w * p.c + group * cg;
  const W* w = static_cast<const W*>(p.weights) +
               (((p.w_per_image ? image * parts : 0) + index) * p.o + group * og + output0) * p.pitch;
  int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32;

  // Whole chunks: a thread copies chunk t % 4 of some pixels; else some chunks of one pixel, value by value.
  constexpr int kValues = 16 / sizeof(X), kAcross = kWhole ? T::kThreads / T::kXChunks : T::kPixels;
  constexpr int kRows = T::kPixels / kAcross, kSome = kWhole ? 1 : T::kXChunks * T::kPixels / T::kThreads;
  int row0 = kWhole ? t / T::kXChunks : t % T::kPixels;
  int chunk0 = kWhole ? t % T::kXChunks : t / T::kPixels * kSome;
  Corner corners[kRows];
  for (int i = 0; i < kRows; ++i) corners[i] = corner_of(p, part, pixel0 + row0 + i * kAcross);
  Walk walk{0, 0, 0};
  walk.advance(part, cg, chunk0 * kValues);
  auto fetch = [&](int stage, int step) {
    Chunk *xs = shared + stage * T::kStage, *ws = xs + T::kPixels * T::kXChunks;
    if constexpr (kWhole) {
      for (int i = 0; i < kRows; ++i) {
        int64_t at = term_at(p, part, corners[i], walk);
        copy_async(&xs[swizzled<T::kXChunks>(row0 + i * kAcross, chunk0)], x + (at < 0 ? 0 : at), at >= 0);
      }
      walk.advance(part, cg, T::kDeep);
    } else {
      for (int c = 0; c < kSome; ++c)
        xs[swizzled<T::kXChunks>(row0, chunk0 + c)] = gathered(x, [&](int) {
          int64_t at = term_at(p, part, corners[0], walk);
          walk.advance(part, cg, 1);
          return at;
        });
      walk.advance(part, cg, T::kDeep - kSome * kValues);
    }
    for (int i = t; i < T::kOutputs * T::kWChunks; i += T::kThreads) {
      int o = i / T::kWChunks, c = i % T::kWChunks, k = step * T::kDeep + c * (16 / sizeof(W));
      bool there = output0 + o < og;
      copy_async(&ws[swizzled<T::kWChunks>(o, c)], w + (there ? int64_t{o} * p.pitch + k : 0), there);
    }
  };

  int down = warp % T::kDown * 32, beside = warp / T::kDown * T::kWarpOutputs;
  Sums sums;
  in_stages<T::kStages>((depth + T::kDeep - 1) / T::kDeep, fetch, [&](int stage) {
    const Chunk* xs = shared + stage * T::kStage;
    sums.add(xs, xs + T::kPixels * T::kXChunks, down, beside, lane);
  });
  sums.finish();
  __syncthreads();

  float* rows = reinterpret_cast<float*>(shared) + warp * 16 * T::kPitch;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sums.lay_down(i, rows, lane);
    __syncwarp();
    for (int quad = lane; quad < 16 * T::kWarpOutputs / 4; quad += 32) {
      int row = quad / (T::kWarpOutputs / 4), column = quad % (T::kWarpOutputs / 4) * 4;
      int64_t pixel = pixel0 + down + 16 * i + row;
      int o = output0 + beside + column;
      if (pixel >= pixels) continue;
      if constexpr (kParts)
        pixel = (part.y + pixel / part.columns * p.up) * p.ow + part.x + pixel % part.columns * p.up;
      const float* four = &rows[row * T::kPitch + column];
      if (p.by_fours && o < og)
        store_four(p, image, pixel, group * og + o, four);
      else
        for (int e = 0; e < 4 && o + e < og; ++e) store_at(p, image, pixel, group * og + o + e, four[e]);
    }
    __syncwarp();
  }
}

constexpr int kPartsOutputs = 64;  // of the tiles that there are for parts

template <class T, class Sums, bool kWhole>
void run_tiles(const Convolution& p, int64_t images) {
  const dim3 grid = grid_of(p, images, T::kPixels, T::kOutputs);
  if constexpr (T::kOutputs == kPartsOutputs)
    if (p.up > 1) return launch(conv2d_kernel<T, Sums, kWhole, true>, grid, T::kThreads, p);
  launch(conv2d_kernel<T, Sums, kWhole, false>, grid, T::kThreads, p);
}

// May chunks of x be copied whole?
inline bool has_whole_chunks(const Convolution& p) {
  return p.c / p.groups * element_size(p.x.type) % 16 == 0 && p.x.starts_at_multiple_of(16);
}

// The width that costs least: a tile's pixels are as much work to fetch as some outputs.
inline int tile_width(const Convolution& p, std::initializer_list<int> widest_first) {
  constexpr int kPixelsCost = 32;
  if (p.up > 1) return kPartsOutputs;
  int best = 0, least = 0, outputs = p.o / p.groups;
  for (int width : widest_first) {
    int cost = (outputs + width - 1) / width * (width + kPixelsCost);
    if (best == 0 || cost < least) best = width, least = cost;
  }
  return best;
}

}  // namespace dgp::cuda
