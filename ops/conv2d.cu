// Convolution as a matrix product that is never written down (implicit GEMM): result pixels by output
// channels, summed over K = taps x input channels, in NHWC. A block makes a tile of kPixels x kOutputs; 16
// terms of K at a time lie in shared memory, each thread keeps 4 x 4 sums in registers. Sums are taken in
// order of K in parts of 128 terms, which keeps their rounding below that of one long sum. Bias, activation
// and residual are added as the tile is stored. The gradient in x is the same kernel: dy, its pixels `up`
// apart, convolved with the kernels turned round. conv2d_weights.cu has the gradient in w,
// conv2d_tensor_cores.cu the same product of rounded factors.
#include <algorithm>

#include "ops/conv2d.h"
#include "ops/conv2d_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kStep = 16, kPart = 128, kEach = 4;

// grid: (tiles of pixels, tiles of outputs of a group, images * groups)
template <int kPixels, int kOutputs>
__global__ void conv2d_kernel(Convolution p) {
  constexpr int kThreads = kPixels / kEach * (kOutputs / kEach), kAcross = kThreads / kStep;
  constexpr int kLoads =
      kPixels / kAcross;  // pixels whose terms a thread fetches, all for the same place in K
  DGP_SHARED(float, xs, [kStep][kPixels + 4]);
  DGP_SHARED(float, ws, [kStep][kOutputs + 4]);
  int cg = p.c / p.groups, og = p.o / p.groups, depth = p.kh * p.kw * cg;
  int64_t image = blockIdx.z / p.groups;
  int group = static_cast<int>(blockIdx.z) % p.groups, output0 = static_cast<int>(blockIdx.y) * kOutputs;
  int64_t pixels = int64_t{p.y_rows} * p.ow, pixel0 = int64_t{blockIdx.x} * kPixels;
  const float* x = p.x + image * p.x_rows * p.w * p.c + group * cg;
  const float* w = p.weights + ((p.w_per_image ? image * p.o : 0) + group * og) * depth;
  int t = static_cast<int>(threadIdx.x), k_lane = t % kStep, across = t / kStep;

  Corner corners[kLoads];
  for (int i = 0; i < kLoads; ++i) corners[i] = corner_of(p, pixel0 + across + i * kAcross);
  int tx = t % (kOutputs / kEach) * kEach, ty = t / (kOutputs / kEach) * kEach;
  float sum[kEach][kEach] = {}, part[kEach][kEach] = {};
  for (int k0 = 0; k0 < depth; k0 += kStep) {
    Term term = term_of(p, k0 + k_lane);
    for (int i = 0; i < kLoads; ++i) xs[k_lane][across + i * kAcross] = input_at(p, x, corners[i], term);
    for (int o = across; o < kOutputs; o += kAcross)
      ws[k_lane][o] = output0 + o < og && term.there ? w[int64_t{output0 + o} * depth + k0 + k_lane] : 0.0F;
    __syncthreads();
    for (int step = 0; step < kStep; ++step)
      for (int i = 0; i < kEach; ++i)
        for (int j = 0; j < kEach; ++j) part[i][j] += xs[step][ty + i] * ws[step][tx + j];
    __syncthreads();
    if ((k0 + kStep) % kPart != 0 && k0 + kStep < depth) continue;
    for (int i = 0; i < kEach; ++i)
      for (int j = 0; j < kEach; ++j) {
        sum[i][j] += part[i][j];
        part[i][j] = 0;
      }
  }
  for (int i = 0; i < kEach; ++i) {
    int64_t pixel = pixel0 + ty + i;
    if (pixel >= pixels) continue;
    for (int j = 0; j < kEach; ++j)
      if (output0 + tx + j < og) store_at(p, image, pixel, group * og + output0 + tx + j, sum[i][j]);
  }
}

template <int kPixels, int kOutputs>
void run_tiles(const Convolution& p, int64_t images) {
  launch(conv2d_kernel<kPixels, kOutputs>, grid_of(p, images, kPixels, kOutputs),
         kPixels / kEach * (kOutputs / kEach), p);
}

