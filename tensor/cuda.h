// The CUDA device, for code that knows nothing of CUDA's headers. These functions stand in tensor/cuda.cu,
// which is part of the library when it is built with DGP_CUDA; else they are null, and status() says so. A
// tensor on the device can only be made through allocate(), so what works on such tensors need not ask again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

// Marks a function whose definition is in a .cu file: without CUDA in the build the linker leaves it null.
#ifdef DGP_CUDA
#define DGP_CUDA_FUNCTION
#else
#define DGP_CUDA_FUNCTION __attribute__((weak))
#endif

namespace dgp {
enum class DType;
}

namespace dgp::cuda {

bool built();  // with CUDA

// Empty when the device can be used, else why not and what to do. Cheap after the first call.
std::string status();
void require();  // throws Error(limit) with the status unless it is empty

// Several processes of one machine that share its GPUs: this one takes the GPU of that number, counted round.
// To be called before the GPU is first used; processes that do not call it take the first.
void choose_device(int number);
DGP_CUDA_FUNCTION int device_count();

// Device memory from a stream-ordered pool: a block may be freed, and its memory handed out again, while
// kernels that use it are still queued. Throws Error(limit) when the device has no more.
DGP_CUDA_FUNCTION std::shared_ptr<std::byte[]> allocate(int64_t bytes);

// Queued in order behind everything else; `to_host` returns when the bytes are there.
DGP_CUDA_FUNCTION void to_device(void* device, const void* host, int64_t bytes);
DGP_CUDA_FUNCTION void to_host(void* host, const void* device, int64_t bytes);
DGP_CUDA_FUNCTION void copy(void* to, const void* from, int64_t bytes);
DGP_CUDA_FUNCTION void zero(void* device, int64_t bytes);
DGP_CUDA_FUNCTION void synchronize();

DGP_CUDA_FUNCTION void fill(float* x, int64_t n, float value);  // of n elements in device memory
// n elements of one floating-point type as another: f32, bf16 or f16; others throw Error(invalid).
DGP_CUDA_FUNCTION void convert(void* to, DType to_type, const void* from, DType from_type, int64_t n);

DGP_CUDA_FUNCTION int64_t free_memory();  // bytes of the device that nobody uses
DGP_CUDA_FUNCTION int64_t
peak_memory();  // most bytes allocated at a time since the start or reset_peak_memory()
DGP_CUDA_FUNCTION void reset_peak_memory();
DGP_CUDA_FUNCTION std::string device_status();
DGP_CUDA_FUNCTION std::string device_name();  // "NVIDIA H100 80GB HBM3"

}  // namespace dgp::cuda
