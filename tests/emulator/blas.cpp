// cuBLAS's part of the emulator: the product that dgp asks for, queued on the stream, columns first as cuBLAS
// counts. Sums are f32 in parts of 32 terms. Every matrix must lie within one buffer; C is not read when beta
// is 0.
#include <algorithm>
#include <emulator.h>

#include "memory.h"

namespace emulator {

struct BlasHandle {
  Stream* stream = nullptr;
  bool tf32 = false;
};

namespace {

// As tensor cores read f32: 11 significant bits, rounded to nearest.
float to_tf32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0x1000U) & 0xFFFFE000U;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

struct Gemm {
  bool ta, tb, tf32;
  int64_t m, n, k;
  float alpha, beta;
  const float *a, *b;
  float* c;
  int64_t lda, ldb, ldc;

  float factor(float value) const { return tf32 ? to_tf32(value) : value; }
  void run() const {
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) {
        float sum = 0;
        for (int64_t k0 = 0; k0 < k; k0 += 32) {
          float part = 0;
          for (int64_t p = k0; p < std::min(k, k0 + 32); ++p)
            part +=
                factor(ta ? a[i * lda + p] : a[p * lda + i]) * factor(tb ? b[p * ldb + j] : b[j * ldb + p]);
          sum += part;
        }
        float& out = c[j * ldc + i];
        out = alpha * sum + (beta == 0 ? 0.0F : beta * out);
      }
  }
};

// Columns of `rows` elements, `step` apart.
void check_matrix(const char* name, const float* at, int64_t rows, int64_t columns, int64_t step) {
  if (step < rows)
    throw Fault(std::string("gemm: the leading dimension of ") + name + " is less than its rows");
  if (rows == 0 || columns == 0) return;
  check_range(at, static_cast<size_t>((columns - 1) * step + rows) * sizeof(float),
              (std::string("gemm: ") + name).c_str());
}

}  // namespace
}  // namespace emulator

using namespace emulator;

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  static BlasHandle instance;
  *handle = &instance;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion(cublasHandle_t, int* version) {
  *version = 130000;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (mode == CUBLAS_DEFAULT_MATH) return CUBLAS_STATUS_NOT_SUPPORTED;
  handle->tf32 = mode == CUBLAS_TF32_TENSOR_OP_MATH;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a,
                                         cublasOperation_t op_b, int m, int n, int k, const float* alpha,
                                         const float* a, int lda, long long a_step, const float* b, int ldb,
                                         long long b_step, const float* beta, float* c, int ldc,
                                         long long c_step, int batch) {
  refuse_in_capture(handle->stream, "a call of cuBLAS");
  check_device(handle->stream, "a call of cuBLAS");
  Gemm whole{
      op_a == CUBLAS_OP_T, op_b == CUBLAS_OP_T, handle->tf32, m, n, k, *alpha, *beta, a, b, c, lda, ldb, ldc};
  enqueue(handle->stream, [=] {
    Opened opened;
    for (int i = 0; i < batch; ++i) {
      Gemm one = whole;
      one.a += i * a_step, one.b += i * b_step, one.c += i * c_step;
      check_matrix("A", one.a, one.ta ? k : m, one.ta ? m : k, lda);
      check_matrix("B", one.b, one.tb ? n : k, one.tb ? k : n, ldb);
      check_matrix("C", one.c, m, n, ldc);
      one.run();
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
