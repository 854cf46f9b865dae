// Fully connected layer over the last axis: y = x w^T + b;  dx = dy w,  dw = dy^T x,  db = sum of dy over
// rows.
#pragma once

#include "autograd/var.h"

namespace dgp {

// x [...,I], w [O,I], b [O] or undefined -> [...,O]
Var linear(const Var& x, const Var& w, const Var& b = {});

}  // namespace dgp
