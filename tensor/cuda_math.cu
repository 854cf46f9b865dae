// Which factors kernels multiply, on this thread; asked of the device before it is set.
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"

namespace dgp::cuda {
namespace {

thread_local Factors current = Factors::f32;

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
  Factors before = current;
  current = factors;
  return before;
}

}  // namespace dgp::cuda
