// Upscaling on the GPU: the fused network, block by block as two convolutions (models/aiiblock.h), on a whole
// image.
#pragma once

#include "models/dgpnet.h"

namespace dgp {

// The fused form of a network, with its parameters in device memory. Throws Error(limit) without a usable
// GPU.
DGPNet net_on_gpu(const DGPNet& net);

// lr f32 [1,H,W,3] in the CPU's memory -> [H*scale,W*scale,3], there again. Throws Error(numeric) when the
// result is not finite, Error(limit) when the image does not fit into the GPU's memory.
Tensor upscale_on_gpu(const DGPNet& net, const Tensor& lr);

}  // namespace dgp
