// Pointwise functions on the GPU, f32; ops/pointwise.cu has them for every struct of pointwise_functions.h.
#pragma once

#include "ops/pointwise_functions.h"
#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

template <class Function>
DGP_CUDA_FUNCTION Tensor unary(const Tensor& x, Function fn);
template <class Function>
DGP_CUDA_FUNCTION Tensor binary(const Shape& shape, const Tensor& a, const Tensor& b, Function fn);

}  // namespace dgp::cuda
