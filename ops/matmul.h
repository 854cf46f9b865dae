// Matrix products, one or a batch: y = op(a) op(b), op(m) = m or its transpose.
//   da = dy op(b)^T,  db = op(a)^T dy   (themselves transposed where the flag is set; summed over the batch
//   for an operand that the whole batch shares)
#pragma once

#include "autograd/var.h"

namespace dgp {

struct MatmulOptions {
  bool transpose_a = false;  // a holds [B,K,M] or [K,M]
  bool transpose_b = false;  // b holds [B,N,K] or [N,K]
};

// a [B,M,K] or [M,K], b [B,K,N] or [K,N] -> [B,M,N], or [M,N] when neither has a batch. An operand without a
// batch serves every product.
Var matmul(const Var& a, const Var& b, const MatmulOptions& options = {});

}  // namespace dgp
