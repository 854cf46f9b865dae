// The same elements in another shape; storage is shared. dx = dy in the shape of x.
#pragma once

#include "autograd/var.h"

namespace dgp {

// One size may be -1: whatever is left. Throws when the number of elements differs.
Var reshape(const Var& x, const Shape& shape);

}  // namespace dgp
