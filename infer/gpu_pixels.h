// The first and the last step of inference on the GPU: infer/pixels.h for tensors in device memory, queued.
#pragma once

#include "tensor/cuda.h"
#include "tensor/tensor.h"

namespace dgp::cuda {

// lr f32 [1,R,W,3], y f32 [1,R,ceil(W/u),3*u*u]: as dgp::unshuffle_rows.
DGP_CUDA_FUNCTION void unshuffle_rows(const Tensor& lr, int64_t lr_first, int64_t lr_height, int64_t u,
                                      const Tensor& y, int64_t first);

// up f32 [1,B,ceil(W/su),3*su*su], lr f32 [1,L,W/scale,3], rows f32 [1,R,W,3]: as dgp::shuffle_add_bilinear.
DGP_CUDA_FUNCTION void shuffle_add_bilinear(const Tensor& up, int64_t up_first, int64_t su, const Tensor& lr,
                                            int64_t lr_first, int64_t lr_height, int64_t scale,
                                            const Tensor& rows, int64_t first);

// flag f32 [1] <- 1 when an element of an f32 tensor is infinite or not a number, else 0.
DGP_CUDA_FUNCTION void find_not_finite(const Tensor& t, const Tensor& flag);

}  // namespace dgp::cuda
