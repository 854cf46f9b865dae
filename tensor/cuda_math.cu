// Which factors kernels multiply, on this thread; asked of the device before it is set.
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"

namespace dgp::cuda {
namespace {

thread_local Factors current = Factors::f32;

}  // namespace

Factors factors() { return current; }

Factors use_factors(Factors factors) {
  if (factors != Factors::f32) {
    require();
    cudaDeviceProp properties{};
    check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
    if (properties.major < 8)
      fail(ErrorCode::limit, "tf32 and bf16 need a GPU of compute capability 8.0 or later; ", properties.name,
           " has ", properties.major, ".", properties.minor);
  }
  Factors before = current;
  current = factors;
  return before;
}

}  // namespace dgp::cuda
