// Pictures side by side: what went in, what came out, what it should have been, and how far off it is.
#pragma once

#include <string>
#include <vector>

#include "image/crop.h"
#include "tensor/tensor.h"

namespace dgp {

// Where the enlarged input is furthest from the truth: what there is to win. Both u8 [H,W,3]; a box of
// side x side pixels, or less where the picture is smaller, whose corner and size are multiples of `step`.
Box telling_box(const Tensor& enlarged, const Tensor& truth, int64_t side, int64_t step);

// The same box of a picture `scale` times smaller.
Box shrunk(const Box& box, int64_t scale);

// |a - b|, the mean over channels, as colours from 0 to `most` grey levels. u8 [H,W,3] -> f32 [H,W,3].
Tensor difference_map(const Tensor& a, const Tensor& b, double most = 48);

struct Labelled {
  std::string label, note;  // plain text
  Tensor picture;           // u8 or f32 [H,W,C]
};

// A row of pictures of equal width, each pixel a square; it scrolls where it is too long.
std::string strip(const std::vector<Labelled>& pictures);

}  // namespace dgp
