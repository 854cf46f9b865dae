// A DGConv's whole path through kernel space as one operation, for training at full speed: from raw kernels
// and balance network to the one kernel that the convolution takes (models/dgconv.h has the formulas).
//   W_j = L_j raw_j;  r = kernel_rms(W) [n*k*k];  d = r / (mean(r) + 1e-8)
//   h = relu(F1 d + b1);  alpha = 2 sigmoid(F2 h + b2);  W = sum_j alpha_j W_j
// Backward, with g = dW:  dalpha_j = <g, W_j>, from there through the balance network to dr, and
//   draw_j = L_j^T (alpha_j g + dr_j / (O I r_j) W_j)
// No W_j is stored. ops/kernel_space.h and linear, relu, sigmoid composed are the same function, step by
// step.
#pragma once

#include <vector>

#include "autograd/var.h"
#include "ops/kernel_space.h"

namespace dgp {

struct KernelSet {  // of one DGConv
  std::vector<Operator> operators;
  std::vector<Var> raw;                            // one [O,k,k,I] per operator, k odd, up to 15
  Tensor location;                                 // i64 [O,I] in [0, k*k), of idg, else undefined
  Var fc1_weight, fc1_bias, fc2_weight, fc2_bias;  // [hidden, n*k*k], [hidden], [n, hidden], [n]
};

// The fused kernels of several DGConvs with kernels of one shape, one after the other: [sets * O,k,k,I].
// Differentiable in everything but the locations.
Var fused_kernels(const std::vector<KernelSet>& sets);

namespace reference {
// The same composed of small operations.
Var fused_kernels(const std::vector<KernelSet>& sets);
}  // namespace reference

}  // namespace dgp
