// What the convolution kernels share, for .cu files: a description of the product and how it reads and
// writes.
#pragma once

#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"
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

// Sizes of images fit into 32 bits, offsets do not. Input pixel (y, x) stands at (up y, up x) of a plane that
// is zero elsewhere; the tap (i, j) of result (oy, ox) looks at (oy stride - pad_y + i dilation, ...).
struct Convolution {
  int h, w, c, oh, ow, o, kh, kw, stride, up, pad_y, pad_x, dilation, groups;
  int x_first, x_rows, y_first, y_rows;
  bool w_per_image, b_per_image;
  float slope;
  Array x, residual, y, a;  // a: for the result before the residual is added
  const void* weights;      // [sets, O, pitch] of the factors' type: taps x C/groups
  int pitch;                // to whole stages, with zeros
  bool by_fours;            // results may be stored four at a time
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

// Adds bias, activation and residual to the sum of an output channel at a pixel, and stores it.
__device__ inline void store_at(const Convolution& p, int64_t image, int64_t pixel, int64_t o, float sum) {
  int64_t at = (image * p.y_rows * p.ow + pixel) * p.o + o;
  float z = sum + (p.b ? p.b[(p.b_per_image ? image * p.o : 0) + o] : 0.0F);
  z = z > 0 ? z : p.slope * z;
  if (p.a.data) p.a.store(at, z);
  p.y.store(at, z + (p.residual.data ? p.residual.load(at) : 0.0F));
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

// (tiles of pixels, tiles of outputs of a group, images * groups), for tiles of so many pixels and outputs.
inline dim3 grid_of(const Convolution& p, int64_t images, int64_t tile_pixels, int64_t tile_outputs) {
  int64_t pixels = int64_t{p.y_rows} * p.ow, tiles = (pixels + tile_pixels - 1) / tile_pixels;
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

// The kernels of the gradient in x, which reads dy and writes dx.
struct PreparedWeights;
PreparedWeights prepare_turned(const Tensor& w, int64_t groups, DType read, DType written);

// The whole convolution on tensor cores, of factors that are not f32. Where x is f32 and the factors have 16
// bits, places 2t, 2t+1, 2t+8 and 2t+9 of each 16 terms of the weights hold terms t, t+4, t+8 and t+12.
void run_on_tensor_cores(const Convolution& p, int64_t images, Factors factors);

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

}  // namespace dgp::cuda
