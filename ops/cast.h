// Another element type, rounded to nearest; dx = dy, in the type of x.
#pragma once

#include "autograd/var.h"

namespace dgp {

// x of any shape; x itself when it has that type. On the GPU between f32, bf16 and f16.
Var cast(const Var& x, DType dtype);

}  // namespace dgp
