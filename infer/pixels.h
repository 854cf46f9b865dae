// The first and the last step of inference, on pixels.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

// True when no element of an f32 tensor is infinite or not a number.
bool all_finite(const Tensor& t);

// Rows of an image that a step reads, [begin, end).
struct RowRange {
  int64_t begin, end;
};

// Rows [first, first + R) of an image [H,W,3], reflected right and below to multiples of u, folded into
// channels: y [1,R,ceil(W/u),3*u*u], channel c*u*u + i*u + j from pixel (y*u+i, x*u+j) of channel c. lr holds
// the rows from lr_first that unshuffle_reads asks for.
void unshuffle_rows(const Tensor& lr, int64_t lr_first, int64_t lr_height, int64_t u, const Tensor& y,
                    int64_t first);
RowRange unshuffle_reads(int64_t first, int64_t end, int64_t u, int64_t lr_height);

// rows [1,R,W,3] of the image from row `first` = pixel shuffle by su of up [1,B,ceil(W/su),3*su*su], which
// holds rows from up_first, cropped to W, plus lr enlarged (bilinear, half-pixel centres, edges repeated). lr
// [1,L,W/scale,3] holds the rows from lr_first that bilinear_reads asks for.
void shuffle_add_bilinear(const Tensor& up, int64_t up_first, int64_t su, const Tensor& lr, int64_t lr_first,
                          int64_t lr_height, int64_t scale, const Tensor& rows, int64_t first);
RowRange bilinear_reads(int64_t first, int64_t end, int64_t scale, int64_t lr_height);

}  // namespace dgp
