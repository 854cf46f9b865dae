// Matrix product C = alpha * op(A) op(B) + beta * C, row-major; op(A) is [m,k], op(B) [k,n], C [m,n].
// ta: A is stored [k,m]; tb: B is stored [n,k]. ld* are row strides in elements. With beta = 0, C need not be
// initialised. The bits of a result do not depend on the number of threads.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace dgp {

template <class T>  // float, double
void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc);

// The same of matrices in the memory of `device`; on the GPU f32 alone (throws), queued.
template <class T>
void gemm(Device device, bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, T beta, T* c, int64_t ldc);

}  // namespace dgp
