// The gradient of a convolution in its kernels, as an implicit product summed over pixels: outputs by
// K = taps x input channels. A block makes a tile of 64 x 64 from some rows of the images, 16 pixels of a row
// at a time, in parts of 128 pixels; what the blocks of different rows found is then added in double, in
// order. conv2d_weights_tensor_cores.cu makes tiles of rounded factors.
#include <algorithm>

#include "ops/conv2d.h"
#include "ops/conv2d_cuda.h"
#include "ops/reduce_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kTile = 64, kPixels = 16, kPart = 128, kEach = 4;
constexpr int kThreads = kTile / kEach * (kTile / kEach), kAcross = kThreads / kTile;

// grid: (tiles of K, tiles of the outputs of a group, sets * splits * groups)
__global__ void backward_weight_kernel(WeightGradient p) {
  DGP_SHARED(float, ds, [kPixels][kTile + 4]);
  DGP_SHARED(float, xs, [kPixels][kTile + 4]);
  int t = static_cast<int>(threadIdx.x), lane = t % kTile, across = t / kTile;
  int cg = p.c / p.groups, og = p.o / p.groups, group = static_cast<int>(blockIdx.z) % p.groups;
  int64_t split = blockIdx.z / p.groups % p.splits, set = blockIdx.z / (p.groups * p.splits);
  int output0 = static_cast<int>(blockIdx.y) * kTile, k0 = static_cast<int>(blockIdx.x) * kTile,
      k = k0 + lane;
  int tap = k / cg, ky = tap / p.kw * p.dilation - p.padding, kx = tap % p.kw * p.dilation - p.padding;
  const float* x = static_cast<const float*>(p.x) + group * cg + k - tap * cg;
  const float* dy = static_cast<const float*>(p.dy) + group * og + output0 + lane;
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
        ds[pixel][lane] = d_there ? dy[((image * p.oh + oy) * p.ow + ox) * p.o] : 0.0F;
        bool x_there = row_there && ox < p.ow && ix >= 0 && ix < p.w;
        xs[pixel][lane] = x_there ? x[((image * p.h + iy) * p.w + ix) * p.c] : 0.0F;
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
      launch(backward_weight_kernel, grid_of(p, kTile, kTile), kThreads, p);
  }
  sum_axis(LoadF32{p.partial}, p.sets, p.splits, g.o * p.depth, 1, dw.device_data<float>());
}

void bias_gradient(const Tensor& dz, const Tensor& db) {
  int64_t images = db.rank() == 2 ? dz.dim(0) : 1, o = dz.dim(3);
  sum_axis(LoadArray{array(dz)}, images, images * o > 0 ? dz.numel() / (images * o) : 0, o, 1,
           db.device_data<float>());
}

}  // namespace dgp::cuda
