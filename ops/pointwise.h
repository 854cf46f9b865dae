// Functions applied to each element: y_i = f(x_i), dx_i = f'(x_i) dy_i; the functions themselves and their
// derivatives stand in pointwise_functions.h. Functions of two tensors broadcast as NumPy does (broadcast.h);
// the gradient of a repeated operand is summed over its repetitions.
#pragma once

#include "autograd/var.h"
#include "ops/pointwise_functions.h"

namespace dgp {

// neg relu gelu sigmoid silu tanh abs sqrt square exp log, any shape. gelu is the exact one, with erf.
#define DGP_DECLARE(name, Function) Var name(const Var& x);
DGP_UNARY_OPS(DGP_DECLARE)
#undef DGP_DECLARE

// add sub mul div, broadcasting. On the GPU b may be f32 where a has 16 bits; the result then has a's type.
#define DGP_DECLARE(name, Function) Var name(const Var& a, const Var& b);
DGP_BINARY_OPS(DGP_DECLARE)
#undef DGP_DECLARE

Var add(const Var& x, double c);
Var mul(const Var& x, double c);
Var leaky_relu(const Var& x, double slope = 0.1);
Var prelu(const Var& x, const Var& a);          // x [...,C], a [C]: a_c x where x <= 0
Var clamp(const Var& x, double lo, double hi);  // gradient 1 on [lo, hi], 0 outside; lo <= hi

}  // namespace dgp
