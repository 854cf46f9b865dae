#include "ops/kernels/kernels.h"
#include "tensor/simd.h"

#define DGP_TEXT_OF(name) #name
#define DGP_TEXT(name) DGP_TEXT_OF(name)

namespace dgp::DGP_ISA {

extern const Kernels kernels = {
    .isa = DGP_TEXT(DGP_ISA),
    .lanes = kLanes,
    .winograd_panels = winograd_panels,
    .winograd_weights_size = winograd_weights_size,
    .winograd_weights = winograd_weights,
    .winograd_block = winograd_block,
    .winograd_scratch = winograd_scratch,
    .winograd_forward = winograd_forward,
    .winograd_gradient_size = winograd_gradient_size,
    .winograd_gradient_scratch = winograd_gradient_scratch,
    .winograd_gradient = winograd_gradient,
    .winograd_gradient_finish = winograd_gradient_finish,
};

}  // namespace dgp::DGP_ISA
