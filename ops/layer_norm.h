// Layer normalisation over the last axis (Ba et al., 2016), moments in double:
//   z = (x - mean) / sqrt(var + eps),  y = gamma z + beta,  var the mean of squared deviations
//   g = gamma dy,  dx = (g - mean(g) - z mean(g z)) / sqrt(var + eps),  dgamma = sum dy z,  dbeta = sum dy
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// x [...,C], C >= 1; gamma and beta [C], or undefined for 1 and 0; eps > 0
Var layer_norm(const Var& x, const Var& gamma = {}, const Var& beta = {}, double eps = 1e-5);

namespace cuda {
// z and scales [rows], f64, may be undefined: not kept.
DGP_CUDA_FUNCTION void layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps,
                                  const Tensor& y, const Tensor& z, const Tensor& scales);
DGP_CUDA_FUNCTION void layer_norm_backward(const Tensor& dy, const Tensor& z, const Tensor& gamma,
                                           const Tensor& scales, const Tensor& dx);
DGP_CUDA_FUNCTION void layer_norm_backward_gamma(const Tensor& dy, const Tensor& z, const Tensor& dgamma);
}  // namespace cuda

}  // namespace dgp
