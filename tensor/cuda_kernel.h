// What .cu files stand on: the only header between dgp and the CUDA runtime. With DGP_CUDA_EMULATED it stands
// on the emulator of the tests instead (tests/emulator), so that the same file runs where there is no GPU.
//
//   DGP_SHARED(float, tile, [16][17]);         shared memory of a block
//   launch(kernel, grid, block, arguments...)  the only way to start a kernel, on stream()
//   mma_tf32, mma_bf16, mma_f16                matrix products of a warp
//   load_matrices                              their fragments from shared memory
//   copy_async, commit_copies, wait_for_copies global to shared memory, while the thread does something else
//
// Rules of kernels: arguments are plain data; blocks are a multiple of 32 threads; every thread of a block
// meets every barrier and every lane of a warp every warp operation; offsets have 64 bits; sums are made in
// two passes, in fixed order, never with float atomics.
#pragma once

#ifdef DGP_CUDA_EMULATED
#include <emulator.h>
#else
#include <cuda_runtime.h>
#endif

#include <cstdint>
#include <type_traits>

#include "tensor/error.h"
#include "tensor/half.h"

#ifdef DGP_CUDA_EMULATED
#define DGP_SHARED(type, name, extents) \
  using name##_array = type extents;    \
  static const char name##_key = 0;     \
  name##_array& name =                  \
      *static_cast<name##_array*>(::emulator::shared_array(&name##_key, #name, sizeof(name##_array)))
#else
#define DGP_SHARED(type, name, extents) __shared__ type name extents
#endif

namespace dgp::cuda {

cudaStream_t stream();    // the one that all of dgp's work is queued on
int device();             // the number of the GPU in use
void choose_in_thread();  // that GPU, which to CUDA is each thread's own matter; stream() does it too

// Throws Error: limit when the device's memory is used up, else io.
void check_cuda(cudaError_t error, const char* what);

// Arguments are converted to what the kernel takes.
template <class... P>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::type_identity_t<P>... arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "kernel arguments are plain data");
  check(block.x * block.y * block.z % 32 == 0, "launch: blocks are a multiple of 32 threads");
#ifdef DGP_CUDA_EMULATED
  emulator::launch(kernel, grid, block, stream(), arguments...);
#else
  kernel<<<grid, block, 0, stream()>>>(arguments...);
  check_cuda(cudaGetLastError(), "launch");
#endif
}

// d += a b by a whole warp, d[16,8] f32. With g = lane / 4 and t = lane % 4, a lane holds d = D[g,2t],
// D[g,2t+1], D[g+8,2t], D[g+8,2t+1]. Needs sm_80.
//   mma_tf32           a[16,8] b[8,8], f32 bits of which the unit reads tf32's upper 19:
//                      a = A[g,t], A[g+8,t], A[g,t+4], A[g+8,t+4]; b = B[t,g], B[t+4,g]
//   mma_bf16, mma_f16  a[16,16] b[16,8], two values a register, the lower half first:
//                      a = A[g,2t..], A[g+8,2t..], A[g,2t+8..], A[g+8,2t+8..]; b = B[2t..,g], B[2t+8..,g]
#ifdef DGP_CUDA_EMULATED
#define DGP_MMA(name, kind)                                                            \
  inline void name(float(&d)[4], const uint32_t(&a)[4], const uint32_t(&b)[2],         \
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) { \
    emulator::name(d, a, b, {file, line});                                             \
  }
#else
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define DGP_MMA(name, kind)                                                                        \
  __device__ inline void name(float(&d)[4], const uint32_t(&a)[4], const uint32_t(&b)[2]) {        \
    asm volatile("mma.sync.aligned." kind " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));              \
  }
#else
#define DGP_MMA(name, kind) \
  __device__ inline void name(float(&)[4], const uint32_t(&)[4], const uint32_t(&)[2]) { __trap(); }
#endif
#endif
DGP_MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
DGP_MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
DGP_MMA(mma_f16, "m16n8k16.row.col.f32.f16.f16.f32")
#undef DGP_MMA

// Four 8 x 8 matrices of 16 bits from shared memory by a whole warp: lane l names row l % 8, 16 bytes, of
// matrix l / 8, and gets d[i] = M_i[g,2t..], or M_i[2t..,g] where they are transposed. Values of 32 bits
// count as two columns.
template <bool kTransposed = false>
#ifdef DGP_CUDA_EMULATED
inline void load_matrices(uint32_t (&d)[4], const void* row, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  emulator::load_matrices(d, row, kTransposed, {file, line});
}
#else
__device__ inline void load_matrices(uint32_t (&d)[4], const void* row) {
  auto at = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(at)
                 : "memory");
}
#endif

// Asynchronous copies of 16 bytes, aligned to 16, from global to shared memory, or of zeros where they are
// not `there`. commit_copies() makes a group of those that the thread has begun; wait_for_copies<n>() returns
// when all of its groups but the n latest have arrived. Other threads see them after a barrier. Before
// sm_80 a copy is done when the call returns.
#ifdef DGP_CUDA_EMULATED
inline void copy_async(void* shared, const void* global, bool there, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  emulator::copy_async(shared, global, there, {file, line});
}
inline void commit_copies() { emulator::commit_copies(); }
template <int n>
void wait_for_copies() {
  emulator::wait_for_copies(n);
}
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
__device__ inline void copy_async(void* shared, const void* global, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(shared))),
               "l"(global), "r"(there ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
}
#else
__device__ inline void copy_async(void* shared, const void* global, bool there) {
  *static_cast<uint4*>(shared) = there ? *static_cast<const uint4*>(global) : uint4{0, 0, 0, 0};
}
__device__ inline void commit_copies() {}
template <int n>
__device__ inline void wait_for_copies() {}
#endif

// To nearest: f32 as tf32's bits, ties away from zero; two of them as 16-bit values in one register, ties to
// even.
__device__ inline uint32_t to_tf32(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  uint32_t bits = half_detail::bits_of(value);
  return (bits & 0x7F800000U) == 0x7F800000U ? bits : (bits + 0x1000U) & 0xFFFFE000U;
#endif
}
template <class T>  // bf16 or f16
__device__ inline uint32_t pack(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t bits;
  if constexpr (std::is_same_v<T, bf16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
#else
  return T(low).bits | uint32_t{T(high).bits} << 16;
#endif
}

// Kernels that give each element a thread: `blocks_for(n)` blocks of kBlock, i = element(), idle where i >=
// n.
constexpr unsigned kBlock = 256;
inline dim3 blocks_for(int64_t n) {
  check(n <= int64_t{0x7fffffff} * kBlock, "launch: ", n, " elements are too many for one kernel");
  return {static_cast<unsigned>((n + kBlock - 1) / kBlock)};
}
__device__ inline int64_t element() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }

}  // namespace dgp::cuda
