// Channels to pixels and back (Shi et al., CVPR 2016), in PyTorch's channel order:
//   pixel_shuffle    y[n, h r + i, w r + j, c] = x[n, h, w, c r r + i r + j]
//   pixel_unshuffle  the inverse. Each is the other's gradient.
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

Var pixel_shuffle(const Var& x, int64_t r);    // [N,H,W,C*r*r] -> [N,H*r,W*r,C], r >= 1
Var pixel_unshuffle(const Var& x, int64_t r);  // [N,H*r,W*r,C] -> [N,H,W,C*r*r]

namespace cpu {
Tensor pixel_shuffle(const Tensor& x, int64_t r);
Tensor pixel_unshuffle(const Tensor& x, int64_t r);
}  // namespace cpu

namespace cuda {
DGP_CUDA_FUNCTION void pixel_shuffle(const Tensor& x, int64_t r, const Tensor& y);
DGP_CUDA_FUNCTION void pixel_unshuffle(const Tensor& x, int64_t r, const Tensor& y);
}  // namespace cuda

}  // namespace dgp
