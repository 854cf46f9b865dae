// The perceptual loss (Johnson et al., ECCV 2016) as BasicSR has it: features of VGG19 (Simonyan and
// Zisserman, 2015) before each ReLU, compared by L1. The weights are the user's: torchvision's vgg19 as
// safetensors.
#pragma once

#include <map>
#include <string>

#include "autograd/var.h"
#include "train/registry.h"

namespace dgp {

class Vgg19 {
 public:
  // Names as in torchvision, "features.0.weight"; the layers' widths are those of the file. Throws
  // Error(bad_file).
  explicit Vgg19(const std::string& path);

  static const std::vector<std::string>& layer_names();  // conv1_1 ... conv5_4

  // sum over layers of weight * mean |features of x - features of t|; x, t [N,H,W,3] in [0, 1], normalised
  // inside by ImageNet's mean and deviation. The layers must fit: conv5 needs 16x16 pixels.
  Var distance(const Var& x, const Var& t, const Options& layer_weights) const;

 private:
  struct Convolution {
    Tensor weight, bias;  // [O,3,3,I], [O]
  };
  std::vector<Var> features(const Var& x, const Options& layer_weights) const;
  const std::vector<Convolution>& on(Device device) const;

  std::vector<Convolution> convolutions_;    // 16
  mutable std::vector<Convolution> on_gpu_;  // the same, from the first use there
};

}  // namespace dgp
