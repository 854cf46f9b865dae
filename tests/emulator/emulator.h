// A CUDA device for tests, where there is none: .cu files compiled as C++ against this header run in an
// ordinary process. The threads of a block are fibers on one OS thread; a barrier or a warp operation yields
// to a scheduler, which runs the threads forward, in reverse or shuffled. Device memory lies between guard
// pages, is filled with NaN and closed to the host outside launches; streams run what is queued on them, in
// order, when they are waited for. Mistakes of a kernel are thrown as emulator::Fault from the call that
// waits (cudaStreamSynchronize). Test equipment: it says that a kernel is right, never how fast it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace emulator {

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Order { forward, reverse, shuffled };
enum class Placement {
  end,
  begin
};  // the edge of its pages that a buffer lies against: where bounds are exact

// Which work of several streams comes first, where events leave it open: only what is waited for, and what
// that waits for; or whatever the other streams can do.
enum class Streams { lazy, eager };

struct Settings {
  Order order = Order::forward;
  Streams streams = Streams::lazy;
  // Runs every launch forward, reversed and shuffled from the same memory and compares what is left: results
  // that depend on the order of threads or blocks mean a missing barrier, or float atomics.
  bool every_order = false;
  Placement placement = Placement::end;
  // Between launches memory is closed to the host, and what lies around buffers is looked at after each.
  // Without it, only when a buffer is freed: long runs take a fraction of the time. DGP_EMULATOR_QUICK in the
  // environment starts a program so.
  bool thorough = true;
  int64_t memory = int64_t{1} << 32;          // bytes of the device
  int64_t shared_memory = int64_t{48} << 10;  // bytes a block
  int capability = 9;                         // the device's major compute capability
  int compiled = 9;                           // that which kernels were compiled for, if it is lower
  int devices = 1;                            // how many there are; DGP_EMULATOR_DEVICES sets it at the start
  int64_t fail_allocation = -1;               // index of the allocation from now that fails; -1: none
};
Settings& settings();

// Settings for one scope; at its end all is as before.
struct With {
  Settings before = settings();
  explicit With(const Settings& now) { settings() = now; }
  ~With() { settings() = before; }
};

// A fault that the host commits in f() is thrown as Fault. Elsewhere it is printed and ends the process.
void host_code(const std::function<void()>& f);
int64_t live_buffers();
int64_t live_bytes();
void check_leaks();          // throws Fault that lists what is still allocated
int64_t allocation_count();  // since the process began
int64_t product_count();     // of cuBLAS, likewise; a batch is one

struct Site {
  const char* file;
  int line;
};
struct Here {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
extern Here* here;  // of the thread that runs now

void sync_threads(Site site);
struct Payload {
  uint32_t word[8];
};
// Waits for every lane of the mask at this site, then returns what each laid down; [lane].
const Payload* exchange(unsigned mask, const Payload& mine, const char* operation, Site site);
unsigned lane();
void* shared_array(const void* key, const char* name, size_t bytes);
bool is_device(const void* pointer);

void enqueue(struct Stream* stream, std::function<void()> work);
// Throws Fault unless the thread has chosen the GPU that the stream was made on.
void check_device(const struct Stream* stream, const char* what);
void run(dim3 grid, dim3 block, const std::function<void()>& body);

template <class T>
void check_argument(const T& argument) {
  if constexpr (std::is_pointer_v<T>)
    if (argument != nullptr && !is_device(argument))
      throw Fault("a kernel was given a pointer that is not to device memory, or to freed memory");
}

// Arguments are copied at the call, as CUDA does, and looked at when the stream reaches the launch.
template <class... P>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, struct Stream* stream, P... args) {
  check_device(stream, "a launch");
  enqueue(stream, [=] {
    (check_argument(args), ...);
    run(grid, block, [&] { kernel(args...); });
  });
}

