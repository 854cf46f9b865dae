// What the convolution kernels share, for .cu files: a description of the product and how it reads and
// writes.
#pragma once

#include "ops/conv2d.h"
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"
#include "tensor/device_function.h"
#include "tensor/storage.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

// Four values, loaded and stored as one where they begin at a multiple of their size.
template <class T>
struct alignas(4 * sizeof(T)) Four {
  T value[4];
};

// An array of f32, bf16 or f16, or none: for what a kernel reads or writes once, and need not be made for.
struct Array {
  void* data = nullptr;
  DType type = DType::f32;

  bool starts_at_multiple_of(size_t bytes) const { return reinterpret_cast<uintptr_t>(data) % bytes == 0; }

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

  // The same of values i..i+3, where i and the array's beginning allow it.
  __device__ void load_four(int64_t i, float (&to)[4]) const {
    if (type == DType::bf16) return load_as<bf16>(i, to);
    if (type == DType::f16) return load_as<f16>(i, to);
    load_as<float>(i, to);
  }
  __device__ void store_four(int64_t i, const float (&values)[4]) const {
    if (type == DType::bf16) return store_as<bf16>(i, values);
    if (type == DType::f16) return store_as<f16>(i, values);
    store_as<float>(i, values);
  }

 private:
  template <class T>
  __device__ void load_as(int64_t i, float (&to)[4]) const {
    Four<T> four = *reinterpret_cast<const Four<T>*>(static_cast<const T*>(data) + i);
    for (int e = 0; e < 4; ++e) to[e] = static_cast<float>(four.value[e]);
  }
  template <class T>
  __device__ void store_as(int64_t i, const float (&values)[4]) const {
    Four<T> four;
    for (int e = 0; e < 4; ++e) four.value[e] = T(values[e]);
    *reinterpret_cast<Four<T>*>(static_cast<T*>(data) + i) = four;
  }
};

// Throws Error(invalid) for a type that is none of feature maps.
inline Array array(const Tensor& t) {
  Array a;
  if (t.defined())
    dispatch_storage(t.dtype(), "conv2d", [&](auto zero) {
      a = {t.device_data<decltype(zero)>(), t.dtype()};
    });
  return a;
}

// Sizes of images fit into 32 bits, offsets do not. The tap (i, j) of result (oy, ox) looks at
// (oy stride - pad_y + i dilation, ...). up > 1: this is the gradient in the input of a convolution of that
// stride, whose kernel, padding and dilation these are; stride is 1.
struct Convolution {
  int h, w, c, oh, ow, o, kh, kw, stride, up, pad_y, pad_x, dilation, groups;
  int x_first, x_rows, y_first, y_rows;
  bool w_per_image, b_per_image;
  float slope;
  Array x, residual, y, a;  // a: for the result before the residual is added
  const void* weights;      // [sets, up x up, O, pitch] of the factors' type: taps x C/groups
  int pitch;                // to whole stages, with zeros
  bool by_fours;            // results may be stored four at a time
  const float* b;
};

// The gradient in the input of a convolution with a stride, along an axis: pixels first, first + stride, ...
// see the same taps, tap, tap + step, ..., and find them side by side in dy. So these pixels are a dense
// convolution of dy with these taps, in reverse; nothing is multiplied by the zeros between dy's pixels.
struct Phase {
  int taps, tap, step;   // how many, the first, and from one to the next
  int corner, dilation;  // where the first pixel's window begins in dy, and from tap to tap there
};
DGP_DEVICE inline Phase phase_of(int first, int k, int stride, int padding, int dilation) {
  Phase phase{0, 0, 1, 0, 0};
  while (phase.step * dilation % stride != 0) ++phase.step;
  phase.dilation = phase.step * dilation / stride;
  auto meets = [&] { return (first + padding - phase.tap * dilation) % stride == 0; };
  while (phase.tap < phase.step && !meets()) ++phase.tap;
  if (phase.tap == phase.step || phase.tap >= k) return phase;
  phase.taps = (k - phase.tap - 1) / phase.step + 1;
  phase.corner = (first + padding - phase.tap * dilation) / stride - (phase.taps - 1) * phase.dilation;
  return phase;
}

// Some of the pixels, rows x columns of them, and their windows: all, or part `index` of up x up.
struct Part {
  int kh, kw, dilation, top, left;  // the window, and its corner at the first pixel
  int y, x, rows, columns;          // the first pixel; from one to the next it is p.up
};
template <bool kParts>
__device__ inline Part part_of(const Convolution& p, int index) {
  if constexpr (!kParts)
    return {p.kh, p.kw, p.dilation, p.y_first * p.stride - p.pad_y, -p.pad_x, 0, 0, p.y_rows, p.ow};
  const int y = index / p.up, x = index % p.up;
  const Phase down = phase_of(y, p.kh, p.up, p.pad_y, p.dilation);
  const Phase across = phase_of(x, p.kw, p.up, p.pad_x, p.dilation);
  return {down.taps,
          across.taps,
          down.dilation,
          down.corner,
          across.corner,
          y,
          x,
          (p.y_rows - y + p.up - 1) / p.up,
          (p.ow - x + p.up - 1) / p.up};
}

// The corner of a pixel's window; far outside for a pixel that is none.
struct Corner {
  int top, left;
};
__device__ inline Corner corner_of(const Convolution& p, const Part& part, int64_t pixel) {
  bool inside = pixel < int64_t{part.rows} * part.columns;
  return {inside ? part.top + static_cast<int>(pixel / part.columns) * p.stride : -(1 << 30),
          part.left + static_cast<int>(pixel % part.columns) * p.stride};
}

