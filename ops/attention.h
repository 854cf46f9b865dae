// Multi-head scaled dot-product attention (Vaswani et al., 2017), without projections. Head j uses features
// [j d, (j+1) d) of each token, d = D / heads:
//   P = softmax(q k^T / sqrt(d)),  y = P v
//   dv = P^T dy,  dP = dy v^T,  dS = P (dP - rowsum(P dP)),  dq = dS k / sqrt(d),  dk = dS^T q / sqrt(d)
#pragma once

#include "autograd/var.h"

namespace dgp {

// q [N,L,D], k and v [N,S,D], D a multiple of heads, S >= 1 -> [N,L,D]
Var multi_head_attention(const Var& q, const Var& k, const Var& v, int64_t heads);

namespace reference {
// The same by small ops, one head at a time: what the fast one is tested against.
Var multi_head_attention(const Var& q, const Var& k, const Var& v, int64_t heads);
}  // namespace reference

}  // namespace dgp
