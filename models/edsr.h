// EDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017):
// residual blocks of plain 3x3 convolutions, the yardstick of the field. Parameters bear the names of
// BasicSR's files.
//   f0 = conv_first(255 (lr - mean)),   f_i+1 = f_i + conv2(relu(conv1(f_i))),   f = f0 +
//   conv_after_body(f_n) hr = conv_last(upsample(f)) / 255 + mean
// mean: DIV2K's red, green and blue. upsample: a convolution to 4 C channels and a pixel shuffle by 2, once
// for scale 2, twice for 4, three times for 8; to 9 C and by 3 for scale 3; nothing for 1.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "models/dgconv.h"
#include "tensor/safetensors.h"

namespace dgp {

inline constexpr std::array<float, 3> kDiv2kMean{0.4488F, 0.4371F, 0.4040F};

struct EDSRConfig {
  int64_t scale = 4, channels = 64, blocks = 16;
  static EDSRConfig baseline(int64_t scale) { return {scale, 64, 16}; }  // the paper's EDSR-baseline
};

struct EDSR {
  struct Conv {
    Var weight, bias;  // [O,3,3,I], [O]
    Var operator()(const Var& x, bool relu = false, const Var& residual = {}) const;
  };
  struct Block {
    Conv first, second;  // conv1, conv2
  };

  EDSRConfig config;
  Conv head, body_end, tail;  // conv_first, conv_after_body, conv_last
  std::vector<Block> body;
  std::vector<Conv> upsample;
  int64_t factor;  // of each pixel shuffle

  // Weights uniform in PyTorch's bound 1/sqrt(fan_in), biases zero. Throws on sizes out of range.
  explicit EDSR(const EDSRConfig& config, const Rng& rng = Rng(1));

  Var operator()(const Var& lr) const;  // [N,H,W,3] -> [N, scale H, scale W, 3]

  void visit(const Visitor& visitor);  // "conv_first.weight", "body.0.conv1.bias", "upsample.2.weight", ...
};

std::vector<Var> parameters(EDSR& net);
int64_t multiply_adds(const EDSRConfig& config, int64_t height, int64_t width);  // of one image

// Weights files: metadata architecture "edsr" and config {scale, channels, blocks}, tensors in PyTorch's
// layout. Loading throws Error(bad_file) that says what does not fit.
void save_model(const std::string& path, EDSR& net);
EDSR edsr_from(const SafeTensors& state, const std::string& source);

}  // namespace dgp
