// Axes in another order: y.dim(i) = x.dim(axes[i]); dx is dy with the inverse order.
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// axes: every axis of x once, for instance {0, 3, 1, 2} from [N,H,W,C] to [N,C,H,W].
Var permute(const Var& x, const std::vector<int>& axes);

namespace cpu {
Tensor permute(const Tensor& x, const std::vector<int>& axes);  // any element type
}

namespace cuda {
// strides: of x, in elements, for the axes of y; element types of 4 and 8 bytes.
DGP_CUDA_FUNCTION void permute(const Tensor& x, const std::vector<int64_t>& strides, const Tensor& y);
}  // namespace cuda

}  // namespace dgp
