// NIQE, the natural image quality evaluator (Mittal, Soundararajan and Bovik, "Making a completely blind
// image quality analyzer", 2013), in BasicSR's convention: how far the statistics of an image's blocks are
// from those of undistorted photographs. Less is better. No original is needed, but the photographs'
// statistics are: a file niqe_pris_params.npz as BasicSR publishes it, with mu_pris_param [1,36] and
// cov_pris_param [36,36].
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace dgp {

inline constexpr int64_t kNiqeBlock = 96, kNiqeFeatures = 36;

struct NiqeModel {
  Tensor mean, covariance;  // f64 [36], [36,36]
};
NiqeModel read_niqe_model(const std::string& path);  // .npz

// image: u8 [H,W,1|3], of which `border` pixels are left out on each side. Luma (rounded) -> 96x96 blocks
// that do not overlap, from the upper left, down the columns first -> f64 [blocks, 36]: at full and at half
// size (MATLAB's bicubic), of coefficients (x - mean) / (deviation + 1) in 7x7 Gaussian windows of sigma 7/6,
// the fits of an asymmetric generalised Gaussian to them (2 numbers) and to products of neighbours in four
// directions (4 each). NaN where a block has no negative or no positive values. Throws when not two blocks
// fit.
Tensor niqe_features(const Tensor& image, int64_t border);

// sqrt(d pinv((S1 + S2) / 2) d), d the difference of the means and S the covariances of model and image.
double niqe(const Tensor& image, int64_t border, const NiqeModel& model);

}  // namespace dgp