void run(const Convolution& p, int64_t images) {
  if (images == 0 || p.y_rows == 0 || p.ow == 0) return;
  if (factors() != Factors::f32) return run_on_tensor_cores(p, images, factors());
  if (p.o / p.groups <= 16)
    run_tiles<128, 16>(p, images);
  else
    run_tiles<64, 64>(p, images);
}

Convolution from_geometry(const ConvGeometry& g) {
  check(std::max({g.h, g.w, g.oh, g.ow}) * g.stride + 2 * g.padding < (1 << 29) &&
            g.c * g.kh * g.kw < (1 << 30) && g.o < (1 << 30),
        "conv2d: too large for the GPU");
  auto size = [](int64_t n) { return static_cast<int>(n); };
  Convolution p{};
  p.h = size(g.h), p.w = size(g.w), p.c = size(g.c), p.oh = size(g.oh), p.ow = size(g.ow), p.o = size(g.o);
  p.kh = size(g.kh), p.kw = size(g.kw), p.stride = size(g.stride), p.up = 1;
  p.pad_y = p.pad_x = size(g.padding), p.dilation = size(g.dilation), p.groups = size(g.groups);
  p.x_first = size(g.x_first), p.x_rows = size(g.x_rows), p.y_first = size(g.y_first),
  p.y_rows = size(g.y_rows);
  p.w_per_image = g.w_per_image, p.b_per_image = g.b_per_image, p.slope = 1;
  return p;
}

// w [O,taps,C/g] -> [C,taps,O/g], taps in reverse: of one set of kernels or several.
__global__ void turn_kernel(const float* w, int64_t taps, int64_t cg, int64_t og, int64_t groups,
                            float* turned, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t o = i % og, tap = i / og % taps, c = i / (og * taps) % cg, group = i / (og * taps * cg) % groups;
  int64_t set = i / (og * taps * cg * groups);
  turned[i] = w[(((set * groups + group) * og + o) * taps + taps - 1 - tap) * cg + c];
}

// dz = dy where a > 0, else slope * dy.
__global__ void mask_kernel(const float* dy, const float* a, float slope, float* dz, int64_t n) {
  int64_t i = element();
  if (i < n) dz[i] = a[i] > 0 ? dy[i] : slope * dy[i];
}

const float* data(const Tensor& t) { return t.defined() ? t.device_data<float>() : nullptr; }

}  // namespace

void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x, const Tensor& w, const Tensor& b,
                 const Tensor& residual, const Tensor& y) {
  Convolution p = from_geometry(g);
  p.slope = slope, p.x = data(x), p.weights = data(w), p.b = data(b), p.residual = data(residual);
  p.y = y.device_data<float>();
  run(p, g.n);
}

void conv2d_backward_data(const ConvGeometry& g, const Tensor& dy, const Tensor& w, const Tensor& dx) {
  Convolution p = from_geometry(g);
  Tensor turned(w.shape(), w.dtype(), Device::cuda);
  launch(turn_kernel, blocks_for(w.numel()), kBlock, data(w), g.kh * g.kw, g.c / g.groups, g.o / g.groups,
         g.groups, turned.device_data<float>(), w.numel());
  std::swap(p.h, p.oh), std::swap(p.w, p.ow), std::swap(p.c, p.o);
  p.up = p.stride, p.stride = 1;
  p.pad_y = p.dilation * (p.kh - 1) - p.pad_y, p.pad_x = p.dilation * (p.kw - 1) - p.pad_x;
  p.x_rows = p.h, p.y_rows = p.oh;
  p.x = data(dy), p.weights = data(turned), p.y = dx.device_data<float>();
  run(p, g.n);
}

void activation_gradient(const Tensor& dy, const Tensor& a, float slope, const Tensor& dz) {
  if (dz.numel() > 0)
    launch(mask_kernel, blocks_for(dz.numel()), kBlock, data(dy), data(a), slope, dz.device_data<float>(),
           dz.numel());
}

}  // namespace dgp::cuda
