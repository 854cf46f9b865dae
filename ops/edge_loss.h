// Losses on the slopes of images. d = x - t; each is a mean over the places where the differences exist.
//   tv_loss        |x[y+1,x] - x[y,x]| and |x[y,x+1] - x[y,x]|, the two means added (Rudin et al., 1992)
//   gradient_loss  tv_loss(d): the same of the difference
//   sobel_loss     |Sx * d| and |Sy * d|, the two means added; Sx = [1 2 1]^T [-1 0 1], Sy its transpose
#pragma once

#include "autograd/var.h"

namespace dgp {

// x, t [N,H,W,C] -> []; H and W at least 2, for sobel 3
Var tv_loss(const Var& x);
Var gradient_loss(const Var& x, const Var& t);
Var sobel_loss(const Var& x, const Var& t);

}  // namespace dgp
