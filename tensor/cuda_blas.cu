// cuBLAS, found when the program runs: a binary built with CUDA starts where the library is not, and the
// kernel of gemm.cu takes its place. Only five of its functions are used. It is told not to round f32 unless
// tf32 is in use (tensor/cuda_math.h), nor sums of 16-bit factors, and runs on the one stream, so that two
// runs give equal bits.
#include "tensor/cuda_gemm.h"
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"

#ifndef DGP_CUDA_EMULATED
#include <cublas_v2.h>
#include <dlfcn.h>
#endif

namespace dgp::cuda {
namespace {

// cublasGemmStridedBatchedEx: one of several of that name in cuBLAS's header.
using Gemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                                const void*, const void*, cudaDataType, int, long long, const void*,
                                cudaDataType, int, long long, const void*, void*, cudaDataType, int,
                                long long, int, cublasComputeType_t, cublasGemmAlgo_t);

struct Blas {
  cublasHandle_t handle = nullptr;
  Gemm gemm = nullptr;
  int version = 0;
};

Blas open_blas() {
  Blas blas;
#ifdef DGP_CUDA_EMULATED
  auto* create = &cublasCreate;
  auto* version = &cublasGetVersion;
  auto* set_stream = &cublasSetStream;
  auto* set_math = &cublasSetMathMode;
  blas.gemm = &cublasGemmStridedBatchedEx;
#else
  void* library = dlopen("libcublas.so.13", RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen("libcublas.so.12", RTLD_NOW | RTLD_LOCAL);
  if (!library) return {};
  auto create = reinterpret_cast<decltype(&cublasCreate_v2)>(dlsym(library, "cublasCreate_v2"));
  auto version = reinterpret_cast<decltype(&cublasGetVersion_v2)>(dlsym(library, "cublasGetVersion_v2"));
  auto set_stream = reinterpret_cast<decltype(&cublasSetStream_v2)>(dlsym(library, "cublasSetStream_v2"));
  auto set_math = reinterpret_cast<decltype(&cublasSetMathMode)>(dlsym(library, "cublasSetMathMode"));
  blas.gemm = reinterpret_cast<Gemm>(dlsym(library, "cublasGemmStridedBatchedEx"));
  if (!create || !version || !set_stream || !set_math || !blas.gemm) return {};
#endif
  if (create(&blas.handle) != CUBLAS_STATUS_SUCCESS ||
      set_stream(blas.handle, stream()) != CUBLAS_STATUS_SUCCESS ||
      set_math(blas.handle, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION) != CUBLAS_STATUS_SUCCESS)
    return {};
  version(blas.handle, &blas.version);
  return blas;
}

const Blas& blas() {
  static const Blas instance = open_blas();
  return instance;
}

cudaDataType type_of(DType type) {
  return type == DType::bf16 ? CUDA_R_16BF : type == DType::f16 ? CUDA_R_16F : CUDA_R_32F;
}

}  // namespace

std::string blas_name() {
  if (!blas().handle) return "";
  return "cuBLAS " + std::to_string(blas().version / 10000) + "." +
         std::to_string(blas().version / 100 % 100);
}

bool gemm_by_blas(const Product& p) {
  constexpr int64_t kMost = 0x7fffffff;
  choose_in_thread();
  if (!blas().handle || p.m > kMost || p.n > kMost || p.k > kMost || p.lda > kMost || p.ldb > kMost ||
      p.ldc > kMost || p.batch > kMost)
    return false;
  auto size = [](int64_t n) { return static_cast<int>(n); };
  const cublasComputeType_t compute = p.factors != DType::f32      ? CUBLAS_COMPUTE_32F
                                      : factors() == Factors::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                   : CUBLAS_COMPUTE_32F_PEDANTIC;
  // cuBLAS counts along columns: it sees each matrix transposed, so C^T = op(B)^T op(A)^T.
  const cublasStatus_t status =
      blas().gemm(blas().handle, p.tb ? CUBLAS_OP_T : CUBLAS_OP_N, p.ta ? CUBLAS_OP_T : CUBLAS_OP_N,
                  size(p.n), size(p.m), size(p.k), &p.alpha, p.b, type_of(p.factors), size(p.ldb), p.b_step,
                  p.a, type_of(p.factors), size(p.lda), p.a_step, &p.beta, p.c, type_of(p.result),
                  size(p.ldc), p.c_step, size(p.batch), compute, CUBLAS_GEMM_DEFAULT);
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorCode::io, "cuBLAS: a product of ", p.m, " by ", p.n, " by ", p.k, " ended with status ",
         static_cast<int>(status));
  return true;
}

}  // namespace dgp::cuda
