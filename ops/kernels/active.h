// The kernels of the instruction set in use (tensor/isa.h).
#pragma once

#include "ops/kernels/kernels.h"

namespace dgp {

const Kernels& active_kernels();

// Tests: use this table instead, null: the machine's again. A prepared convolution keeps the one it began
// with.
void override_kernels(const Kernels* kernels);

}  // namespace dgp
