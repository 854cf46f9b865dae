// How the GPU multiplies in convolutions and matrix products. Tensor cores take rounded factors and are
// several times faster; sums are f32 in any case. Null without CUDA in the build, as in tensor/cuda.h.
#pragma once

#include "tensor/cuda.h"

namespace dgp::cuda {

// f32: exact factors (the default). tf32: 11 significant bits, in convolutions and cuBLAS's products. bf16: 8
// bits, f16: 11 bits and values up to 65504, both in convolutions alone, of which the gradient in
// the weights is tf32 then. Convolutions of feature maps that are stored in 16 bits do not ask: ops/conv2d.h.
enum class Factors { f32, tf32, bf16, f16 };

DGP_CUDA_FUNCTION Factors factors();        // in use on this thread
DGP_CUDA_FUNCTION bool has_tensor_cores();  // for tf32, bf16 and f16: from Ampere (sm_80) on

// Sets them and returns those before. Throws Error(limit) where the GPU has no such tensor cores (before
// Ampere, sm_80).
DGP_CUDA_FUNCTION Factors use_factors(Factors factors);

// In use while this lives.
class Using {
 public:
  explicit Using(Factors factors) : before_(use_factors(factors)) {}
  ~Using() { use_factors(before_); }
  Using(const Using&) = delete;
  Using& operator=(const Using&) = delete;

 private:
  Factors before_;
};

}  // namespace dgp::cuda
