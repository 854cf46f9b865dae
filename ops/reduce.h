// Sums and means over axes. Partial sums are kept in double and added in an order that the shape alone fixes.
//   y = sum_i x_i,  dx_i = dy;     y = (1/n) sum_i x_i,  dx_i = dy / n     y of 16-bit x is f32 (GPU)
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

using Axes = std::vector<int>;  // negative axes count from the end

Var sum(const Var& x);   // of every element: shape []
Var mean(const Var& x);  // likewise; throws on an empty tensor
Var sum(const Var& x, const Axes& axes, bool keepdim = false);
Var mean(const Var& x, const Axes& axes, bool keepdim = false);

// x [N,H,W,C] -> [N,C]: the mean over each image's pixels.
Var global_average_pool(const Var& x);

namespace cpu {

// scale * the sum of x over the axes where reduced[axis]; those axes keep size 1.
Tensor sum(const Tensor& x, const std::vector<bool>& reduced, double scale = 1);

// The sum over the axes along which `shape` was repeated: the gradient of broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace cpu

namespace cuda {
// x [outer,rows,inner] of any float type -> scale * its sums over rows, [outer,inner] in y, f32 or f64.
DGP_CUDA_FUNCTION void sum_axis(const Tensor& x, int64_t outer, int64_t rows, int64_t inner, double scale,
                                const Tensor& y);
}  // namespace cuda

}  // namespace dgp
