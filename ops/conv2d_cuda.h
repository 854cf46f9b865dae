// What the convolution kernels share, for .cu files: a description of the product and how it reads and
// writes.
#pragma once

#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

// An array of f32, bf16 or f16, or none: for what a kernel reads or writes once, and need not be made for.
struct Array {
  void* data = nullptr;
  DType type = DType::f32;

  __device__ float load(int64_t i) const {
    if (type == DType::bf16) return static_cast<const bf16*>(data)[i];
    if (type == DType::f16) return static_cast<const f16*>(data)[i];
    return static_cast<const float*>(data)[i];
  }
  __device__ void store(int64_t i, float value) const {
    if (type == DType::bf16)
      static_cast<bf16*>(data)[i] = bf16(value);
    else if (type == DType::f16)
      static_cast<f16*>(data)[i] = f16(value);
    else
      static_cast<float*>(data)[i] = value;
  }
};

// f(float{}), f(bf16{}) or f(f16{}). Throws Error(invalid) for other types.
template <class F>
void dispatch_map(DType type, F&& f) {
  if (type == DType::bf16) return f(bf16{});
  if (type == DType::f16) return f(f16{});
  check(type == DType::f32, "conv2d: the GPU has feature maps of f32, bf16 and f16, not ", to_string(type));
  f(float{});
}

inline Array array(const Tensor& t) {
  Array a;
  if (t.defined())
    dispatch_map(t.dtype(), [&](auto zero) { a = {t.device_data<decltype(zero)>(), t.dtype()}; });
  return a;
}

// Sizes of images fit into 32 bits, offsets do not. Input pixel (y, x) stands at (up y, up x) of a plane that
// is zero elsewhere; the tap (i, j) of result (oy, ox) looks at (oy stride - pad_y + i dilation, ...).
struct Convolution {
  int h, w, c, oh, ow, o, kh, kw, stride, up, pad_y, pad_x, dilation, groups;
  int x_first, x_rows, y_first, y_rows;
  bool w_per_image, b_per_image;
  float slope;
  Array x, residual, y, a;  // a: for the result before the residual is added
  const void* weights;      // [sets, O, taps, C/groups] of the factors' type
  const float* b;
};

// The corner of a result pixel's window; far outside for a pixel that is none.
struct Corner {
  int top, left;
};
__device__ inline Corner corner_of(const Convolution& p, int64_t pixel) {
  bool inside = pixel < int64_t{p.y_rows} * p.ow;
  return {inside ? (p.y_first + static_cast<int>(pixel / p.ow)) * p.stride - p.pad_y : -(1 << 30),
          static_cast<int>(pixel % p.ow) * p.stride - p.pad_x};
}

// The k-th term of every sum: which tap it looks through, at which channel of the group.
struct Term {
  bool there;
  int dy, dx, channel;
};
__device__ inline Term term_of(const Convolution& p, int k) {
  int cg = p.c / p.groups, tap = k / cg;
  return {k < p.kh * p.kw * cg, tap / p.kw * p.dilation, tap % p.kw * p.dilation, k - tap * cg};
}

// x: of the image and group.
template <class X>
__device__ inline float input_at(const Convolution& p, const X* x, Corner at, Term term) {
  int iy = at.top + term.dy, ix = at.left + term.dx;
  bool there = term.there && iy >= 0 && ix >= 0 && iy % p.up == 0 && ix % p.up == 0;
  iy /= p.up, ix /= p.up;
  there = there && iy < p.h && ix < p.w;
  return there ? static_cast<float>(x[(int64_t{iy - p.x_first} * p.w + ix) * p.c + term.channel]) : 0.0F;
}

// Adds bias, activation and residual to the sum of an output channel at a pixel, and stores it.
__device__ inline void store_at(const Convolution& p, int64_t image, int64_t pixel, int64_t o, float sum) {
  int64_t at = (image * p.y_rows * p.ow + pixel) * p.o + o;
  float z = sum + (p.b ? p.b[(p.b_per_image ? image * p.o : 0) + o] : 0.0F);
  z = z > 0 ? z : p.slope * z;
  if (p.a.data) p.a.store(at, z);
  p.y.store(at, z + (p.residual.data ? p.residual.load(at) : 0.0F));
}

// (tiles of pixels, tiles of outputs of a group, images * groups), for tiles of so many pixels and outputs.
inline dim3 grid_of(const Convolution& p, int64_t images, int64_t tile_pixels, int64_t tile_outputs) {
  int64_t pixels = int64_t{p.y_rows} * p.ow, tiles = (pixels + tile_pixels - 1) / tile_pixels;
  int64_t outputs = (p.o / p.groups + tile_outputs - 1) / tile_outputs, depth = images * p.groups;
  check(tiles <= 0x7fffffff && outputs <= 65535 && depth <= 65535, "conv2d: too large for one kernel");
  return {static_cast<unsigned>(tiles), static_cast<unsigned>(outputs), static_cast<unsigned>(depth)};
}

// The whole convolution on tensor cores; factors: all but f32.
void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors);

}  // namespace dgp::cuda
