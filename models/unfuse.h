// Back from the deploy form to the training form, so that weights that were published fused can be trained
// further. Many raw kernels fuse into one and the same kernel; taken are those of the least norm.
#pragma once

#include "models/dgpnet.h"

namespace dgp {

// Gives a convolution in training form raw kernels with sum_o W_o(w_o) = weight, those of the least Euclidean
// norm, and balance factors of one. weight [O,k,k,I], f32 or f64. Throws Error(invalid) for a kernel that the
// operators cannot make: a gradient alone, for instance, cannot make one whose taps do not sum to zero.
void set_fused_weight(DGConv& conv, const Tensor& weight);

// Gives `net`, in training form, the function of `fused`, a network of the same configuration in deploy form,
// up to f32's rounding.
void set_fused(DGPNet& net, DGPNet& fused);

}  // namespace dgp
