// Adversarial training: the U-Net discriminator with spectral normalisation of Real-ESRGAN (Wang et al.,
// ICCVW 2021; BasicSR's UNetDiscriminatorSN), one value a pixel, and the losses of both sides.
#pragma once

#include <map>
#include <string>

#include "models/dgconv.h"
#include "train/config.h"

namespace dgp {

class Discriminator {
 public:
  Discriminator(int64_t features, const Rng& rng);

  // x [N,H,W,3], H and W multiples of 8 -> [N,H,W,1]. Each call goes one power iteration further, as PyTorch
  // does in training. `constant`: gradients pass through to x, but the discriminator's own are not wanted.
  Var operator()(const Var& x, bool constant = false);

  // Names as in BasicSR's files: "conv1.weight_orig", "conv1.weight_u"; u [O] and v [1,k,k,I] are buffers.
  void visit(const Visitor& visitor);

 private:
  struct Layer {
    Var weight, bias;  // [O,k,k,I]; bias [O] of the first and last layer
    Var u, v;          // of the others
  };
  Var run(const Var& x, size_t layer, int64_t stride, bool constant);

  std::vector<Layer> layers_;
};

// The generator's loss from the discriminator's values of its results.
Var generator_loss(const std::string& type, const Var& fake);
// The discriminator's, in the two parts that are added: from values of originals and of results.
Var real_loss(const std::string& type, const Var& real);
Var fake_loss(const std::string& type, const Var& fake);

}  // namespace dgp
