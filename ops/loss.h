// Losses: the distance of a result x from its target t, a mean over every element, shape []. d = x - t.
//   l1           |d|,  gradient sign(d)
//   charbonnier  sqrt(d^2 + eps^2),  gradient d / sqrt(d^2 + eps^2)   (Lai et al., CVPR 2017)
//   mse          d^2,  gradient 2 d
//   ssim         1 - mean SSIM (Wang et al., IEEE TIP 2004): windows of 11x11, Gaussian with sigma 1.5,
//                inside the image; K1 = 0.01, K2 = 0.03, values range over [0, 1]
//   ms_ssim      1 - mean over images and channels of l_M^w_M prod_j cs_j^w_j (Wang et al., Asilomar 2003):
//   cs_j
//                is SSIM's contrast and structure, a mean at scale j, l_M cs_M SSIM itself at the coarsest;
//                each scale is the 2x2 means of the one before (an odd last row or column is left out).
//                Weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, the first M of them divided by their sum. A
//                mean below 1e-6 counts as 1e-6, where roots have no slope.
// Sums are taken in double. Differentiable in both arguments.
#pragma once

#include "autograd/var.h"

namespace dgp {

Var l1_loss(const Var& x, const Var& t);  // any equal shapes
Var charbonnier_loss(const Var& x, const Var& t, double eps = 1e-3);
Var mse_loss(const Var& x, const Var& t);
Var ssim_loss(const Var& x, const Var& t);                         // [N,H,W,C], H and W >= 11
Var ms_ssim_loss(const Var& x, const Var& t, int64_t scales = 5);  // H and W >= 11 * 2^(scales-1)

}  // namespace dgp
