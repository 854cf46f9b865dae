// Spectral normalisation (Miyato et al., ICLR 2018), as torch.nn.utils.spectral_norm computes it. W is the
// weight as a matrix of O rows; u and v its leading singular vectors, followed by one power iteration a call:
//   v <- W^T u / |W^T u|,  u <- W v / |W v|,  s = u^T W v,  y = W / s
//   dW = dy / s - (sum dy * W) / s^2 u v^T        (u and v count as constants)
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// w [O,...]; u [O] and v [1,...] of w's type. `iterate`: update u and v in place first.
Var spectral_norm(const Var& w, const Tensor& u, const Tensor& v, bool iterate);

namespace cuda {
// s: f64 [1], the singular value, made by the first and read by the second.
DGP_CUDA_FUNCTION void spectral_norm(const Tensor& w, const Tensor& u, const Tensor& v, bool iterate,
                                     const Tensor& s, const Tensor& y);
DGP_CUDA_FUNCTION void spectral_norm_backward(const Tensor& w, const Tensor& u, const Tensor& v,
                                              const Tensor& s, const Tensor& dy, const Tensor& dw);
}  // namespace cuda

}  // namespace dgp
