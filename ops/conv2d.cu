// Convolution as a matrix product that is never written down (implicit GEMM): result pixels by output
// channels, summed over K = taps x input channels, in NHWC. A block makes a tile of kPixels x kOutputs; 16
// terms of K at a time lie in shared memory, each thread keeps 4 x 4 sums in registers. Sums are taken in
// order of K in parts of 128 terms, which keeps their rounding below that of one long sum. Bias, activation
// and residual are added as the tile is stored. The gradient in x is the same kernel: dy, its pixels `up`
// apart, convolved with the kernels turned round. Maps of 16 bits become f32 as they are loaded.
// conv2d_weights.cu has the gradient in w, conv2d_tensor_cores.cu the same product of rounded factors, which
// this file computes where there are no such tensor cores.
#include <algorithm>

#include "ops/conv2d.h"
#include "ops/conv2d_cuda.h"

namespace dgp::cuda {
namespace {

constexpr int kStep = 16, kPart = 128, kEach = 4;

// X: what x is stored in; W: the type of the factors, which the weights have already.
// grid: (tiles of pixels, tiles of outputs of a group, images * groups)
template <class X, class W, int kPixels, int kOutputs>
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
  const X* x = static_cast<const X*>(p.x.data) + image * p.x_rows * p.w * p.c + group * cg;
  const W* w = static_cast<const W*>(p.weights) + ((p.w_per_image ? image * p.o : 0) + group * og) * depth;
  int t = static_cast<int>(threadIdx.x), k_lane = t % kStep, across = t / kStep;

