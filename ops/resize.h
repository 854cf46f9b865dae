// Images in another size, as torch.nn.functional.interpolate(align_corners=False, antialias=False) defines
// it: result pixel i looks at position s = (i + 1/2) in/out - 1/2 of the input.
//   nearest   pixel floor(i in/out)
//   bilinear  the two pixels around s (s at least 0), weighted by nearness
//   bicubic   the four pixels around s, weighted by Keys' kernel with a = -0.75; outside, the edge pixel
// When shrinking, pixels are skipped, not averaged (image/ has the antialiased resize).
#pragma once

#include "autograd/var.h"
#include "ops/separable.h"

namespace dgp {

enum class ResizeMode { nearest, bilinear, bicubic };

// x [N,H,W,C] -> [N,out_h,out_w,C]; H, W, out_h, out_w >= 1
Var resize(const Var& x, int64_t out_h, int64_t out_w, ResizeMode mode = ResizeMode::bilinear);

// What one axis contributes: its positions and weights.
AxisMap resize_map(int64_t in, int64_t out, ResizeMode mode);

namespace cpu {
// A band of the result: x holds rows [x_first, x_first + x.dim(1)) of an image of `height` rows, which must
// include every row needed; returns rows [y_first, y_first + y_rows) of the result of out_h rows. The same
// bits as the whole.
Tensor resize_rows(const Tensor& x, int64_t x_first, int64_t height, int64_t out_h, int64_t out_w,
                   ResizeMode mode, int64_t y_first, int64_t y_rows);
}  // namespace cpu

}  // namespace dgp
