// What the operations on pictures share: f32 [H,W,3] in [0, 1].
#pragma once

#include <algorithm>
#include <cmath>

#include "tensor/tensor.h"

namespace dgp {

inline void check_picture(const char* op, const Tensor& x) {
  check_rank(op, "picture", x, 3);
  check(x.dim(0) > 0 && x.dim(1) > 0 && x.dim(2) == 3 && x.dtype() == DType::f32, op,
        ": expects f32 [H,W,3], got ", to_string(x.dtype()), " ", to_string(x.shape()));
}

inline int64_t byte_of(float v) { return std::lrint(std::clamp(v, 0.f, 1.f) * 255); }
inline float luma(const float* p) { return 0.2989f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }
inline float clamped(float v) { return std::clamp(v, 0.f, 1.f); }

}  // namespace dgp
