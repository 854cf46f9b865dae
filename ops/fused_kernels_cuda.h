// ops/fused_kernels.h on the GPU: six launches a step for all DGConvs with kernels of one shape.
#pragma once

#include <vector>

#include "ops/kernel_space.h"
#include "tensor/cuda.h"

namespace dgp::cuda {

constexpr int kMostOperators = 6;

// One DGConv; addresses are in device memory, and shapes those of ops/fused_kernels.h.
struct FusedSet {
  int operators, hidden;
  Operator op[kMostOperators];
  const float* raw[kMostOperators];
  const int64_t* location;  // of idg, else null
  const float *fc1_weight, *fc1_bias, *fc2_weight, *fc2_bias;
  // Gradients, for fused_kernels_backward; null: not wanted.
  float* draw[kMostOperators];
  float *dfc1_weight, *dfc1_bias, *dfc2_weight, *dfc2_bias;
};

// w [sets * outputs, k, k, inputs]. Returns what the gradient needs: f64 [sets, ...].
DGP_CUDA_FUNCTION Tensor fused_kernels(const std::vector<FusedSet>& sets, const Tensor& w);
DGP_CUDA_FUNCTION void fused_kernels_backward(const std::vector<FusedSet>& sets, const Tensor& kept,
                                              const Tensor& dy);

}  // namespace dgp::cuda
