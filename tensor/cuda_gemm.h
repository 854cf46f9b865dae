// The matrix product of tensor/gemm.h on the GPU: C = op(A) op(B) + bias, all dense, f32; bias [n] is added
// to every row, or null. Pointers are to device memory.
#pragma once

#include "tensor/cuda.h"

namespace dgp::cuda {

DGP_CUDA_FUNCTION void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                            const float* bias, float* c);

}  // namespace dgp::cuda
