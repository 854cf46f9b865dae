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
    .direct_weights_size = direct_weights_size,
    .direct_weights = direct_weights,
    .direct_scratch = direct_scratch,
    .direct_forward = direct_forward,
    .direct_gradient_size = direct_gradient_size,
    .direct_gradient_scratch = direct_gradient_scratch,
    .direct_gradient = direct_gradient,
    .direct_gradient_finish = direct_gradient_finish,
    .activation_gradient = activation_gradient,
    .row_sums = row_sums,
    .kernel_space_f32 = &kernel_space_f32,
    .kernel_space_f64 = &kernel_space_f64,
};

}  // namespace dgp::DGP_ISA
