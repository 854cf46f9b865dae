// Feature maps of 16 bits: how they are stored, never how they are computed with. A kernel reads bf16, f16 or
// f32 as float, computes in f32 and rounds once, as it writes; sums over such values are f32.
#pragma once

#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp {

constexpr bool is_16_bit(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

// The type of sums over elements of this one.
constexpr DType sum_type(DType dtype) { return is_16_bit(dtype) ? DType::f32 : dtype; }

namespace cuda {

// Calls f(T{}) for the type T of feature maps on the GPU: f32, bf16 or f16. Others: Error(invalid).
template <class F>
decltype(auto) dispatch_storage(DType dtype, const char* op, F&& f) {
  if (dtype == DType::bf16) return f(bf16{});
  if (dtype == DType::f16) return f(f16{});
  check(dtype == DType::f32, op, ": the GPU has f32, bf16 and f16, not ", to_string(dtype));
  return f(float{});
}

// sum = a + b, of one shape and type; sum may be a or b.
DGP_CUDA_FUNCTION void add(const Tensor& a, const Tensor& b, const Tensor& sum);

}  // namespace cuda
}  // namespace dgp
