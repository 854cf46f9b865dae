// Resizing along one axis as sums of a few weighted inputs, written down once: what the CPU's resizing and
// the kernels both read.
#pragma once

#include <vector>

#include "train/degrade_ops.h"

namespace dgp {

// out[o] = sum_t weight[o n + t] in[index[o n + t]], t < n.
struct Taps {
  int64_t n = 0;
  std::vector<int64_t> index;
  std::vector<float> weight;
};

// As interpolate_picture resizes an axis of `in` to `out`.
Taps interpolation_taps(int64_t in, int64_t out, Interpolation mode, double ratio);

// As MATLAB's imresize does with its bicubic kernel (image/resize.h): widened where it shrinks, borders
// mirrored, edge included.
Taps bicubic_taps(int64_t in, int64_t out);

// A kernel's weights as floats; those too small to count, which as denormals would be slow, are 0.
std::vector<float> filter_weights(const std::vector<double>& kernel);

// Two lines of weights whose products are a square kernel of sum 1, to a rounding of f32; empty where there
// are none. A Gaussian's that is round or lies along the axes: two blurs of a line instead of one of a
// square.
struct Separated {
  std::vector<float> rows, columns;
};
Separated separated(const std::vector<double>& kernel);

// The Gaussian of sharpen_usm, 51 weights.
const std::vector<float>& sharpening_weights();

}  // namespace dgp
