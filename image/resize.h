// MATLAB's imresize with the bicubic kernel: the resize that super-resolution's data sets and tables are made
// with. Keys' kernel with a = -0.5, widened by 1/scale when shrinking (antialiasing), borders mirrored,
// weights normalised. Weights and sums are double; results do not depend on the number of threads.
#pragma once

#include "tensor/row_store.h"

namespace dgp {

// x: f32 or f64 [H,W,C] -> [ceil(scale H), ceil(scale W), C], not clamped.
Tensor imresize(const Tensor& x, double scale);

// Rows [first, first + count) of the same, of an f32 image that need not be in memory.
Tensor imresize_rows(const RowStore& x, double scale, int64_t first, int64_t count);

// To a size of choice; the scale of each axis is out / in.
Tensor imresize(const Tensor& x, int64_t out_height, int64_t out_width);

}  // namespace dgp
