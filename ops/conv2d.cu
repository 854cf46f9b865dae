// Convolution as a matrix product that is never written down (implicit GEMM): result pixels by output
// channels, summed over K = taps x input channels, in NHWC, by the kernel of conv2d_tile.h. Bias, activation
// and residual are added as a tile is stored. The gradient in x is the same kernel: dy convolved with the
// kernels turned round, where there was a stride in parts that see some of the taps each. This file has the
// sums of f32 factors; conv2d_tensor_cores.cu those of rounded ones, conv2d_weights.cu the gradient in w. 3x3
// convolutions of f32 factors and enough channels go by Winograd instead, conv2d_winograd.cu.
#include <algorithm>

#include "ops/conv2d_prepared.h"
#include "ops/conv2d_tile.h"

namespace dgp::cuda {
namespace {

// Of a lane: 8 pixels, 4 apart, by every eighth output. Sums are taken in order of K in parts of kPart terms,
// which keeps their rounding below that of one long sum.
template <class T>
struct ExactSums {
  static constexpr int kPixels = 8, kOutputs = T::kWarpOutputs / 8, kPart = 128;
  float sum[kPixels][kOutputs] = {}, part[kPixels][kOutputs] = {};
  int terms = 0;

  __device__ void add(const Chunk* xs, const Chunk* ws, int down, int beside, int lane) {
    using half_detail::float_of;
#pragma unroll 1  // loads ahead of their use would fill the registers
    for (int c = 0; c < T::kXChunks; ++c) {
      Chunk w[kOutputs];
#pragma unroll
      for (int j = 0; j < kOutputs; ++j) w[j] = ws[swizzled<T::kWChunks>(beside + lane % 8 + 8 * j, c)];
#pragma unroll
      for (int i = 0; i < kPixels; ++i) {
        Chunk x = xs[swizzled<T::kXChunks>(down + lane / 8 + 4 * i, c)];
#pragma unroll
        for (int e = 0; e < 4; ++e)
#pragma unroll
          for (int j = 0; j < kOutputs; ++j) part[i][j] += float_of(x.word[e]) * float_of(w[j].word[e]);
      }
    }
    terms += T::kDeep;
    if (terms % kPart == 0) finish();
  }
  __device__ void finish() {
#pragma unroll
    for (int i = 0; i < kPixels; ++i)
#pragma unroll
      for (int j = 0; j < kOutputs; ++j) {
        sum[i][j] += part[i][j];
        part[i][j] = 0;
      }
  }
  __device__ void lay_down(int half, float* rows, int lane) const {
#pragma unroll
    for (int i = 0; i < kPixels / 2; ++i)
#pragma unroll
      for (int j = 0; j < kOutputs; ++j)
        rows[(lane / 8 + 4 * i) * T::kPitch + lane % 8 + 8 * j] = sum[kPixels / 2 * half + i][j];
  }
};

template <int kOutputs, bool kWhole>
void run_wide(const Convolution& p, int64_t images) {
  using T = Tile<float, float, kOutputs, kOutputs <= 32 ? kOutputs : kOutputs / 2>;
  run_tiles<T, ExactSums<T>, kWhole>(p, images);
}

void run_exactly(const Convolution& p, int64_t images) {
  const int width = tile_width(p, {64, 48, 32, 16});
  if (!has_whole_chunks(p))
    return width == 16 ? run_wide<16, false>(p, images) : run_wide<64, false>(p, images);
  if (width == 64) return run_wide<64, true>(p, images);
  if (width == 48) return run_wide<48, true>(p, images);
  width == 32 ? run_wide<32, true>(p, images) : run_wide<16, true>(p, images);
}

// y and the other maps are set.
void run(Convolution p, int64_t images, const Tensor& of_x, const PreparedWeights& w) {
  if (images == 0 || p.y_rows == 0 || p.ow == 0) return;
  const Tensor x = w.factors == Factors::f32 ? of_x.to(DType::f32) : of_x;
  p.x = array(x), p.weights = w.memory.device_data<float>(), p.pitch = static_cast<int>(w.pitch);
  p.by_fours = p.o / p.groups % 4 == 0;
  for (const Array& map : {p.y, p.a, p.residual})
    p.by_fours = p.by_fours && map.starts_at_multiple_of(map.type == DType::f32 ? 16 : 8);
  if (w.winograd > 0) return run_winograd(p, images);
  w.factors == Factors::f32 ? run_exactly(p, images) : run_on_tensor_cores(p, images, w.factors);
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
  const bool alone = slope == 1 && !b.defined() && !residual.defined() && !a.defined();
  if (alone && forward_by_blas(g, x, w, y)) return;
  conv2d_rows(g, slope, x, prepare_weights(w, x.dtype(), y.dtype(), options_of(g)), b, residual, y, a);
}

void conv2d_rows(const ConvGeometry& g, float slope, const Tensor& x, const PreparedWeights& w,
                 const Tensor& b, const Tensor& residual, const Tensor& y, const Tensor& a) {
  const Factors factors = factors_of(x.dtype(), y.dtype());
  check(factors == w.factors && (factors == Factors::f32 || x.dtype() == w.x),
        "conv2d: weights prepared for other factors, or for input of ", to_string(w.x), "; input is ",
        to_string(x.dtype()), ", result ", to_string(y.dtype()));
  check(w.winograd == 0 || (w.winograd == g.groups && g.stride == 1 && g.dilation == 1),
        "conv2d: weights prepared for stride 1, dilation 1 and ", w.winograd, " groups, not for stride ",
        g.stride, ", dilation ", g.dilation, " and ", g.groups, " groups");
  Convolution p = from_geometry(g);
  p.slope = slope, p.residual = array(residual), p.y = array(y), p.a = array(a);
  p.b = b.defined() ? b.device_data<float>() : nullptr;
  run(p, g.n, x, w);
}

void conv2d_backward_data(const ConvGeometry& g, const Tensor& dy, const Tensor& w, const Tensor& sum,
                          const Tensor& dx) {
  if (backward_data_by_blas(g, dy, w, sum, dx)) return;
  Convolution p = from_geometry(g);
  std::swap(p.h, p.oh), std::swap(p.w, p.ow), std::swap(p.c, p.o);
  p.up = p.stride, p.stride = 1;
  if (p.up == 1) p.pad_y = p.dilation * (p.kh - 1) - p.pad_y, p.pad_x = p.dilation * (p.kw - 1) - p.pad_x;
  p.x_rows = p.h, p.y_rows = p.oh;
  p.residual = array(sum), p.y = array(dx);
  run(p, g.n, dy, prepare_turned(w, g, dy.dtype(), dx.dtype()));
}

void activation_gradient(const Tensor& dy, const Tensor& a, float slope, const Tensor& dz) {
  if (dz.numel() == 0) return;
  dispatch_storage(dy.dtype(), "conv2d", [&](auto zero) {
    using T = decltype(zero);
    launch(mask_kernel<T>, blocks_for(dz.numel()), kBlock, dy.device_data<T>(), a.device_data<T>(), slope,
           dz.device_data<T>(), dz.numel());
  });
}

}  // namespace dgp::cuda
