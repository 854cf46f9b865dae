// The gradient of a convolution in its kernels, as an implicit product summed over pixels: outputs by
// K = taps x input channels, by the kernel of conv2d_weights_tile.h; what the blocks of different rows found
// is then added in double, in order. This file has the sums of f32 factors; conv2d_weights_tensor_cores.cu
// those of rounded ones.
#include <algorithm>

#include "ops/conv2d.h"
#include "ops/conv2d_weights_tile.h"
#include "ops/reduce_cuda.h"

namespace dgp::cuda {
namespace {

// Of a lane: 8 outputs by 4 places of K, side by side. Pixels are summed in order, in parts of kPart.
template <class S>
struct ExactSums {
  static constexpr int kDown = 8, kBeside = 4, kPart = 128;
  static_assert(S::kWarpColumns == 8 * kBeside && S::kWarpOutputs == 4 * kDown);
  float sum[kDown][kBeside] = {}, part[kDown][kBeside] = {};
  int pixels = 0;

  __device__ void add(const Chunk* ds, const Chunk* xs, int down, int beside, int lane) {
    using half_detail::float_of;
    int d0 = (down + lane / 8 * kDown) / 4, x0 = beside / 4 + lane % 8;
#pragma unroll 4  // loads further ahead of their use would fill the registers
    for (int pixel = 0; pixel < S::kPixels; ++pixel) {
      Chunk x = xs[placed<float, S::kXChunks>(pixel, x0)];
#pragma unroll
      for (int c = 0; c < kDown / 4; ++c) {
        Chunk d = ds[placed<float, S::kDChunks>(pixel, d0 + c)];
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < kBeside; ++j) part[4 * c + i][j] += float_of(d.word[i]) * float_of(x.word[j]);
      }
    }
    pixels += S::kPixels;
    if (pixels % kPart == 0) finish();
  }
  __device__ void finish() {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kBeside; ++j) {
        sum[i][j] += part[i][j];
        part[i][j] = 0;
      }
  }
  template <class F>
  __device__ void each(int lane, F&& f) const {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kBeside; ++j) f(lane / 8 * kDown + i, lane % 8 * kBeside + j, sum[i][j]);
  }
};

using Exact = WeightTile<float, 64>;

struct LoadArray {
  Array x;
  __device__ double operator()(int64_t i) const { return static_cast<double>(x.load(i)); }
};

}  // namespace

void conv2d_backward_weight(const ConvGeometry& g, const Tensor& of_y, const Tensor& of_x, const Tensor& dw) {
  constexpr int64_t kLeastPixels = 1024, kMostSplits = 256;  // of one block; of the rows
  // Both of one type: of the two's 16 bits where there are such, and tensor cores for them.
  DType type = of_y.dtype() == DType::f32 ? of_x.dtype() : of_y.dtype();
  if (!has_tensor_cores()) type = DType::f32;
  const Tensor dy = of_y.to(type), x = of_x.to(type);
  auto size = [](int64_t n) { return static_cast<int>(n); };
  WeightGradient p{};
  p.h = size(g.h), p.w = size(g.w), p.c = size(g.c), p.oh = size(g.oh), p.ow = size(g.ow), p.o = size(g.o);
  p.kh = size(g.kh), p.kw = size(g.kw), p.stride = size(g.stride), p.padding = size(g.padding);
  p.dilation = size(g.dilation), p.groups = size(g.groups), p.depth = size(g.kh * g.kw * (g.c / g.groups));
  p.per_image = g.w_per_image, p.dy = array(dy).data, p.x = array(x).data;
  p.sets = g.w_per_image ? g.n : 1, p.rows = g.w_per_image ? g.oh : g.n * g.oh;
  if (p.rows == 0) return dw.fill(0);
  p.rows_each = std::max((kLeastPixels + g.ow - 1) / g.ow, (p.rows + kMostSplits - 1) / kMostSplits);
  p.splits = (p.rows + p.rows_each - 1) / p.rows_each;
  Tensor partial({p.sets, p.splits, g.o * p.depth}, DType::f32, Device::cuda);
  p.partial = partial.device_data<float>();
  if (!backward_weight_by_blas(g, p, type)) {
    if ((type != DType::f32 || factors() != Factors::f32) && has_tensor_cores())
      run_on_tensor_cores(p, type);
    else
      run_weight_tiles<Exact, ExactSums<Exact>>(p);
  }
  sum_axis(LoadF32{p.partial}, p.sets, p.splits, g.o * p.depth, 1, dw.device_data<float>());
}

void bias_gradient(const Tensor& dz, const Tensor& db) {
  int64_t images = db.rank() == 2 ? dz.dim(0) : 1, o = dz.dim(3);
  sum_axis(LoadArray{array(dz)}, images, images * o > 0 ? dz.numel() / (images * o) : 0, o, 1,
           db.device_data<float>());
}

}  // namespace dgp::cuda