__device__ inline float bias_of(const Convolution& p, int64_t image, int64_t o) {
  return p.b ? p.b[(p.b_per_image ? image * p.o : 0) + o] : 0.0F;
}

// Activation and residual for a sum with its bias, which is stored at this place of the result.
__device__ inline void store_result(const Convolution& p, int64_t at, float z) {
  z = z > 0 ? z : p.slope * z;
  if (p.a.data) p.a.store(at, z);
  p.y.store(at, z + (p.residual.data ? p.residual.load(at) : 0.0F));
}

// Adds bias, activation and residual to the sum of an output channel at a pixel, and stores it.
__device__ inline void store_at(const Convolution& p, int64_t image, int64_t pixel, int64_t o, float sum) {
  store_result(p, (image * p.y_rows * p.ow + pixel) * p.o + o, sum + bias_of(p, image, o));
}

// The same of four outputs, where p.by_fours.
__device__ inline void store_four(const Convolution& p, int64_t image, int64_t pixel, int64_t o,
                                  const float* sums) {
  int64_t at = (image * p.y_rows * p.ow + pixel) * p.o + o;
  const float* b = p.b ? p.b + (p.b_per_image ? image * p.o : 0) + o : nullptr;
  float z[4], residual[4] = {};
  for (int e = 0; e < 4; ++e) {
    z[e] = sums[e] + (b ? b[e] : 0.0F);
    z[e] = z[e] > 0 ? z[e] : p.slope * z[e];
  }
  if (p.a.data) p.a.store_four(at, z);
  if (p.residual.data) p.residual.load_four(at, residual);
  for (int e = 0; e < 4; ++e) z[e] += residual[e];
  p.y.store_four(at, z);
}

// (tiles of pixels x parts, tiles of outputs of a group, images * groups), for tiles of so many pixels and
// outputs.
inline dim3 grid_of(const Convolution& p, int64_t images, int64_t tile_pixels, int64_t tile_outputs) {
  int64_t pixels = (int64_t{p.y_rows} + p.up - 1) / p.up * ((int64_t{p.ow} + p.up - 1) / p.up);
  int64_t tiles = (pixels + tile_pixels - 1) / tile_pixels * p.up * p.up;
  int64_t outputs = (p.o / p.groups + tile_outputs - 1) / tile_outputs, depth = images * p.groups;
  check(tiles <= 0x7fffffff && outputs <= 65535 && depth <= 65535, "conv2d: too large for one kernel");
  return {static_cast<unsigned>(tiles), static_cast<unsigned>(outputs), static_cast<unsigned>(depth)};
}

// Terms of K that a kernel takes at a time, by the type that x is stored in: the weights' rows are filled
// with zeros to a multiple.
inline int stage_terms(DType x) { return x == DType::f32 ? 16 : 32; }

// What is multiplied: of a map's 16 bits, what is read before what is written; else what is in use. Where
// there are no tensor cores for them factors are f32, and so is x.
Factors factors_of(DType read, DType written);

// The kernels of the gradient in x, which reads dy and writes dx: turned round, and those of every part.
struct PreparedWeights;
PreparedWeights prepare_turned(const Tensor& w, const ConvGeometry& g, DType read, DType written);

// The whole convolution on tensor cores, of factors that are not f32. Where x is f32 and the factors have 16
// bits, places 2t, 2t+1, 2t+8 and 2t+9 of each 16 terms of the weights hold terms t, t+4, t+8 and t+12.
void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors);

// The whole convolution of f32 factors by Winograd, with weights that are made of w, [groups, O, 3, 3, C] of
// all groups and sets, or for the gradient in x turned round, [groups, C, 3, 3, O].
void run_winograd(const Convolution& p, int64_t images);
void winograd_weights(const Tensor& w, int64_t groups, int64_t inputs, int64_t outputs, bool turn,
                      const Tensor& to);

// The gradient in the kernels, [sets, O, depth], from rows of dy: parts of them to `partial`, added
// afterwards.
struct WeightGradient {
  int h, w, c, oh, ow, o, kh, kw, stride, padding, dilation, groups, depth;
  int64_t rows, rows_each, sets, splits;  // rows of dy in a set of kernels, and of one block
  bool per_image, whole_x, whole_dy;      // whole: 16 bytes of it lie within a group, at a multiple of 16
  const void *dy, *x;
  float* partial;  // [sets, splits, O, depth]
};

// (tiles of K, tiles of the outputs of a group, sets * splits * groups)
inline dim3 grid_of(const WeightGradient& p, int64_t tile_terms, int64_t tile_outputs) {
  int64_t terms = (p.depth + tile_terms - 1) / tile_terms;
  int64_t outputs = (p.o / p.groups + tile_outputs - 1) / tile_outputs, parts = p.sets * p.splits * p.groups;
  check(outputs <= 65535 && parts <= 65535, "conv2d: too large for one kernel");
  return {static_cast<unsigned>(terms), static_cast<unsigned>(outputs), static_cast<unsigned>(parts)};
}

// Its parts on tensor cores, from dy and x of this type; of f32 in tf32.
void run_on_tensor_cores(const WeightGradient& p, DType type);

// 1x1 convolutions, whole images and nothing but the product, by cuBLAS; backward_weight: the parts. False
// where it is none, where factors are to be rounded first, or without cuBLAS: then nothing is done.
bool forward_by_blas(const ConvGeometry& g, const Tensor& x, const Tensor& w, const Tensor& y);
bool backward_data_by_blas(const ConvGeometry& g, const Tensor& dy, const Tensor& w, const Tensor& sum,
                           const Tensor& dx);
bool backward_weight_by_blas(const ConvGeometry& g, const WeightGradient& p, DType type);

}  // namespace dgp::cuda
