// Numbers as colours: feature maps and differences in viridis, kernels in blue, white and red.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

// x: f32 [H,W] -> f32 [H,W,3], from dark violet at `low` and below to yellow at `high` and above. The colours
// are those of Matplotlib's viridis (Smith and van der Walt, 2015), interpolated between nine of them.
Tensor viridis(const Tensor& x, double low, double high);

// The values that a share (1 - inside) / 2 of x lies below and above: limits that outliers do not stretch.
struct Limits {
  double low, high;
};
Limits limits_of(const Tensor& x, double inside = 0.99);  // f32, any shape

// Kernels [O,k,k,I] as a mosaic, f32 RGBA: one square a kernel, rows are outputs, columns inputs, at most
// `most` of each; red at +limit and above, white at 0, blue at -limit and below, transparent between.
Tensor kernel_mosaic(const Tensor& kernels, double limit, int64_t most = 8);

}  // namespace dgp
