// The two-dimensional Fourier transform of real images, as matrix products.
//   X[u,v] = sum_{y,x} x[y,x] exp(-2 pi i (u y / H + v x / W)),   u < H, v <= W/2
// The columns left out are the conjugates of these. One product along the rows and one along the columns cost
// H W (H + W) multiplications a channel, for any size, at the speed of the fast matrix product: on patches of
// 64 to 256 pixels no slower than a plain FFT, which jumps through memory, and with a gradient that needs no
// code of its own.
#pragma once

#include "autograd/var.h"

namespace dgp {

struct Spectrum {
  Var re, im;  // [N*C, H, W/2+1]
};

// x [N,H,W,C], H and W at least 1. Differentiable; the sum is not divided by anything.
Spectrum rfft2(const Var& x);

// [W/2+1]: how often column v of the half spectrum stands in the whole one, 1 or 2.
Tensor half_spectrum_weights(int64_t width, DType dtype);

}  // namespace dgp
