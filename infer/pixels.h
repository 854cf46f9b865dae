// The first and the last step of inference, on pixels.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

// True when no element of an f32 tensor is infinite or not a number.
bool all_finite(const Tensor& t);

// x [1,H,W,3], reflected right and below to multiples of u -> [1,H/u,W/u,3*u*u], channel c*u*u + i*u + j from
// pixel (y*u+i, x*u+j) of channel c.
Tensor unshuffle_padded(const Tensor& x, int64_t u);

// rows [1,R,W,3] of the image from row `first` = pixel shuffle by su of up [1,B,W/su,3*su*su], which holds
// rows from up_first, cropped to W, plus lr [1,H,W/scale,3] enlarged (bilinear, half-pixel centres, edges
// repeated).
void shuffle_add_bilinear(const Tensor& up, int64_t up_first, int64_t su, const Tensor& lr, int64_t scale,
                          const Tensor& rows, int64_t first);

}  // namespace dgp
