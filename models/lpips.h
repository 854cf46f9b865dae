// LPIPS, the learned perceptual image patch similarity (Zhang et al., "The unreasonable effectiveness of deep
// features as a perceptual metric", CVPR 2018), version 0.1:
//   d(a, b) = sum over five layers of mean over pixels of w_l . (f_l(a) - f_l(b))^2
// where f_l are features of AlexNet or VGG16 after ReLU, scaled to length one over channels. Less is better.
// The weights are the user's: a safetensors file of `lpips.LPIPS(net="alex" or "vgg").state_dict()`
// (docs/seeing.md).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace dgp {

class Lpips {
 public:
  // Which of the two networks it is, the first convolution says: 11x11 for AlexNet, 3x3 for VGG16. Throws
  // Error(bad_file) naming what is missing or misshapen.
  explicit Lpips(const std::string& path);

  const char* network() const { return alexnet_ ? "AlexNet" : "VGG16"; }

  // a, b: f32 [H,W,3] in [0, 1], of one size, at least 32x32.
  double operator()(const Tensor& a, const Tensor& b) const;

 private:
  std::array<Tensor, 5> features(const Tensor& image) const;

  bool alexnet_ = false;
  std::vector<Tensor> weights_, biases_;  // [O,k,k,I], [O] of each convolution
  std::array<Tensor, 5> importance_;      // [C] of each layer
};

}  // namespace dgp