template <class T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(Payload));
  Payload mine{};
  std::memcpy(mine.word, &value, sizeof(T));
  const Payload* all = exchange(mask, mine, "shuffle", site);
  if (source < 0 || source > 31) return value;
  if (!(mask >> source & 1)) throw Fault("a shuffle reads from a lane outside its mask");
  std::memcpy(&value, all[source].word, sizeof(T));
  return value;
}
unsigned ballot(unsigned mask, bool vote, Site site);
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Site site);
void load_matrices(uint32_t (&d)[4], const void* row, bool transposed, Site site);
void copy_async(void* shared, const void* global, bool there, Site site);
void commit_copies();
void wait_for_copies(size_t latest);  // for all groups of copies but so many

}  // namespace emulator

#define threadIdx (::emulator::here->thread)
#define blockIdx (::emulator::here->block)
#define blockDim (::emulator::here->block_size)
#define gridDim (::emulator::here->grid_size)

// Every call names its source line, through default arguments.
#define EMULATOR_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
inline void __syncthreads(EMULATOR_SITE) { emulator::sync_threads({file, line}); }
inline void __syncwarp(unsigned mask = ~0U, EMULATOR_SITE) {
  emulator::exchange(mask, {}, "syncwarp", {file, line});
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, source & 31, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, static_cast<int>(emulator::lane() + by), {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, static_cast<int>(emulator::lane()) - static_cast<int>(by),
                           {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, EMULATOR_SITE) {
  return emulator::shuffle(mask, value, static_cast<int>(emulator::lane()) ^ bits, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, bool vote, EMULATOR_SITE) {
  return emulator::ballot(mask, vote, {file, line});
}
inline bool __any_sync(unsigned mask, bool vote, EMULATOR_SITE) {
  return emulator::ballot(mask, vote, {file, line}) != 0;
}
inline bool __all_sync(unsigned mask, bool vote, EMULATOR_SITE) {
  return emulator::ballot(mask, vote, {file, line}) == mask;
}
#undef EMULATOR_SITE

// Fibers change at barriers and warp operations alone: a read-modify-write is whole as it stands.
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  T old = *at;
  *at = old + value;
  return old;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  T old = *at;
  if (value > old) *at = value;
  return old;
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  T old = *at;
  *at = value;
  return old;
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  T old = *at;
  if (old == expected) *at = value;
  return old;
}

// The part of the CUDA runtime that dgp uses.
namespace emulator {
struct Event;
struct Graph;
}  // namespace emulator
using cudaStream_t = emulator::Stream*;
using cudaEvent_t = emulator::Event*;
using cudaGraph_t = emulator::Graph*;
using cudaGraphExec_t = emulator::Graph*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };

enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostRegisterDefault = 0;

struct cudaDeviceProp {
  char name[256];
  int major, minor;  // compute capability
};

cudaError_t cudaGetDeviceCount(int* count);
struct cudaFuncAttributes {
  int ptxVersion;  // the compute capability that a kernel was compiled for, 90 for 9.0
};
template <class... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*)(P...)) {
  const emulator::Settings& s = emulator::settings();
  attributes->ptxVersion = 10 * (s.compiled < s.capability ? s.compiled : s.capability);
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device);  // of this thread, which begins with 0
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaMallocAsync(void** block, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* block, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void* memory);

// What is queued on a stream between begin and end is recorded, to be run by every launch: kernels, copies
// and fills of device memory, and allocations that are freed again. All else is a Fault.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

// The part of cuBLAS.
namespace emulator {
struct BlasHandle;
}
using cublasHandle_t = emulator::BlasHandle*;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasMath_t { CUBLAS_DEFAULT_MATH = 0, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION = 16 };
enum cudaDataType { CUDA_R_32F = 0, CUDA_R_16F = 2, CUDA_R_16BF = 14 };
enum cublasComputeType_t {
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_COMPUTE_32F_PEDANTIC = 69,
  CUBLAS_COMPUTE_32F_FAST_TF32 = 77
};
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };

cublasStatus_t cublasCreate(cublasHandle_t* handle);
cublasStatus_t cublasGetVersion(cublasHandle_t handle, int* version);
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream);
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k, const void* alpha,
                                          const void* a, cudaDataType a_type, int lda, long long a_step,
                                          const void* b, cudaDataType b_type, int ldb, long long b_step,
                                          const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long c_step, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t algorithm);
