// Tensors side by side along one axis; each gets its part of dy.
#pragma once

#include "autograd/var.h"

namespace dgp {

// At least one tensor; shapes equal but for `axis`, which may be negative.
Var concat(const std::vector<Var>& parts, int axis);

}  // namespace dgp
