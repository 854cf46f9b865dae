// The gradient of a convolution in its kernels on tensor cores: the implicit product of conv2d_weights.cu,
// outputs by K = taps x input channels, summed over pixels, with factors of 16 bits or f32 rounded to tf32. A
// block of four warps makes a tile of 64 outputs by kColumns places of K from its rows of the images; a stage
// is 128 or 256 bytes of outputs, and of K, for 32 or 16 pixels. Rows are pixels, as in memory, and the sum
// is over pixels: fragments are read transposed.
#include "ops/conv2d_stages.h"

namespace dgp::cuda {
namespace {

template <class T, int kColumns>
struct Tile {
  static constexpr int kOutputs = 64, kThreads = 128, kWarpColumns = kColumns / 2;
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

// grid: (tiles of K, tiles of the outputs of a group, sets * splits * groups)
template <class T, int kColumns>
__global__ void __launch_bounds__(128, 3) weights_tensor_core_kernel(WeightGradient p) {
  using S = Tile<T, kColumns>;
  DGP_SHARED(Chunk, shared, [S::kStages * S::kStage]);
  int cg = p.c / p.groups, og = p.o / p.groups, group = static_cast<int>(blockIdx.z) % p.groups;
  int64_t split = blockIdx.z / p.groups % p.splits, set = blockIdx.z / (p.groups * p.splits);
  int output0 = static_cast<int>(blockIdx.y) * S::kOutputs, k0 = static_cast<int>(blockIdx.x) * kColumns;
  int64_t first = split * p.rows_each, end = first + p.rows_each < p.rows ? first + p.rows_each : p.rows;
  int64_t row0 = p.per_image ? set * p.oh + first : first, pixels = (end - first) * p.ow;
  int t = static_cast<int>(threadIdx.x), warp = t / 32, lane = t % 32, g = lane / 4, q = lane % 4;

  int chunk = t % S::kDChunks;
  const T* x = static_cast<const T*>(p.x) + group * cg;
  const T* dy = static_cast<const T*>(p.dy) + row0 * p.ow * p.o + group * og + output0 + chunk * S::kValues;
  Walk columns[kColumns / 64];
#pragma unroll
  for (int i = 0; i < kColumns / 64; ++i) {
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
      for (int c = 0; c < kColumns / 64; ++c) {
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

  int down = warp % 2 * 32, beside = warp / 2 * S::kWarpColumns;
  float sum[2][S::kWarpColumns / 8][4] = {};
  auto multiply = [&](int stage) {
    const Chunk *ds = shared + stage * S::kStage, *xs = ds + S::kPixels * S::kDChunks;
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
  };
  in_stages<S::kStages>(static_cast<int>((pixels + S::kPixels - 1) / S::kPixels), fetch, multiply);

  float* to = p.partial + ((set * p.splits + split) * p.o + group * og) * p.depth;
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < S::kWarpColumns / 8; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        int o = output0 + down + 16 * i + g + e / 2 * 8, k = k0 + beside + 8 * j + 2 * q + e % 2;
        if (o < og && k < p.depth) to[int64_t{o} * p.depth + k] = sum[i][j][e];
      }
}

template <class T, int kColumns>
void run_tiles(WeightGradient p) {
  constexpr int kValues = 16 / sizeof(T);
  auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  p.whole_x = p.c / p.groups % kValues == 0 && aligned(p.x);
  p.whole_dy = p.o / p.groups % kValues == 0 && aligned(p.dy);
  launch(weights_tensor_core_kernel<T, kColumns>, grid_of(p, kColumns, 64), 128, p);
}

}  // namespace

void run_on_tensor_cores(const WeightGradient& p, DType type) {
  dispatch_storage(type, "conv2d", [&](auto zero) {
    using T = decltype(zero);
    // Fetching 64 outputs costs as much as 64 places of K. In tf32 a wider tile would not fit into registers.
    int by_64 = (p.depth + 63) / 64 * (64 + 64), by_128 = (p.depth + 127) / 128 * (128 + 64);
    if constexpr (sizeof(T) == 2)
      if (by_128 <= by_64) return run_tiles<T, 128>(p);
    run_tiles<T, 64>(p);
  });
}

}  // namespace dgp::cuda
