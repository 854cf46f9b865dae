// Which factors kernels multiply, asked of the device before it is set, and what networks store; on this
// thread.
#include <utility>

#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"
#include "tensor/storage.h"

namespace dgp::cuda {
namespace {

thread_local Factors current = Factors::f32;
thread_local DType stored = DType::f32;

__global__ void any_kernel() {}

// The compute capability that the kernels which run here were compiled for, 75 for 7.5: that of the GPU, or
// an earlier one, of which a newer GPU takes the PTX.
int compiled_for() {
  cudaFuncAttributes attributes{};
  choose_in_thread();
  check_cuda(cudaFuncGetAttributes(&attributes, any_kernel), "cudaFuncGetAttributes");
  return attributes.ptxVersion;
}

}  // namespace

Factors factors() { return current; }

bool has_tensor_cores() {
#ifdef DGP_CUDA_EMULATED
  return compiled_for() >= 80;  // tests change it
#else
  static const bool found = compiled_for() >= 80;
  return found;
#endif
}

Factors use_factors(Factors factors) {
  if (factors != Factors::f32) {
    require();
    if (!has_tensor_cores()) {
      cudaDeviceProp properties{};
      check_cuda(cudaGetDeviceProperties(&properties, device()), "cudaGetDeviceProperties");
      fail(ErrorCode::limit,
           "tf32, bf16 and f16 need a GPU of compute capability 8.0 or later, and a build for it",
           " (CMAKE_CUDA_ARCHITECTURES); ", properties.name, " has ", properties.major, ".", properties.minor,
           ", and this build's kernels are for ", compiled_for() / 10, ".", compiled_for() % 10);
    }
  }
  return std::exchange(current, factors);
}

DType storage() { return stored; }

DType use_storage(DType storage) {
  check(storage == DType::f32 || is_16_bit(storage), "storage: expects f32, bf16 or f16, got ",
        to_string(storage));
  if (storage != DType::f32) require();
  return std::exchange(stored, storage);
}

}  // namespace dgp::cuda
