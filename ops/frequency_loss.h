// Losses between spectra X and T of a result x and its target t (rfft2.h), means over the whole spectrum.
//   fft_loss            (|Re(X - T)| + |Im(X - T)|) / 2: the mean of both parts' absolute differences, as
//                       MIMO-UNet (Cho et al., ICCV 2021) and those after it take it
//   fft_amplitude_loss  | |X| - |T| |, with |X| = sqrt(Re^2 + Im^2 + 1e-12)
//   focal_frequency_loss  w |X - T|^2 with w = |X - T|^alpha divided by its largest value in the image and
//                       channel (Jiang et al., ICCV 2021); w is a constant for the gradient. X and T are
//                       divided by sqrt(H W), so that with alpha = 0 this is the mean squared error.
// The first two are not divided by sqrt(H W): they grow with the patch, hence the small weights in use.
#pragma once

#include "autograd/var.h"
#include "tensor/cuda.h"

namespace dgp {

// x, t [N,H,W,C] -> []
Var fft_loss(const Var& x, const Var& t);
Var fft_amplitude_loss(const Var& x, const Var& t);
Var focal_frequency_loss(const Var& x, const Var& t, double alpha = 1);  // alpha >= 0

namespace cuda {
// |d|^alpha of power [images, size] = |d|^2, divided by the largest of each image; 0 where that is 0.
DGP_CUDA_FUNCTION void focal_weights(const Tensor& power, int64_t images, double alpha,
                                     const Tensor& weights);
}  // namespace cuda

}  // namespace dgp
