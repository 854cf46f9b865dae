// How the GPU multiplies in convolutions and matrix products, and how networks store their feature maps
// there. Tensor cores take rounded factors and are several times faster; maps of 16 bits take half the
// memory, and half the time to move. Sums are f32 in any case. Null without CUDA in the build, as in
// tensor/cuda.h.
#pragma once

#include <string_view>

#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

// f32: exact factors (the default). tf32: 11 significant bits, in convolutions and cuBLAS's products. bf16: 8
// bits, f16: 11 bits and values up to 65504, both in convolutions alone, of which the gradient in
// the weights is tf32 then. Convolutions of feature maps that are stored in 16 bits do not ask: ops/conv2d.h.
enum class Factors { f32, tf32, bf16, f16 };

DGP_CUDA_FUNCTION Factors factors();  // in use on this thread
DGP_CUDA_FUNCTION bool
has_tensor_cores();  // for tf32, bf16 and f16: GPU and kernels of Ampere (sm_80) or later

// Sets them and returns those before. Throws Error(limit) where the GPU has no such tensor cores (before
// Ampere, sm_80), or the build no code for them.
DGP_CUDA_FUNCTION Factors use_factors(Factors factors);

// What networks store feature maps in on this thread: f32 (the default), bf16 or f16. DGPNet and EDSR ask,
// for those from the head's result to the last convolution's input; parameters and the f32 image stay as they
// are.
DGP_CUDA_FUNCTION DType storage();
// Sets it and returns the one before. Any GPU has all three, Error(limit) where there is none;
// Error(invalid) for another type.
DGP_CUDA_FUNCTION DType use_storage(DType storage);

// In use while this lives.
class Using {
 public:
  explicit Using(Factors factors, DType storage = DType::f32)
      : factors_(use_factors(factors)), storage_(use_storage(storage)) {}
  // By the names of configurations and of the program: "tf32", "fast" (factors in bf16), "bf16" and "f16"
  // (storage); "full" is f32.
  explicit Using(std::string_view name)
      : Using(name == "tf32"   ? Factors::tf32
              : name == "fast" ? Factors::bf16
                               : Factors::f32,
              name == "bf16"  ? DType::bf16
              : name == "f16" ? DType::f16
                              : DType::f32) {}
  ~Using() {
    use_factors(factors_);
    use_storage(storage_);
  }
  Using(const Using&) = delete;
  Using& operator=(const Using&) = delete;

 private:
  Factors factors_;
  DType storage_;
};

}  // namespace dgp::cuda
