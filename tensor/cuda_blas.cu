// cuBLAS, found when the program runs: a binary built with CUDA starts where the library is not, and the
// kernel of gemm.cu takes its place. Only five of its functions are used. It is told not to round f32 unless
// tf32 is in use (tensor/cuda_math.h), and runs on the one stream, so that two runs give equal bits.
#include "tensor/cuda_gemm.h"
#include "tensor/cuda_kernel.h"
#include "tensor/cuda_math.h"

#ifndef DGP_CUDA_EMULATED
#include <cublas_v2.h>
#include <dlfcn.h>
#endif

namespace dgp::cuda {
namespace {

struct Blas {
  cublasHandle_t handle = nullptr;
  decltype(&cublasSgemmStridedBatched) gemm = nullptr;
  decltype(&cublasSetMathMode) set_math = nullptr;
  int version = 0;
};

Blas open_blas() {
  Blas blas;
#ifdef DGP_CUDA_EMULATED
  auto* create = &cublasCreate;
  auto* version = &cublasGetVersion;
  auto* set_stream = &cublasSetStream;
  blas.set_math = &cublasSetMathMode;
  blas.gemm = &cublasSgemmStridedBatched;
#else
  void* library = dlopen("libcublas.so.13", RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen("libcublas.so.12", RTLD_NOW | RTLD_LOCAL);
  if (!library) return {};
  auto create = reinterpret_cast<decltype(&cublasCreate_v2)>(dlsym(library, "cublasCreate_v2"));
  auto version = reinterpret_cast<decltype(&cublasGetVersion_v2)>(dlsym(library, "cublasGetVersion_v2"));
  auto set_stream = reinterpret_cast<decltype(&cublasSetStream_v2)>(dlsym(library, "cublasSetStream_v2"));
  blas.set_math = reinterpret_cast<decltype(blas.set_math)>(dlsym(library, "cublasSetMathMode"));
  blas.gemm = reinterpret_cast<decltype(blas.gemm)>(dlsym(library, "cublasSgemmStridedBatched"));
  if (!create || !version || !set_stream || !blas.set_math || !blas.gemm) return {};
#endif
  if (create(&blas.handle) != CUBLAS_STATUS_SUCCESS ||
      set_stream(blas.handle, stream()) != CUBLAS_STATUS_SUCCESS)
    return {};
  version(blas.handle, &blas.version);
  return blas;
}

const Blas& blas() {
  static const Blas instance = open_blas();
  return instance;
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
  // cuBLAS counts along columns: it sees each matrix transposed, so C^T = op(B)^T op(A)^T.
  const bool tf32 = factors() == Factors::tf32;
  cublasStatus_t status =
      blas().set_math(blas().handle, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_PEDANTIC_MATH);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = blas().gemm(blas().handle, p.tb ? CUBLAS_OP_T : CUBLAS_OP_N, p.ta ? CUBLAS_OP_T : CUBLAS_OP_N,
                         size(p.n), size(p.m), size(p.k), &p.alpha, p.b, size(p.ldb), p.b_step, p.a,
                         size(p.lda), p.a_step, &p.beta, p.c, size(p.ldc), p.c_step, size(p.batch));
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorCode::io, "cuBLAS: a product of ", p.m, " by ", p.n, " by ", p.k, " ended with status ",
         static_cast<int>(status));
  return true;
}

}  // namespace dgp::cuda
