// Convolution as a matrix product that is never written down (implicit GEMM): result pixels by output
// channels, summed over K = taps x input channels, in NHWC. A block makes a tile of kPixels x kOutputs; 16
// terms of K at a time lie in shared memory, each thread keeps 4 x 4 sums in registers. Sums are taken in
// order of K in parts of 128 terms, which keeps their rounding below that of one long sum. Bias, activation
// and residual are added as the tile is stored.
#include "ops/conv2d.h"
#include "tensor/cuda_kernel.h"

namespace dgp::cuda {
namespace {

constexpr int kStep = 16, kPart = 128, kEach = 4;

struct Arguments {
  ConvGeometry g;
  float slope;
  const float *x, *w, *b, *residual;
  float* y;
};

// The input value under term k of K at a result pixel; zero outside the image and past the end of either.
__device__ inline float input_at(const Arguments& p, int64_t image, int64_t group, int64_t pixel, int64_t k,
                                 int64_t depth) {
  const ConvGeometry& g = p.g;
  int64_t cg = g.c / g.groups;
  if (pixel >= g.y_rows * g.ow || k >= depth) return 0;
  int64_t tap = k / cg, iy = (g.y_first + pixel / g.ow) * g.stride - g.padding + tap / g.kw * g.dilation;
  int64_t ix = pixel % g.ow * g.stride - g.padding + tap % g.kw * g.dilation;
  if (iy < 0 || iy >= g.h || ix < 0 || ix >= g.w) return 0;
  return p.x[((image * g.x_rows + iy - g.x_first) * g.w + ix) * g.c + group * cg + k % cg];
}

// grid: (tiles of pixels, tiles of outputs of a group, images * groups)
template <int kPixels, int kOutputs>
__global__ void conv2d_kernel(Arguments p) {
  constexpr int kThreads = kPixels / kEach * (kOutputs / kEach);
  DGP_SHARED(float, xs, [kStep][kPixels + 4]);
  DGP_SHARED(float, ws, [kStep][kOutputs + 4]);
  const ConvGeometry& g = p.g;
  int64_t cg = g.c / g.groups, og = g.o / g.groups, depth = g.kh * g.kw * cg;
  int64_t image = int64_t{blockIdx.z} / g.groups, group = int64_t{blockIdx.z} % g.groups;
  int64_t pixel0 = int64_t{blockIdx.x} * kPixels, output0 = int64_t{blockIdx.y} * kOutputs;
  const float* w = p.w + ((g.w_per_image ? image * g.o : 0) + group * og) * depth;
  int t = static_cast<int>(threadIdx.x), tx = t % (kOutputs / kEach) * kEach,
      ty = t / (kOutputs / kEach) * kEach;
  float sum[kEach][kEach] = {}, part[kEach][kEach] = {};
  for (int64_t k0 = 0; k0 < depth; k0 += kStep) {
    for (int i = t; i < kStep * kPixels; i += kThreads)  // neighbours read along the channels
      xs[i % kStep][i / kStep] = input_at(p, image, group, pixel0 + i / kStep, k0 + i % kStep, depth);
    for (int i = t; i < kStep * kOutputs; i += kThreads) {
      int64_t o = output0 + i / kStep, k = k0 + i % kStep;
      ws[i % kStep][i / kStep] = o < og && k < depth ? w[o * depth + k] : 0.0F;
    }
    __syncthreads();
    for (int k = 0; k < kStep; ++k)
      for (int i = 0; i < kEach; ++i)
        for (int j = 0; j < kEach; ++j) part[i][j] += xs[k][ty + i] * ws[k][tx + j];
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
    if (pixel >= g.y_rows * g.ow) continue;
    for (int j = 0; j < kEach; ++j) {
      if (output0 + tx + j >= og) continue;
      int64_t o = group * og + output0 + tx + j, at = (image * g.y_rows * g.ow + pixel) * g.o + o;
      float z = sum[i][j] + (p.b ? p.b[(g.b_per_image ? image * g.o : 0) + o] : 0.0F);
      z = z > 0 ? z : p.slope * z;
      p.y[at] = z + (p.residual ? p.residual[at] : 0.0F);
    }
  }
}

template <int kPixels, int kOutputs>
void run(const Arguments& p) {
  const ConvGeometry& g = p.g;
  int64_t pixels = g.y_rows * g.ow, tiles = (pixels + kPixels - 1) / kPixels;
  int64_t outputs = (g.o / g.groups + kOutputs - 1) / kOutputs, depth = g.n * g.groups;
  check(tiles <= 0x7fffffff && outputs <= 65535 && depth <= 65535, "conv2d: too large for one kernel");
  launch(conv2d_kernel<kPixels, kOutputs>,
         {static_cast<unsigned>(tiles), static_cast<unsigned>(outputs), static_cast<unsigned>(depth)},
         kPixels / kEach * (kOutputs / kEach), p);
}

}  // namespace

void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x, const Tensor& w, const Tensor& b,
                 const Tensor& residual, const Tensor& y) {
  if (y.numel() == 0) return;
  auto data = [](const Tensor& t) { return t.defined() ? t.device_data<float>() : nullptr; };
  Arguments p{g, slope, data(x), data(w), data(b), data(residual), data(y)};
  if (g.o / g.groups <= 16)
    run<128, 16>(p);
  else
    run<64, 64>(p);
}

}  // namespace dgp::cuda
