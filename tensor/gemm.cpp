#include "tensor/gemm.h"

#include <algorithm>
#include <vector>

#include "tensor/parallel.h"

namespace dgp {

template <class T>
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc) {
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

template void gemm(bool, bool, int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t,
                   float, float*, int64_t);
template void gemm(bool, bool, int64_t, int64_t, int64_t, double, const double*, int64_t, const double*,
                   int64_t, double, double*, int64_t);

}  // namespace dgp
