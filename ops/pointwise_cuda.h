// Pointwise functions on the GPU, of f32 and of 16 bits, computed in f32; ops/pointwise.cu has them for every
// struct of pointwise_functions.h. Beside a of 16 bits b may be f32; the result has the type of a.
#pragma once

#include "ops/pointwise_functions.h"
#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

template <class Function>
DGP_CUDA_FUNCTION Tensor unary(const Tensor& x, Function fn);
// dy_i fn.df(saved_i); `saved` is what df reads, of 16 bits always x.
template <class Function>
DGP_CUDA_FUNCTION Tensor unary_gradient(const Tensor& dy, const Tensor& saved, Function fn);
template <class Function>
DGP_CUDA_FUNCTION Tensor binary(const Shape& shape, const Tensor& a, const Tensor& b, Function fn);
// dy fn.da(a, b), or fn.db for the second operand, shaped like dy: not yet summed over repetitions. Of that
// operand's type, or f32 where there are any.
template <class Function>
DGP_CUDA_FUNCTION Tensor binary_gradient(const Tensor& dy, const Tensor& a, const Tensor& b, Function fn,
                                         bool second);

}  // namespace dgp::cuda
