// cuBLAS's part of the emulator: the product that dgp asks for, queued on the stream, columns first as cuBLAS
// counts, of f32, bf16 or f16. Sums are f32 in parts of 32 terms. Every matrix must lie within one buffer; C
// is not read when beta is 0.
#include <algorithm>
#include <emulator.h>

#include "memory.h"
#include "tensor/half.h"

namespace emulator {

struct BlasHandle {
  Stream* stream = nullptr;
  bool exact_sums = false;  // of 16-bit factors
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

size_t size_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

struct Matrix {
  char* data;
  cudaDataType type;
  int64_t step;  // from column to column

  float load(int64_t row, int64_t column) const {
    const char* at = data + static_cast<size_t>(column * step + row) * size_of(type);
    if (type == CUDA_R_16F) return *reinterpret_cast<const dgp::f16*>(at);
    if (type == CUDA_R_16BF) return *reinterpret_cast<const dgp::bf16*>(at);
    return *reinterpret_cast<const float*>(at);
  }
  void store(int64_t row, int64_t column, float value) const {
    char* at = data + static_cast<size_t>(column * step + row) * size_of(type);
    if (type == CUDA_R_16F)
      *reinterpret_cast<dgp::f16*>(at) = dgp::f16(value);
    else if (type == CUDA_R_16BF)
      *reinterpret_cast<dgp::bf16*>(at) = dgp::bf16(value);
    else
      *reinterpret_cast<float*>(at) = value;
  }
  Matrix after(int64_t elements) const {
    return {data + elements * static_cast<int64_t>(size_of(type)), type, step};
  }
  void check(const char* name, int64_t rows, int64_t columns) const {
    if (step < rows)
      throw Fault(std::string("gemm: the leading dimension of ") + name + " is less than its rows");
    if (rows == 0 || columns == 0) return;
    check_range(data, static_cast<size_t>((columns - 1) * step + rows) * size_of(type),
                (std::string("gemm: ") + name).c_str());
  }
};

struct Gemm {
  bool ta, tb, tf32;
  int64_t m, n, k;
  float alpha, beta;

  float factor(float value) const { return tf32 ? to_tf32(value) : value; }
  void run(const Matrix& a, const Matrix& b, const Matrix& c) const {
    a.check("A", ta ? k : m, ta ? m : k);
    b.check("B", tb ? n : k, tb ? k : n);
    c.check("C", m, n);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) {
        float sum = 0;
        for (int64_t k0 = 0; k0 < k; k0 += 32) {
          float part = 0;
          for (int64_t p = k0; p < std::min(k, k0 + 32); ++p)
            part += factor(ta ? a.load(p, i) : a.load(i, p)) * factor(tb ? b.load(j, p) : b.load(p, j));
          sum += part;
        }
        c.store(i, j, alpha * sum + (beta == 0 ? 0.0F : beta * c.load(i, j)));
      }
  }
};

int64_t products = 0;

}  // namespace

int64_t product_count() { return products; }

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
  handle->exact_sums = mode == CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  return CUBLAS_STATUS_SUCCESS;
}

// f32 of f32, exact or in tf32; 16 bits and f32 of 16 bits, whose sums must not be rounded to 16 bits.
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k, const void* alpha,
                                          const void* a, cudaDataType a_type, int lda, long long a_step,
                                          const void* b, cudaDataType b_type, int ldb, long long b_step,
                                          const void* beta, void* c, cudaDataType c_type, int ldc,
                                          long long c_step, int batch, cublasComputeType_t compute,
                                          cublasGemmAlgo_t) {
  refuse_in_capture(handle->stream, "a call of cuBLAS");
  check_device(handle->stream, "a call of cuBLAS");
  const bool f32 = a_type == CUDA_R_32F;
  if (a_type != b_type || (c_type != CUDA_R_32F && c_type != a_type) ||
      f32 != (compute != CUBLAS_COMPUTE_32F) || (!f32 && !handle->exact_sums))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  ++products;
  const Gemm gemm{op_a == CUBLAS_OP_T,
                  op_b == CUBLAS_OP_T,
                  compute == CUBLAS_COMPUTE_32F_FAST_TF32,
                  m,
                  n,
                  k,
                  *static_cast<const float*>(alpha),
                  *static_cast<const float*>(beta)};
  auto matrix = [](const void* data, cudaDataType type, int step) {
    return Matrix{static_cast<char*>(const_cast<void*>(data)), type, step};
  };
  const Matrix of_a = matrix(a, a_type, lda), of_b = matrix(b, b_type, ldb), of_c = matrix(c, c_type, ldc);
  enqueue(handle->stream, [=] {
    Opened opened;
    for (int64_t i = 0; i < batch; ++i)
      gemm.run(of_a.after(i * a_step), of_b.after(i * b_step), of_c.after(i * c_step));
  });
  return CUBLAS_STATUS_SUCCESS;
}
