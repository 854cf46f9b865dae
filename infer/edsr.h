// EDSR made ready to run on one image after another: weights prepared once, bias, activation and residual in
// the convolutions' epilogues. The body runs layer by layer on the whole image, three feature maps in memory;
// from the first pixel shuffle on, where the maps grow by the square of the scale, the image is worked
// through in bands of rows, so that only a few rows of the large maps exist at a time.
#pragma once

#include <memory>

#include "infer/layer_time.h"
#include "models/edsr.h"
#include "ops/conv2d.h"

namespace dgp {

class EDSRUpscaler {
 public:
  // observe: called after every layer with what it cost (names: conv_first, block.I.conv1, ...).
  explicit EDSRUpscaler(const EDSR& net, Precision precision = Precision::full, LayerObserver observe = {});

  // f32 [N,H,W,3] in [0,1] -> [N,H*scale,W*scale,3], not clamped.
  Tensor operator()(const Tensor& lr) const;

  int64_t scale() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace dgp
