// DGPNet (Peng et al., arXiv:2405.07023, figure at the top): low-resolution image in, high-resolution image
// out.
//   head DGConv -> blocks x AIIBlock -> convolution to 3 (scale unshuffle)^2 channels -> pixel shuffle
//   -> + bilinear(LR) -> tail DGConv 3 -> 3
// `unshuffle` u > 1 folds u x u pixels into channels before the head, so that the body runs on 1/u^2 of the
// pixels: the way to restore images that already have the output's size (scale 1).
#pragma once

#include "models/aiiblock.h"

namespace dgp {

struct DGPNetConfig {
  int64_t scale = 4, channels = 32, blocks = 4, kernel = 3, unshuffle = 1;
  Without without = {};  // parts of the paper's network that are left out; identity needs vc or csa

  // Of each block, 2 or 1: its first convolution has branches() * channels outputs.
  int64_t branches() const {
    return without.contains(Part::statistical) || without.contains(Part::structural) ? 1 : 2;
  }

  static DGPNetConfig tiny(int64_t scale, int64_t unshuffle = 1) { return {scale, 16, 2, 3, unshuffle}; }
  static DGPNetConfig small(int64_t scale, int64_t unshuffle = 1) { return {scale, 32, 4, 3, unshuffle}; }
  static DGPNetConfig base(int64_t scale, int64_t unshuffle = 1) { return {scale, 48, 6, 3, unshuffle}; }
  static DGPNetConfig large(int64_t scale, int64_t unshuffle = 1) { return {scale, 64, 12, 3, unshuffle}; }
  bool operator==(const DGPNetConfig&) const = default;
};

struct DGPNet {
  DGPNetConfig config;
  bool deploy;  // every DGConv is one kernel: runs and trains as a plain network
  DGConv head;
  std::vector<AIIBlock> body;
  Var upsample_weight, upsample_bias;  // [3 (scale u)^2, 3, 3, C], [3 (scale u)^2]
  DGConv tail;

  // Untrained, the network is bilinear upsampling: `upsample` is zero and the tail the identity.
  // The values depend on the generator and the configuration alone. Throws on sizes out of range.
  explicit DGPNet(const DGPNetConfig& config, const Rng& rng = Rng(1), bool deploy = false);

  Var operator()(const Var& lr, Form form = Form::folded) const;  // [N,H,W,3] -> [N, scale H, scale W, 3]

  void visit(const Visitor& visitor);  // names as in a weights file: "body.0.statistical.weight.csa"
  void to(DType dtype);                // converts every parameter to f32 or f64
};

struct NamedDGConv {
  std::string name;  // as in a weights file: "body.0.statistical"
  DGConv* conv;      // part of the network
};
std::vector<NamedDGConv> dgconvs(DGPNet& net);  // from head to tail

std::vector<Var> parameters(DGPNet& net);  // in visiting order; they share the network's storage
int64_t parameter_count(DGPNet& net);

// The deploy form: every DGConv fused into one kernel, in double. Exact up to rounding.
DGPNet fuse(const DGPNet& net);

// Multiply-adds for one image of height x width LR pixels, convolutions and per-image folding.
int64_t multiply_adds(const DGPNetConfig& config, Form form, int64_t height, int64_t width);

}  // namespace dgp
