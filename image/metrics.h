// PSNR and SSIM by the conventions of super-resolution's tables (MATLAB's rgb2ycbcr; Wang et al. 2004, "Image
// quality assessment: from error visibility to structural similarity"), on 8-bit images.
#pragma once

#include "tensor/tensor.h"

namespace dgp {

// a, b: u8 [H,W,C], C = 1 or 3, of one size. `border` pixels are left out on each side. With luma, RGB is
// first turned into Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255; a grey image is its own luma.
double psnr(const Tensor& a, const Tensor& b, int64_t border, bool luma);  // dB; infinite when equal

// 11x11 Gaussian window, sigma 1.5, where it lies inside the image; K1 = 0.01, K2 = 0.03, L = 255; the mean
// over pixels, then over channels.
double ssim(const Tensor& a, const Tensor& b, int64_t border, bool luma);

// Multi-scale SSIM (Wang, Simoncelli and Bovik 2003): five scales, halved by the mean of 2x2 pixels, an odd
// last row or column paired with itself; the contrast and structure part of each scale and the luminance of
// the last, to the powers 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, a negative mean counting as 0; per channel,
// then the mean over channels. At least 161x161 pixels inside the border, so that the last scale holds a
// window.
double ms_ssim(const Tensor& a, const Tensor& b, int64_t border, bool luma);

// u8 [H,W,3] -> f64 [H,W,1], not rounded.
Tensor luma_of(const Tensor& rgb);

}  // namespace dgp
