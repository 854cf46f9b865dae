#include "models/aiiblock.h"

#include <algorithm>
#include <cmath>

#include "models/initialise.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
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
  return {concat({statistical.fused_weight(), structural.fused_weight()}, 0),
          concat({statistical.bias, structural.bias}, 0)};
}

// With z = [A s; B t] + [a; b] (two convolutions and their biases), gates g and projection U = [U_A, U_B]:
//   project(z * g) = (U_A diag(g_A) A) s + (U_B diag(g_B) B) t + U (g * [a; b]) + bias,
// and both attentions read s through a kernel each and t likewise, so each half of h = [s, t] meets one
// kernel: [U_A diag(g_A) for stat, for struct] [A_stat; A_struct], a matrix product per image.
ConvWeights AIIBlock::second(const Var& means) const {
  int64_t n = means.dim(0), k = means.dim(1), c = means.dim(3) / 2, taps = k * k * c;
  struct Half {
    const DGConv &to_stat, &to_struct;
    Var to_stat_weight, to_struct_weight;  // [C, k*k*C]
    Var means;                             // [N, k*k*C]
  };
  auto half = [&](const DGConv& to_stat, const DGConv& to_struct, int64_t begin) {
    return Half{to_stat, to_struct, reshape(to_stat.fused_weight(), {c, taps}),
                reshape(to_struct.fused_weight(), {c, taps}),
                reshape(slice(means, 3, begin, begin + c), {n, taps})};
  };
  Half s = half(stat_to_stat, stat_to_struct, 0), t = half(struct_to_stat, struct_to_struct, c);

  Var gate_stat = attend_stat.gate(concat(
      {linear(s.means, s.to_stat_weight, s.to_stat.bias), linear(t.means, t.to_stat_weight, t.to_stat.bias)},
      1));
  Var gate_struct = attend_struct.gate(concat({linear(s.means, s.to_struct_weight, s.to_struct.bias),
                                               linear(t.means, t.to_struct_weight, t.to_struct.bias)},
                                              1));
  auto gated = [&](const Attention& attend, const Var& gate) {  // U diag(g): [N,C,2C]
    return mul(reshape(attend.project_weight, {1, c, 2 * c}), reshape(gate, {n, 1, 2 * c}));
  };
  Var u_stat = gated(attend_stat, gate_stat), u_struct = gated(attend_struct, gate_struct);

  Var weight, offset = add(attend_stat.project_bias, attend_struct.project_bias);
  for (const Half* h : {&s, &t}) {
    int64_t begin = h == &s ? 0 : c;
    Var u =
        concat({slice(u_stat, 2, begin, begin + c), slice(u_struct, 2, begin, begin + c)}, 2);  // [N,C,2C]
    Var stacked = concat({h->to_stat_weight, h->to_struct_weight}, 0);                          // [2C, k*k*C]
    Var part = reshape(matmul(reshape(u, {n * c, 2 * c}), stacked), {n, c, k, k, c});
    weight = weight.defined() ? concat({weight, part}, 4) : part;
    Var biases = reshape(concat({h->to_stat.bias, h->to_struct.bias}, 0), {2 * c, 1});
    offset = add(offset, reshape(matmul(reshape(u, {n * c, 2 * c}), biases), {n, c}));
  }
  return {weight, offset};
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
