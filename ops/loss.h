// Losses: the distance of a result x from its target t, a mean over every element, shape []. d = x - t.
//   l1           |d|,  gradient sign(d)
//   charbonnier  sqrt(d^2 + eps^2),  gradient d / sqrt(d^2 + eps^2)   (Lai et al., CVPR 2017)
//   mse          d^2,  gradient 2 d
//   ssim         1 - mean SSIM (Wang et al., IEEE TIP 2004): windows of 11x11, Gaussian with sigma 1.5,
//   inside the
//                image; K1 = 0.01, K2 = 0.03, values range over [0, 1]
// Sums are taken in double. Differentiable in both arguments.
#pragma once

#include "autograd/var.h"

namespace dgp {

Var l1_loss(const Var& x, const Var& t);  // any equal shapes
Var charbonnier_loss(const Var& x, const Var& t, double eps = 1e-3);
Var mse_loss(const Var& x, const Var& t);
Var ssim_loss(const Var& x, const Var& t);  // [N,H,W,C], H and W >= 11

}  // namespace dgp
