// What the operations on pictures share, on the CPU and in kernels: f32 [H,W,3] in [0, 1].
#pragma once

#include <cmath>

#include "image/jpeg_transform.h"
#include "tensor/device_function.h"
#include "tensor/tensor.h"

namespace dgp {

inline void check_picture(const char* op, const Tensor& x) {
  check_rank(op, "picture", x, 3);
  check(x.dim(0) > 0 && x.dim(1) > 0 && x.dim(2) == 3 && x.dtype() == DType::f32, op,
        ": expects f32 [H,W,3], got ", to_string(x.dtype()), " ", to_string(x.shape()));
}

DGP_DEVICE inline float clamped(float v) { return v < 0 ? 0.f : v > 1 ? 1.f : v; }
DGP_DEVICE inline int byte_of(float v) { return static_cast<int>(lrintf(clamped(v) * 255)); }
// To the bit the same everywhere: of grey values of bytes some lie in the middle between two bytes.
DGP_DEVICE inline float luma(const float* p) {
  return add_product(add_product(0.2989f * p[0], 0.587f, p[1]), 0.114f, p[2]);
}

// ... 2 1 0 1 2 ... n-2 n-1 n-2 ...
DGP_DEVICE inline int64_t reflected(int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (n == 1) return 0;
  i = (i < 0 ? -i : i) % (2 * n - 2);
  return i < n ? i : 2 * n - 2 - i;
}

}  // namespace dgp
