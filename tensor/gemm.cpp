#include "tensor/gemm.h"

#include <algorithm>
#include <vector>

#include "tensor/allocator.h"
#include "tensor/cuda_gemm.h"
#include "tensor/isa.h"
#include "tensor/kernels/gemm_kernels.h"
#include "tensor/parallel.h"

namespace dgp {

#if defined(__x86_64__)
namespace avx2 {
extern const GemmKernels gemm_kernels;
}
namespace avx512 {
extern const GemmKernels gemm_kernels;
}
#endif

const GemmKernels& active_gemm_kernels() {
#if defined(__x86_64__)
  if (current_isa() == Isa::avx512) return avx512::gemm_kernels;
  if (current_isa() == Isa::avx2) return avx2::gemm_kernels;
#endif
  return portable::gemm_kernels;
}

namespace {

constexpr int64_t kRowGrain = 24;  // rows of C a chunk: a whole number of tiles for every vector width
constexpr int64_t kDepth = 512;    // of one slice of a product

// The plain loops, for double.
template <class T>
void gemm_loops(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
                const T* b, int64_t ldb, T beta, T* c, int64_t ldc) {
  std::vector<T> turned;  // op(B) with its rows contiguous, so that the inner loop runs along a row of C
  if (tb) {
    turned.resize(static_cast<size_t>(n * k));
    for (int64_t j = 0; j < n; ++j)
      for (int64_t p = 0; p < k; ++p) turned[static_cast<size_t>(p * n + j)] = b[j * ldb + p];
    b = turned.data(), ldb = n;
  }
  int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, n * k));
  parallel_for(m, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* row = c + i * ldc;
      for (int64_t j = 0; j < n; ++j) row[j] = beta == T(0) ? T(0) : beta * row[j];
      for (int64_t p = 0; p < k; ++p) {
        T factor = alpha * (ta ? a[p * lda + i] : a[i * lda + p]);
        for (int64_t j = 0; j < n; ++j) row[j] += factor * b[p * ldb + j];
      }
    }
  });
}

// f32: B is packed once, then chunks of rows run side by side. A transposed is turned chunk by chunk.
void gemm_packed(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
                 const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  const GemmKernels& kernels = active_gemm_kernels();
  auto block = allocate(kernels.packed_size(n, k) * static_cast<int64_t>(sizeof(float)));
  auto* packed = reinterpret_cast<float*>(block.get());
  parallel_for(kernels.panels(n), std::max<int64_t>(1, kPointwiseGrain / std::max<int64_t>(1, 16 * k)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t p = begin; p < end; ++p) kernels.pack(tb, n, k, b, ldb, p, packed);
               });
  int64_t chunks = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, n * k * kRowGrain));
  parallel_for(m, kRowGrain * chunks, [&](int64_t begin, int64_t end) {
    if (!ta)
      return kernels.multiply(end - begin, n, k, alpha, a + begin * lda, lda, packed, beta, c + begin * ldc,
                              ldc);
    std::vector<float> rows(static_cast<size_t>((end - begin) * k));
    for (int64_t p = 0; p < k; ++p)
      for (int64_t i = begin; i < end; ++i) rows[static_cast<size_t>((i - begin) * k + p)] = a[p * lda + i];
    kernels.multiply(end - begin, n, k, alpha, rows.data(), k, packed, beta, c + begin * ldc, ldc);
  });
}

}  // namespace

template <>
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  // Deep products in slices: short sums, then their sum, lose less than one long sum in f32.
  for (int64_t p = 0; p == 0 || p < k; p += kDepth)
    gemm_packed(ta, tb, m, n, std::min(kDepth, k - p), alpha, a + (ta ? p * lda : p), lda,
                b + (tb ? p : p * ldb), ldb, p == 0 ? beta : 1, c, ldc);
}

template <>
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double* a, int64_t lda,
          const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  gemm_loops(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
void gemm(Device device, bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, T beta, T* c, int64_t ldc) {
  if (device == Device::cpu) return gemm<T>(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if constexpr (std::is_same_v<T, float>)
    cuda::gemm({ta, tb, m, n, k, a, lda, b, ldb, c, ldc, alpha, beta});
  else
    fail(ErrorCode::invalid, "matrix product: expects f32 on device cuda, got f64");
}
template void gemm(Device, bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*,
                   int64_t, float, float*, int64_t);
template void gemm(Device, bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t,
                   const double*, int64_t, double, double*, int64_t);

}  // namespace dgp
