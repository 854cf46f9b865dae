// DGConv's operators in kernel space (Peng et al., arXiv:2405.07023, figure "DGConv").
// Each of the six gradient operators is linear in the window it looks at, so it is an ordinary convolution
// with a kernel W that is a linear map of the raw kernel w. Per (output, input) pair, over the k*k taps:
//   csg  W = w - mean(w)                 centre-surrounding gradient:     sum_i w_i (x_i - M)
//   csa  W = w + mean(w)                 centre-surrounding aggregation:  sum_i w_i (x_i + M)
//   hg   W = w - mirrored left-right     horizontal gradient; the middle column is 0
//   vg   W = w - mirrored top-bottom     vertical gradient; the middle row is 0
//   vc   W = w                           vanilla convolution
//   idg  W = w - [tap = L] sum(w)        irregular directional gradient:  sum_i w_i (x_i - x_L), L drawn once
#pragma once

#include <vector>

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

enum class Operator { csg, csa, hg, vg, vc, idg };

const char* to_string(Operator op);

// raw: one [O,k,k,I] per operator, k odd; location: i64 [O,I] in [0, k*k), used by idg, else undefined.
// -> the kernels that convolve the input, stacked: [n,O,k,k,I].
Var operator_kernels(const std::vector<Var>& raw, const std::vector<Operator>& ops, const Tensor& location);

// kernels [n,O,k,k,I] -> root mean square over outputs and inputs, per operator and tap, operator-major:
// [n*k*k].
Var kernel_rms(const Var& kernels);

// sum_o alpha_o W_o: kernels [n,O,k,k,I], alpha [n] -> [O,k,k,I].
Var weighted_sum(const Var& kernels, const Var& alpha);

// The same on the GPU, f32; kernels, dw [n,O,k,k,I].
namespace cuda {

// from: raw kernels, or their gradients with `adjoint`; into[j] undefined: left out. Exactly one of both is
// stacked: of one tensor [n,O,k,k,I], the other lists n.
DGP_CUDA_FUNCTION void operator_kernels(const std::vector<Tensor>& from, const std::vector<Operator>& ops,
                                        const Tensor& location, bool adjoint,
                                        const std::vector<Tensor>& into);
DGP_CUDA_FUNCTION void kernel_rms(const Tensor& kernels, double tiny, const Tensor& rms);
DGP_CUDA_FUNCTION void kernel_rms_backward(const Tensor& dy, const Tensor& kernels, const Tensor& rms,
                                           const Tensor& dw);
DGP_CUDA_FUNCTION void weighted_sum(const Tensor& kernels, const Tensor& alpha, const Tensor& sum);
DGP_CUDA_FUNCTION void weighted_sum_backward_kernels(const Tensor& dy, const Tensor& alpha, const Tensor& dw);
DGP_CUDA_FUNCTION void weighted_sum_backward_alpha(const Tensor& dy, const Tensor& kernels, const Tensor& da);

}  // namespace cuda

}  // namespace dgp