  Corner corners[kLoads];
  for (int i = 0; i < kLoads; ++i) corners[i] = corner_of(p, pixel0 + across + i * kAcross);
  int tx = t % (kOutputs / kEach) * kEach, ty = t / (kOutputs / kEach) * kEach;
  float sum[kEach][kEach] = {}, part[kEach][kEach] = {};
  for (int k0 = 0; k0 < depth; k0 += kStep) {
    Term term = term_of(p, k0 + k_lane);
    for (int i = 0; i < kLoads; ++i)
      xs[k_lane][across + i * kAcross] = static_cast<float>(W(input_at(p, x, corners[i], term)));
    for (int o = across; o < kOutputs; o += kAcross)
      ws[k_lane][o] = output0 + o < og && term.there
                          ? static_cast<float>(w[int64_t{output0 + o} * depth + k0 + k_lane])
                          : 0.0F;
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

template <class X, class W>
void run_tiles(const Convolution& p, int64_t images) {
  if (p.o / p.groups <= 16)
    launch(conv2d_kernel<X, W, 128, 16>, grid_of(p, images, 128, 16), 128, p);
  else
    launch(conv2d_kernel<X, W, 64, 64>, grid_of(p, images, 64, 64), 256, p);
}

// How weights are laid out for a kernel, from [sets, O, taps, C/g].
struct Layout {
  int taps, inputs, outputs, groups, pitch;  // inputs and outputs of a group
  bool turn;                                 // kernels of the gradient: inputs and outputs, taps in reverse
  bool tf32, interleave;                     // see conv2d_cuda.h
};

template <class W>
__global__ void weights_kernel(const float* w, Layout to, W* rows, int64_t n) {
  int64_t i = element();
  if (i >= n) return;
  int64_t row = i / to.pitch, k = i % to.pitch;
  if (to.interleave) k = k / 8 * 8 + k % 2 * 4 + k % 8 / 2;
  float value = 0;
  if (k < to.taps * to.inputs) {
    int64_t from = row * to.taps * to.inputs + k;
    if (to.turn) {
      int64_t tap = k / to.inputs, c = k % to.inputs, set_and_group = row / to.outputs;
      from = ((set_and_group * to.inputs + c) * to.taps + to.taps - 1 - tap) * to.outputs + row % to.outputs;
    }
    value = w[from];
  }
  rows[i] = W(to.tf32 ? half_detail::float_of(to_tf32(value)) : value);
}

// What is multiplied: of a map's 16 bits, what is read before what is written; else what is in use.
Factors factors_of(DType read, DType written) {
  for (DType type : {read, written})
    if (type == DType::bf16 || type == DType::f16) return type == DType::bf16 ? Factors::bf16 : Factors::f16;
  return factors();
}

// x, y and the other maps are set, the weights [sets, O, taps, C/g] f32.
void run(Convolution p, int64_t images, const Tensor& w, bool turn) {
  if (images == 0 || p.y_rows == 0 || p.ow == 0) return;
  Factors factors = factors_of(p.x.type, p.y.type);
  DType type = factors == Factors::bf16 ? DType::bf16 : factors == Factors::f16 ? DType::f16 : DType::f32;
  const bool fast = factors != Factors::f32 && has_tensor_cores();
  const int og = p.o / p.groups, depth = p.kh * p.kw * (p.c / p.groups), step = fast ? stage_terms(p) : 1;
  p.pitch = (depth + step - 1) / step * step;
  p.weights = w.device_data<float>();
  Tensor prepared;
  if (turn || fast || type != DType::f32) {
    prepared = Tensor({w.numel() / depth, p.pitch}, type, Device::cuda);
    Layout to{p.kh * p.kw,
              p.c / p.groups,
              og,
              p.groups,
              p.pitch,
              turn,
              fast && factors == Factors::tf32,
              fast && p.x.type == DType::f32 && type != DType::f32};
    dispatch_map(type, [&](auto zero) {
      using W = decltype(zero);
      launch(weights_kernel<W>, blocks_for(prepared.numel()), kBlock, w.device_data<float>(), to,
             prepared.device_data<W>(), prepared.numel());
      p.weights = prepared.device_data<W>();
    });
  }
  p.by_fours = og % 4 == 0;
  for (const Array& map : {p.y, p.a, p.residual})
    p.by_fours = p.by_fours && map.starts_at_multiple_of(map.type == DType::f32 ? 16 : 8);
  if (fast) return run_on_tensor_cores(p, images, factors);
  dispatch_map(type, [&](auto factor) {
    using W = decltype(factor);
    p.x.type == DType::f32 ? run_tiles<float, W>(p, images) : run_tiles<W, W>(p, images);
  });
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

// dz = dy where a > 0, else slope * dy.
template <class T>
__global__ void mask_kernel(const T* dy, const T* a, float slope, T* dz, int64_t n) {
  int64_t i = element();
  if (i < n) dz[i] = static_cast<float>(a[i]) > 0 ? dy[i] : T(slope * static_cast<float>(dy[i]));
}

}  // namespace

void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x, const Tensor& w, const Tensor& b,
                 const Tensor& residual, const Tensor& y, const Tensor& a) {
  Convolution p = from_geometry(g);
  p.slope = slope, p.x = array(x), p.residual = array(residual), p.y = array(y), p.a = array(a);
  p.b = b.defined() ? b.device_data<float>() : nullptr;
  run(p, g.n, w, false);
}

void conv2d_backward_data(const ConvGeometry& g, const Tensor& dy, const Tensor& w, const Tensor& sum,
                          const Tensor& dx) {
  Convolution p = from_geometry(g);
  std::swap(p.h, p.oh), std::swap(p.w, p.ow), std::swap(p.c, p.o);
  p.up = p.stride, p.stride = 1;
  p.pad_y = p.dilation * (p.kh - 1) - p.pad_y, p.pad_x = p.dilation * (p.kw - 1) - p.pad_x;
  p.x_rows = p.h, p.y_rows = p.oh;
  p.x = array(dy), p.residual = array(sum), p.y = array(dx);
  run(p, g.n, w, true);
}

void activation_gradient(const Tensor& dy, const Tensor& a, float slope, const Tensor& dz) {
  if (dz.numel() == 0) return;
  dispatch_map(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(mask_kernel<T>, blocks_for(dz.numel()), kBlock, dy.device_data<T>(), a.device_data<T>(), slope,
           dz.device_data<T>(), dz.numel());
  });
}

}  // namespace dgp::cuda
