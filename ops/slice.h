// Elements [begin, end) of one axis, copied; dx is dy there and 0 elsewhere.
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// 0 <= begin <= end <= x.dim(axis); axis may be negative.
Var slice(const Var& x, int axis, int64_t begin, int64_t end);

namespace cpu {

// Copies `count` elements of an axis: source from position `source_at` on, target from `target_at` on. Both
// have equal shapes but for `axis` (>= 0). What concat and slice and their gradients are made of.
void copy_range(const Tensor& source, int64_t source_at, const Tensor& target, int64_t target_at, int axis,
                int64_t count);

}  // namespace cpu

namespace cuda {
DGP_CUDA_FUNCTION void copy_range(const Tensor& source, int64_t source_at, const Tensor& target,
                                  int64_t target_at, int axis, int64_t count);  // not u8, i64
}

}  // namespace dgp
