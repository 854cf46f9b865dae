// A part of a picture.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

struct Box {
  int64_t x = 0, y = 0, width = 0, height = 0;
};

// x: [H,W,C] of any type -> [box.height, box.width, C], a copy. Throws when the box leaves the picture.
Tensor cut(const Tensor& x, const Box& box);

// The box of this size, or of the picture's where that is smaller, at its centre.
Box centre_box(const Tensor& x, int64_t height, int64_t width);

}  // namespace dgp
