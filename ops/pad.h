// Rows and columns added around images: zeros, the image mirrored without repeating its edge pixels, or its
// edge pixels repeated (PyTorch's constant, reflect and replicate). The gradient adds what mirrored or
// repeated pixels receive to the pixel they show.
#pragma once

#include "autograd/var.h"

namespace dgp {

enum class PadMode { zero, reflect, replicate };

struct Padding {
  int64_t top = 0, bottom = 0, left = 0, right = 0;  // >= 0; reflect: less than the image's size
};

// x [N,H,W,C] -> [N, top+H+bottom, left+W+right, C]
Var pad2d(const Var& x, const Padding& padding, PadMode mode = PadMode::zero);

}  // namespace dgp
