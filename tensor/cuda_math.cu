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

}  // namespace

Factors factors() { return current; }

bool has_tensor_cores() {
  int major = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device()),
             "cudaDeviceGetAttribute");
  return major >= 8;
}

Factors use_factors(Factors factors) {
  if (factors != Factors::f32) {
    require();
    if (!has_tensor_cores()) {
      cudaDeviceProp properties{};
      check_cuda(cudaGetDeviceProperties(&properties, device()), "cudaGetDeviceProperties");
      fail(ErrorCode::limit, "tf32, bf16 and f16 need a GPU of compute capability 8.0 or later; ",
           properties.name, " has ", properties.major, ".", properties.minor);
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
