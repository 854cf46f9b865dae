// The matrix product's inner kernels, compiled once per instruction set into the namespace dgp::DGP_ISA and
// chosen at run time (tensor/isa.h). They run on the calling thread.
#pragma once

#include <cstdint>

#ifndef DGP_ISA
#define DGP_ISA portable
#endif

namespace dgp {

struct GemmKernels {
  // B [k,n], or [n,k] when transposed, packed in panels of columns (micro.h); panels are independent.
  int64_t (*panels)(int64_t n);
  int64_t (*packed_size)(int64_t n, int64_t k);  // floats
  void (*pack)(bool transposed, int64_t n, int64_t k, const float* b, int64_t ldb, int64_t panel,
               float* packed);
  // c [m,n] = alpha * a [m,k] b + beta * c. c is not read when beta is 0.
  void (*multiply)(int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
                   const float* packed, float beta, float* c, int64_t ldc);
  // For benchmarks: rounds of multiply_adds_a_round fused multiply-adds, on registers alone.
  int64_t multiply_adds_a_round;
  float (*multiply_adds)(int64_t rounds);
};

const GemmKernels& active_gemm_kernels();  // of the instruction set in use

namespace DGP_ISA {
extern const GemmKernels gemm_kernels;
}

}  // namespace dgp
