// The kernels of several DGConvs at once, made by one operation (ops/fused_kernels.h).
#pragma once

#include "models/dgconv.h"

namespace dgp {

// The fused weights of convolutions of one shape and one form, one after the other: [sum of O,k,k,I].
Var fused_weights(const std::vector<const DGConv*>& convs);

}  // namespace dgp
