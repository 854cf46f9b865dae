// Adding to a gradient in the pass that computes it, where a copy and a sum of their own would cost as much
// again.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

// For a closure while backward() runs it: hands over what other operations have added up so far as the
// gradient of input `i` of its operation; undefined where that is nothing, or the gradient is not wanted. The
// closure then returns the whole sum as gradient i; it may work in place where sum.sole_owner(). Nobody has
// to call it: what is left is added by backward().
Tensor take_sum(size_t i);

}  // namespace dgp
