#include "models/aiiblock.h"

#include <algorithm>
#include <cmath>

#include "models/fused_weights.h"
#include "models/initialise.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/fold_kernels.h"
#include "ops/linear.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reshape.h"
#include "ops/slice.h"
#include "ops/window_means.h"

namespace dgp {

namespace {
Var parameter(const Shape& shape, int64_t fan_in,
              const Rng& rng) {  // PyTorch's default for linear and 1x1 layers
  return Var(uniform_tensor(shape, 1 / std::sqrt(static_cast<double>(fan_in)), rng), true);
}
}  // namespace

Attention::Attention(int64_t c, const Rng& rng) {
  int64_t hidden = std::max<int64_t>(4, 2 * c / 8);
  squeeze_weight = parameter({hidden, 2 * c}, 2 * c, rng.split(0));
  squeeze_bias = parameter({hidden}, 2 * c, rng.split(1));
  excite_weight = parameter({2 * c, hidden}, hidden, rng.split(2));
  excite_bias = parameter({2 * c}, hidden, rng.split(3));
  project_weight = parameter({c, 1, 1, 2 * c}, 2 * c, rng.split(4));
  project_bias = parameter({c}, 2 * c, rng.split(5));
}

Var Attention::gate(const Var& mean) const {
  Var hidden = relu(linear(mean, squeeze_weight, squeeze_bias));
  return sigmoid(linear(hidden, excite_weight, excite_bias));
}

Var Attention::operator()(const Var& z) const {
  Var g = gate(global_average_pool(z));
  return conv2d(mul(z, reshape(g, {z.dim(0), 1, 1, z.dim(3)})), project_weight, project_bias);
}

void Attention::visit(const Visitor& visitor, const std::string& prefix) {
  visitor(prefix + ".squeeze.weight", squeeze_weight);
  visitor(prefix + ".squeeze.bias", squeeze_bias);
  visitor(prefix + ".excite.weight", excite_weight);
  visitor(prefix + ".excite.bias", excite_bias);
  visitor(prefix + ".project.weight", project_weight);
  visitor(prefix + ".project.bias", project_bias);
}

AIIBlock::AIIBlock(int64_t c, int64_t k, const Rng& rng, bool deploy)
    : statistical(c, c, k, kStatisticalOperators, rng.split(0), deploy),
      structural(c, c, k, kStructuralOperators, rng.split(1), deploy),
      stat_to_stat(c, c, k, kAllOperators, rng.split(2), deploy),
      stat_to_struct(c, c, k, kAllOperators, rng.split(3), deploy),
      struct_to_stat(c, c, k, kAllOperators, rng.split(4), deploy),
      struct_to_struct(c, c, k, kAllOperators, rng.split(5), deploy),
      attend_stat(c, rng.split(6)),
      attend_struct(c, rng.split(7)) {}

ConvWeights AIIBlock::first() const {
  return {fused_weights({&statistical, &structural}), concat({statistical.bias, structural.bias}, 0)};
}

// With z = [A s; B t] + [a; b] (two convolutions and their biases), gates g and projection U = [U_A, U_B]:
//   project(z * g) = (U_A diag(g_A) A) s + (U_B diag(g_B) B) t + U (g * [a; b]) + bias,
// and both attentions read s through a kernel each and t likewise, so each half of h = [s, t] meets one
// kernel: [U_A diag(g_A) for stat, for struct] [A_stat; A_struct], a matrix product per image.
ConvWeights AIIBlock::second(const Var& means) const {
  int64_t n = means.dim(0), k = means.dim(1), c = means.dim(3) / 2, taps = k * k * c;
  // Of each half the kernels and biases that read it, for stat and for struct: [2, 2C, ...].
  Var kernels = fused_weights({&stat_to_stat, &stat_to_struct, &struct_to_stat, &struct_to_struct});
  Var biases =
      reshape(concat({stat_to_stat.bias, stat_to_struct.bias, struct_to_stat.bias, struct_to_struct.bias}, 0),
              {2, 1, 2 * c});

  auto half = [&](int64_t begin) { return reshape(slice(means, 3, begin, begin + c), {1, n, taps}); };
  Var z =
      add(matmul(concat({half(0), half(c)}, 0), reshape(kernels, {2, 2 * c, taps}), {.transpose_b = true}),
          biases);  // [2, N, 2C]: what s and what t contribute to the means of both attentions
  auto gate = [&](const Attention& attend, int64_t begin) {
    auto part = [&](int64_t h) { return reshape(slice(slice(z, 0, h, h + 1), 2, begin, begin + c), {n, c}); };
    return reshape(attend.gate(concat({part(0), part(1)}, 1)), {n, 2, c});
  };
  Var gates = concat({gate(attend_stat, 0), gate(attend_struct, c)}, 2);  // [N, 2, 2C], as the biases
  Var projections = concat(
      {reshape(attend_stat.project_weight, {c, 2, c}), reshape(attend_struct.project_weight, {c, 2, c})},
      2);  // [C, 2, 2C]
  // U diag(g): [N, C, 2, 2C]
  Var u = mul(reshape(projections, {1, c, 2, 2 * c}), reshape(gates, {n, 1, 2, 2 * c}));

  Var offset = matmul(reshape(u, {n * c, 4 * c}), reshape(biases, {4 * c, 1}));
  offset = add(reshape(offset, {n, c}), add(attend_stat.project_bias, attend_struct.project_bias));
  return {fold_kernels(u, reshape(kernels, {2, 2 * c, k, k, c})), offset};
}

Var AIIBlock::operator()(const Var& x, Form form) const {
  if (form == Form::folded) {
    ConvWeights w1 = first();
    int64_t k = w1.weight.dim(1);
    Var h = conv2d(x, w1.weight, w1.bias,
                   {.padding = k / 2, .activation = Activation::leaky_relu, .slope = kLeakySlope});
    ConvWeights w2 = second(window_means(h, k));
    return conv2d(h, w2.weight, w2.bias, {.padding = k / 2}, x);
  }
  auto run = [&](const DGConv& conv, const Var& input) {
    return form == Form::parallel ? conv.parallel(input) : conv(input);
  };
  Var s = leaky_relu(run(statistical, x), kLeakySlope), t = leaky_relu(run(structural, x), kLeakySlope);
  Var upper = concat({run(stat_to_stat, s), run(struct_to_stat, t)}, 3);
  Var lower = concat({run(stat_to_struct, s), run(struct_to_struct, t)}, 3);
  return add(add(x, attend_stat(upper)), attend_struct(lower));
}

void AIIBlock::visit(const Visitor& visitor, const std::string& prefix) {
  statistical.visit(visitor, prefix + ".statistical");
  structural.visit(visitor, prefix + ".structural");
  stat_to_stat.visit(visitor, prefix + ".stat_to_stat");
  stat_to_struct.visit(visitor, prefix + ".stat_to_struct");
  struct_to_stat.visit(visitor, prefix + ".struct_to_stat");
  struct_to_struct.visit(visitor, prefix + ".struct_to_struct");
  attend_stat.visit(visitor, prefix + ".attend_stat");
  attend_struct.visit(visitor, prefix + ".attend_struct");
}

}  // namespace dgp
