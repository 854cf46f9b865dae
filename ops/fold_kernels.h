// A projection folded into the kernels before it, per image, where the kernels stand in groups that read
// channels of their own (block folding, models/aiiblock.h):
//   w[n,o,ky,kx,(h,c)] = sum_m u[n,o,h,m] v[h,m,ky,kx,c]
//   du[n,o,h,m] = sum_{ky,kx,c} dw v;  dv[h,m,ky,kx,c] = sum_{n,o} u dw
// One product of matrices for each group and tap, whose rows are written where they belong.
#pragma once

#include "autograd/var.h"

namespace dgp {

// u [N,O,H,M], v [H,M,k,k,C] -> [N,O,k,k,H*C], channel h*C + c.
Var fold_kernels(const Var& u, const Var& v);

namespace reference {
// The same as products of whole groups, put side by side; it also serves the GPU.
Var fold_kernels(const Var& u, const Var& v);
}  // namespace reference

}  // namespace dgp
