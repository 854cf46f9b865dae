// Augmentations of a pair of patches. What is drawn depends on the sample's random numbers alone.
//   flips and transposition  the eight ways a square can lie, each half with its own probability
//   channels                 red, green and blue in another order, the same in both patches
//   cutblur                  Yoo, Ahn and Sohn, "Rethinking Data Augmentation for Image Super-resolution",
//   CVPR
//                            2020: within a rectangle, or outside it, the low-resolution patch is taken from
//                            the high-resolution one; at scales above 1 from that shrunk as MATLAB's imresize
//                            does
//   mixup                    Zhang et al., ICLR 2018: v a + (1 - v) b of two samples, both patches, v ~
//   Beta(a, a)
#pragma once

#include <array>
#include <cstdint>

#include "tensor/random.h"
#include "train/config.h"

namespace dgp {

struct Orientation {
  bool hflip = false, vflip = false, transpose = false;  // the flips first
};
Orientation draw_orientation(const AugmentConfig& config, Rng rng);

// Of one sample: the order of its channels, and the square that cutblur takes from the other patch, or all
// but that.
struct Colours {
  std::array<int, 3> order = {0, 1, 2};
  bool cutblur = false, inside = false;
  int64_t side = 0, top = 0, left = 0;
};
Colours draw_colours(const AugmentConfig& config, int64_t patch, Rng rng);

// lr [patch,patch,3], hr [scale*patch,scale*patch,3], changed in place.
void apply_colours(const Colours& colours, int64_t scale, int64_t patch, float* lr, float* hr);

// The share of the first of two samples, or 1 where nothing is to be mixed in.
double draw_mixup(const AugmentConfig& config, Rng rng);

// to = v to + (1 - v) other, n numbers.
void mix(double v, const float* other, int64_t n, float* to);

}  // namespace dgp
