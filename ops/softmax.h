// Softmax over the last axis: y_i = exp(x_i - max x) / sum_j exp(x_j - max x);  dx_i = y_i (dy_i - sum_j dy_j
// y_j). Sums are taken in double.
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

Var softmax(const Var& x);  // [...,C], C >= 1

namespace cpu {

// In place on rows of n: x -> y, and, given y, dy -> dx. On the calling thread; for T float and double.
template <class T>
void softmax_rows(T* x, int64_t rows, int64_t n);
template <class T>
void softmax_backward_rows(const T* y, T* dy, int64_t rows, int64_t n);

}  // namespace cpu

namespace cuda {
// The same in device memory.
DGP_CUDA_FUNCTION void softmax_rows(float* x, int64_t rows, int64_t n);
DGP_CUDA_FUNCTION void softmax_backward_rows(const float* y, float* dy, int64_t rows, int64_t n);
}  // namespace cuda

}  // namespace dgp
