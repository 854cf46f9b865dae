// The device, its stream and its memory. All work goes through one stream, in order; memory comes from CUDA's
// own stream-ordered pool, which keeps what is freed for the next request.
#include <algorithm>
#include <atomic>

#include "tensor/cuda.h"
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_memory.h"

namespace dgp::cuda {

int chosen_device();  // tensor/cuda.cpp

namespace {

#ifndef DGP_CUDA_EMULATED
cudaMemPool_t memory_pool() {
  cudaMemPool_t pool = nullptr;
  check_cuda(cudaDeviceGetDefaultMemPool(&pool, device()), "cudaDeviceGetDefaultMemPool");
  return pool;
}
#endif

cudaStream_t make_stream() {
  cudaStream_t made = nullptr;
  check_cuda(cudaStreamCreate(&made), "cudaStreamCreate");
#ifndef DGP_CUDA_EMULATED
  uint64_t keep = UINT64_MAX;  // at a synchronisation the pool gives back what is above this: nothing
  check_cuda(cudaMemPoolSetAttribute(memory_pool(), cudaMemPoolAttrReleaseThreshold, &keep),
             "cudaMemPoolSetAttribute");
#endif
  return made;
}

cudaStream_t main_stream() {
  static cudaStream_t instance = make_stream();
  return instance;
}

std::atomic<int64_t> in_use{0}, peak{0};

void count(int64_t bytes) {
  int64_t now = in_use += bytes, before = peak;
  while (now > before && !peak.compare_exchange_weak(before, now)) {
  }
}

size_t size(int64_t bytes) { return static_cast<size_t>(bytes); }

void queue_copy(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  if (bytes > 0) check_cuda(cudaMemcpyAsync(to, from, size(bytes), kind, stream()), "copy");
}

}  // namespace

void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  ErrorCode code = error == cudaErrorMemoryAllocation ? ErrorCode::limit : ErrorCode::io;
  fail(code, "CUDA ", what, ": ", cudaGetErrorString(error));
}

void choose_in_thread() {
  thread_local bool chosen = false;
  if (!chosen) check_cuda(cudaSetDevice(device()), "cudaSetDevice");
  chosen = true;
}

cudaStream_t stream() {
  choose_in_thread();
  return main_stream();
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

int device() {
  static const int number = chosen_device() % std::max(1, device_count());
  return number;
}

std::string device_status() {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return "";
  return std::string("no GPU can be used here (") +
         (error == cudaSuccess ? "none found" : cudaGetErrorString(error)) +
         "); install NVIDIA's driver, or use the CPU";
}

std::shared_ptr<std::byte[]> allocate(int64_t bytes) {
  void* block = nullptr;
  cudaError_t error = cudaMallocAsync(&block, size(bytes > 0 ? bytes : 1), stream());
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // taken note of
    fail(ErrorCode::limit, "out of memory on the GPU: ", bytes >> 20, " MiB asked for while ",
         free_memory() >> 20, " MiB are free");
  }
  check_cuda(error, "cudaMallocAsync");
  count(bytes);
  return {static_cast<std::byte*>(block), [bytes](std::byte* b) {
            cudaFreeAsync(b, main_stream());
            count(-bytes);
          }};
}

void to_device(void* device, const void* host, int64_t bytes) {
  queue_copy(device, host, bytes, cudaMemcpyHostToDevice);
}
void to_host(void* host, const void* device, int64_t bytes) {
  queue_copy(host, device, bytes, cudaMemcpyDeviceToHost);
  synchronize();
}
void copy(void* to, const void* from, int64_t bytes) {
  queue_copy(to, from, bytes, cudaMemcpyDeviceToDevice);
}
void zero(void* device, int64_t bytes) {
  if (bytes > 0) check_cuda(cudaMemsetAsync(device, 0, size(bytes), stream()), "memset");
}
void synchronize() { check_cuda(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

int64_t peak_memory() { return peak; }
void reset_peak_memory() { peak = in_use.load(); }

std::string device_name() {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device()), "cudaGetDeviceProperties");
  return properties.name;
}

int64_t free_memory() {
  choose_in_thread();
  size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
#ifndef DGP_CUDA_EMULATED
  uint64_t reserved = 0, used = 0;
  check_cuda(cudaMemPoolGetAttribute(memory_pool(), cudaMemPoolAttrReservedMemCurrent, &reserved),
             "cudaMemPoolGetAttribute");
  check_cuda(cudaMemPoolGetAttribute(memory_pool(), cudaMemPoolAttrUsedMemCurrent, &used),
             "cudaMemPoolGetAttribute");
  free += reserved - used;
#endif
  return static_cast<int64_t>(free);
}

int64_t memory_in_use() { return in_use; }

void release_unused_memory() {
  synchronize();
#ifndef DGP_CUDA_EMULATED
  check_cuda(cudaMemPoolTrimTo(memory_pool(), 0), "cudaMemPoolTrimTo");
  check_cuda(cudaDeviceGraphMemTrim(device()), "cudaDeviceGraphMemTrim");  // graphs have a pool of their own
#endif
}

}  // namespace dgp::cuda
