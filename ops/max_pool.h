// Maximum over windows of 2x2, stride 2 (an odd last row or column is left out), as VGG uses it:
//   y[n,i,j,c] = max of x[n, 2i..2i+1, 2j..2j+1, c];  dx is dy where the maximum was (the first of equal
//   ones).
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

Var max_pool(const Var& x);  // [N,H,W,C] -> [N,H/2,W/2,C]

namespace cuda {
DGP_CUDA_FUNCTION void max_pool(const Tensor& x, const Tensor& y);
DGP_CUDA_FUNCTION void max_pool_backward(const Tensor& x, const Tensor& y, const Tensor& dy,
                                         const Tensor& dx);
}  // namespace cuda

}  // namespace dgp
