// Synthetic low resolution. Either MATLAB's bicubic, or what a camera and the web do to a photograph, in the
// order of Real-ESRGAN's first stage (Wang et al., 2021) at moderate strength: blur, shrink, noise, JPEG.
#pragma once

#include "tensor/random.h"
#include "tensor/tensor.h"
#include "train/config.h"

namespace dgp {

// hr f32 [scale*H, scale*W, 3] in [0, 1] -> [H, W, 3], rounded to multiples of 1/255. A pure function of its
// arguments; runs on the calling thread alone.
Tensor degrade(const Tensor& hr, int64_t scale, const DegradeConfig& config, Rng rng);

// MATLAB's imresize by 1/scale, a = -0.5, sizes divisible by scale; on the calling thread alone.
Tensor shrink_bicubic(const Tensor& hr, int64_t scale);

// Gaussian blur [H, W, C] with deviations along axes turned by `angle`; borders are repeated.
Tensor gaussian_blur(const Tensor& picture, double sigma_x, double sigma_y, double angle);

}  // namespace dgp
