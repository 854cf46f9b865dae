// The gradient of a convolution in its kernels, as an implicit product summed over pixels: outputs by
// K = taps x input channels. A block makes a tile of 64 x 64 from some rows of the images, 16 pixels of a row
// at a time, in parts of 128 pixels; what the blocks of different rows found is then added in double, in
// order.
#include <algorithm>

#include "ops/conv2d.h"
#include "ops/conv2d_cuda.h"
#include "ops/reduce_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kTile = 64, kPixels = 16, kPart = 128, kEach = 4;
constexpr int kThreads = kTile / kEach * (kTile / kEach), kAcross = kThreads / kTile;

struct Arguments {
  int h, w, c, oh, ow, o, kw, stride, padding, dilation, groups, depth;
  int64_t rows, rows_each, splits;  // rows of dy in a set of kernels, and of one block
  bool per_image;
  const void *dy, *x;
  float* partial;  // [sets, splits, O, depth]
};

// D, X: what dy and x are stored in.
// grid: (tiles of K, tiles of the outputs of a group, sets * splits * groups)
template <class D, class X>
__global__ void backward_weight_kernel(Arguments p) {
  DGP_SHARED(float, ds, [kPixels][kTile + 4]);
  DGP_SHARED(float, xs, [kPixels][kTile + 4]);
  int t = static_cast<int>(threadIdx.x), lane = t % kTile, across = t / kTile;
  int cg = p.c / p.groups, og = p.o / p.groups, group = static_cast<int>(blockIdx.z) % p.groups;
  int64_t split = blockIdx.z / p.groups % p.splits, set = blockIdx.z / (p.groups * p.splits);
  int output0 = static_cast<int>(blockIdx.y) * kTile, k0 = static_cast<int>(blockIdx.x) * kTile,
      k = k0 + lane;
  int tap = k / cg, ky = tap / p.kw * p.dilation - p.padding, kx = tap % p.kw * p.dilation - p.padding;
  const X* x = static_cast<const X*>(p.x) + group * cg + k - tap * cg;
  const D* dy = static_cast<const D*>(p.dy) + group * og + output0 + lane;
  int tx = t % (kTile / kEach) * kEach, ty = t / (kTile / kEach) * kEach, terms = 0;
  float sum[kEach][kEach] = {}, part[kEach][kEach] = {};
  auto add_part = [&] {
    for (int i = 0; i < kEach; ++i)
      for (int j = 0; j < kEach; ++j) {
        sum[i][j] += part[i][j];
        part[i][j] = 0;
      }
  };
  int64_t first = split * p.rows_each, end = first + p.rows_each < p.rows ? first + p.rows_each : p.rows;
  for (int64_t row = first; row < end; ++row) {
    int64_t image = p.per_image ? set : row / p.oh;
    int oy = static_cast<int>(row % p.oh), iy = oy * p.stride + ky;
    bool row_there = k < p.depth && iy >= 0 && iy < p.h;
    for (int ox0 = 0; ox0 < p.ow; ox0 += kPixels) {
      for (int pixel = across; pixel < kPixels; pixel += kAcross) {
        int ox = ox0 + pixel, ix = ox * p.stride + kx;
        bool d_there = ox < p.ow && output0 + lane < og;
        ds[pixel][lane] = d_there ? static_cast<float>(dy[((image * p.oh + oy) * p.ow + ox) * p.o]) : 0.0F;
        bool x_there = row_there && ox < p.ow && ix >= 0 && ix < p.w;
        xs[pixel][lane] = x_there ? static_cast<float>(x[((image * p.h + iy) * p.w + ix) * p.c]) : 0.0F;
      }
      __syncthreads();
      for (int pixel = 0; pixel < kPixels; ++pixel)
        for (int i = 0; i < kEach; ++i)
          for (int j = 0; j < kEach; ++j) part[i][j] += ds[pixel][ty + i] * xs[pixel][tx + j];
      __syncthreads();
      terms += kPixels;
      if (terms % kPart == 0) add_part();
    }
  }
  add_part();
  for (int i = 0; i < kEach; ++i)
    for (int j = 0; j < kEach; ++j)
      if (output0 + ty + i < og && k0 + tx + j < p.depth)
        p.partial[((set * p.splits + split) * p.o + group * og + output0 + ty + i) * p.depth + k0 + tx + j] =
            sum[i][j];
}

struct LoadArray {
  Array x;
  __device__ double operator()(int64_t i) const { return static_cast<double>(x.load(i)); }
};

}  // namespace

void conv2d_backward_weight(const ConvGeometry& g, const Tensor& dy, const Tensor& x, const Tensor& dw) {
  constexpr int64_t kLeastPixels = 1024, kMostSplits = 256;  // of one block; of the rows
  auto size = [](int64_t n) { return static_cast<int>(n); };
  Arguments p{size(g.h),
              size(g.w),
              size(g.c),
              size(g.oh),
              size(g.ow),
              size(g.o),
              size(g.kw),
              size(g.stride),
              size(g.padding),
              size(g.dilation),
              size(g.groups),
              size(g.kh * g.kw * (g.c / g.groups)),
              0,
              0,
              0,
              g.w_per_image,
              array(dy).data,
              array(x).data,
              nullptr};
  int64_t sets = g.w_per_image ? g.n : 1, inner = g.o * p.depth;
  p.rows = g.w_per_image ? g.oh : g.n * g.oh;
  if (p.rows == 0) return dw.fill(0);
  p.rows_each = std::max((kLeastPixels + g.ow - 1) / g.ow, (p.rows + kMostSplits - 1) / kMostSplits);
  p.splits = (p.rows + p.rows_each - 1) / p.rows_each;
  Tensor partial({sets, p.splits, inner}, DType::f32, Device::cuda);
  p.partial = partial.device_data<float>();
  int64_t tiles = (p.depth + kTile - 1) / kTile, outputs = (g.o / g.groups + kTile - 1) / kTile;
  check(outputs <= 65535 && sets * p.splits * g.groups <= 65535, "conv2d: too large for one kernel");
  dim3 grid{static_cast<unsigned>(tiles), static_cast<unsigned>(outputs),
            static_cast<unsigned>(sets * p.splits * g.groups)};
  dispatch_map(dy.dtype(), [&](auto d) {
    dispatch_map(x.dtype(), [&](auto of_x) {
      launch(backward_weight_kernel<decltype(d), decltype(of_x)>, grid, kThreads, p);
    });
  });
  sum_axis(LoadF32{p.partial}, sets, p.splits, inner, 1, dw.device_data<float>());
}

void bias_gradient(const Tensor& dz, const Tensor& db) {
  int64_t images = db.rank() == 2 ? dz.dim(0) : 1, o = dz.dim(3);
  sum_axis(LoadArray{array(dz)}, images, images * o > 0 ? dz.numel() / (images * o) : 0, o, 1,
           db.device_data<float>());
}

}  // namespace dgp::cuda
