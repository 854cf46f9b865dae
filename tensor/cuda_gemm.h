// The matrix product of tensor/gemm.h on the GPU, one or a batch: C_i = alpha op(A_i) op(B_i) + beta C_i.
// cuBLAS computes it where its library is found at run time (libcublas.so.13 or .12), else, of f32, a kernel
// of our own. Sums are f32. Two runs give equal bits; products of other sizes need not round alike.
#pragma once

#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

struct Product {
  bool ta, tb;  // A is stored [k,m]; B is stored [n,k]
  int64_t m, n, k;
  const void* a;
  int64_t lda;
  const void* b;
  int64_t ldb;
  void* c;
  int64_t ldc;
  float alpha = 1, beta = 0;
  int64_t batch = 1, a_step = 0, b_step = 0, c_step = 0;  // from one matrix to the next; 0: shared
  DType factors = DType::f32,
        result = DType::f32;  // what A and B, and C are stored in; 16 bits: cuBLAS alone
};

DGP_CUDA_FUNCTION void gemm(const Product& product);
DGP_CUDA_FUNCTION void gemm_by_kernel(const Product& product);  // whatever libraries are there
DGP_CUDA_FUNCTION bool gemm_by_blas(const Product& product);    // false: no cuBLAS, or too large for it
DGP_CUDA_FUNCTION std::string blas_name();                      // "cuBLAS 13.1", or empty

}  // namespace dgp::cuda
