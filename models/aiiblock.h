// AIIBlock: adaptive information interaction block (Peng et al., arXiv:2405.07023, figure "AIIBlock").
//   s = leaky(DGConv{csa,vc}(x))            statistics, contrast
//   t = leaky(DGConv{csg,hg,vg,idg}(x))     structure, texture
//   y = x + Att([stat_to_stat(s), struct_to_stat(t)]) + Att([stat_to_struct(s), struct_to_struct(t)])
//   Att(z) = project(z * g),  g = sigmoid(excite(relu(squeeze(mean over H,W of z))))
//
// Block folding. The second stage is linear, and the mean of a zero-padded convolution is linear in the
// windowed means of its input (ops/window_means.h): so g is known before the second stage is computed, and
// gate and projection fold into its kernel. The block is two convolutions, C -> 2C with shared weights and 2C
// -> C with weights made per image: 36 C^2 multiply-adds a pixel, not 58 C^2 fused or 274 C^2 drawn
// literally.
#pragma once

#include <optional>

#include "models/dgconv.h"
#include "models/parts.h"

namespace dgp {

// Three ways to compute the same function: n convolutions a DGConv as the figure is drawn; one fused
// convolution a DGConv; two convolutions a block. Equal up to rounding, in value and in gradient.
enum class Form { parallel, fused, folded };

struct Attention {                   // of Z channels, 2C; C where the block has no interaction
  Var squeeze_weight, squeeze_bias;  // [hidden, Z], [hidden], hidden = max(4, Z/8)
  Var excite_weight, excite_bias;    // [Z, hidden], [Z]; all four undefined: g is 1
  Var project_weight, project_bias;  // [C,1,1,Z], [C]

  Attention(int64_t inputs, int64_t channels, const Rng& rng, bool gated = true);
  bool gated() const { return squeeze_weight.defined(); }
  Var gate(const Var& mean) const;     // [N,Z] -> [N,Z] in (0, 1)
  Var operator()(const Var& z) const;  // [N,H,W,Z] -> [N,H,W,C]
  void visit(const Visitor& visitor, const std::string& prefix);
};

struct ConvWeights {
  Var weight;  // [O,k,k,I], or one kernel per image [N,O,k,k,I]
  Var bias;    // [O], or [N,O]
};

struct AIIBlock {
  // Without a branch or the interaction (models/parts.h) some are not there.
  std::optional<DGConv> statistical, structural;
  std::optional<DGConv> stat_to_stat, stat_to_struct, struct_to_stat, struct_to_struct;
  std::optional<Attention> attend_stat, attend_struct;

  AIIBlock(int64_t channels, int64_t k, const Rng& rng, bool deploy = false, const Without& without = {});

  Var operator()(const Var& x, Form form = Form::folded) const;  // [N,H,W,C] -> the same shape

  // Folding, in parts: h = leaky(conv(x, first)); y = x + conv(h, second(window_means(h, k))). With one
  // branch h has C channels.
  ConvWeights first() const;                   // [2C,k,k,C], [2C]
  ConvWeights second(const Var& means) const;  // means [N,k,k,2C] -> [N,C,k,k,2C], [N,C]

  void visit(const Visitor& visitor, const std::string& prefix);
};

}  // namespace dgp
