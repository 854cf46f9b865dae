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

namespace dgp {

namespace {
Var parameter(const Shape& shape, int64_t fan_in,
              const Rng& rng) {  // PyTorch's default for linear and 1x1 layers
  return Var(uniform_tensor(shape, 1 / std::sqrt(static_cast<double>(fan_in)), rng), true);
}

template <class T>
std::vector<const T*> those_there(std::initializer_list<const std::optional<T>*> parts) {
  std::vector<const T*> there;
  for (const std::optional<T>* part : parts)
    if (*part) there.push_back(&**part);
  return there;
}

Var biases_of(const std::vector<const DGConv*>& convs) {
  std::vector<Var> biases;
  for (const DGConv* conv : convs) biases.push_back(conv->bias);
  return concat(biases, 0);
}
}  // namespace

Attention::Attention(int64_t inputs, int64_t channels, const Rng& rng, bool gated) {
  if (gated) {
    int64_t hidden = std::max<int64_t>(4, inputs / 8);
    squeeze_weight = parameter({hidden, inputs}, inputs, rng.split(0));
    squeeze_bias = parameter({hidden}, inputs, rng.split(1));
    excite_weight = parameter({inputs, hidden}, hidden, rng.split(2));
    excite_bias = parameter({inputs}, hidden, rng.split(3));
  }
  project_weight = parameter({channels, 1, 1, inputs}, inputs, rng.split(4));
  project_bias = parameter({channels}, inputs, rng.split(5));
}

Var Attention::gate(const Var& mean) const {
  if (!gated()) return Tensor::full(mean.shape(), 1, mean.dtype(), mean.value().device());
  Var hidden = relu(linear(mean, squeeze_weight, squeeze_bias));
  return sigmoid(linear(hidden, excite_weight, excite_bias));
}

Var Attention::operator()(const Var& z) const {
  if (!gated()) return conv2d(z, project_weight, project_bias);
  Var g = gate(global_average_pool(z));
  return conv2d(mul(z, reshape(g, {z.dim(0), 1, 1, z.dim(3)})), project_weight, project_bias);
}

void Attention::visit(const Visitor& visitor, const std::string& prefix) {
  if (gated()) {
    visitor(prefix + ".squeeze.weight", squeeze_weight);
    visitor(prefix + ".squeeze.bias", squeeze_bias);
    visitor(prefix + ".excite.weight", excite_weight);
    visitor(prefix + ".excite.bias", excite_bias);
  }
  visitor(prefix + ".project.weight", project_weight);
  visitor(prefix + ".project.bias", project_bias);
}

AIIBlock::AIIBlock(int64_t c, int64_t k, const Rng& rng, bool deploy, const Without& without) {
  const auto has = [&](Part part) { return !without.contains(part); };
  const bool stat = has(Part::statistical), structure = has(Part::structural);
  const bool crossed = stat && structure && has(Part::interaction);
  check(stat || structure, "AIIBlock: expects one of its branches, statistical or structural");
  auto add_conv = [&](bool there, std::optional<DGConv>& conv, const std::vector<Operator>& operators,
                      uint64_t stream) {
    if (there)
      conv.emplace(c, c, k, operators_left(operators, without), rng.split(stream), deploy,
                   has(Part::balance));
  };
  auto add_attention = [&](bool there, std::optional<Attention>& attend, uint64_t stream) {
    if (there) attend.emplace(crossed ? 2 * c : c, c, rng.split(stream), has(Part::attention));
  };
  add_conv(stat, statistical, kStatisticalOperators, 0);
  add_conv(structure, structural, kStructuralOperators, 1);
  add_conv(stat, stat_to_stat, kAllOperators, 2);
  add_conv(crossed, stat_to_struct, kAllOperators, 3);
  add_conv(crossed, struct_to_stat, kAllOperators, 4);
  add_conv(structure, struct_to_struct, kAllOperators, 5);
  add_attention(stat, attend_stat, 6);
  add_attention(structure, attend_struct, 7);
}

ConvWeights AIIBlock::first() const {
  const auto convs = those_there({&statistical, &structural});
  return {fused_weights(convs), biases_of(convs)};
}

// With z = [A s; B t] + [a; b] (two convolutions and their biases), gates g and projection U = [U_A, U_B]:
//   project(z * g) = (U_A diag(g_A) A) s + (U_B diag(g_B) B) t + U (g * [a; b]) + bias,
// and both attentions read s through a kernel each and t likewise, so each half of h = [s, t] meets one
// kernel: [U_A diag(g_A) for stat, for struct] [A_stat; A_struct], a matrix product per image.
// Below, H halves of h (2; 1 with one branch) are read by M attentions each (2; 1 without interaction, where
// an attention reads the half of its own branch).
ConvWeights AIIBlock::second(const Var& means) const {
  const auto convs = those_there({&stat_to_stat, &stat_to_struct, &struct_to_stat, &struct_to_struct});
  const auto attentions = those_there({&attend_stat, &attend_struct});
  const auto halves = static_cast<int64_t>(attentions.size());
  const int64_t n = means.dim(0), k = means.dim(1), c = means.dim(3) / halves, taps = k * k * c;
  const int64_t m = static_cast<int64_t>(convs.size()) / halves * c;
  const bool reads_all = m == halves * c;
  // Of each half the kernels and biases that read it, for stat and for struct: [H, MC, ...].
  Var kernels = fused_weights(convs), biases = reshape(biases_of(convs), {halves, 1, m});

  std::vector<Var> of_halves;
  for (int64_t h = 0; h < halves; ++h)
    of_halves.push_back(reshape(slice(means, 3, h * c, (h + 1) * c), {1, n, taps}));
  Var z = add(matmul(concat(of_halves, 0), reshape(kernels, {halves, m, taps}), {.transpose_b = true}),
              biases);  // [H, N, MC]: what s and what t contribute to the means of the attentions

  std::vector<Var> gates, projections;
  Var bias;
  for (int64_t a = 0; a < halves; ++a) {
    const Attention& attend = *attentions[static_cast<size_t>(a)];
    const int64_t at = reads_all ? a * c : 0, first = reads_all ? 0 : a, reads = reads_all ? halves : 1;
    std::vector<Var> parts;
    for (int64_t h = first; h < first + reads; ++h)
      parts.push_back(reshape(slice(slice(z, 0, h, h + 1), 2, at, at + c), {n, c}));
    gates.push_back(reshape(attend.gate(concat(parts, 1)), {n, reads, c}));
    projections.push_back(reshape(attend.project_weight, {c, reads, c}));
    bias = bias.defined() ? add(bias, attend.project_bias) : attend.project_bias;
  }
  const int axis = reads_all ? 2 : 1;
  // U diag(g): [N, C, H, MC]
  Var u = mul(reshape(concat(projections, axis), {1, c, halves, m}),
              reshape(concat(gates, axis), {n, 1, halves, m}));

  Var offset = matmul(reshape(u, {n * c, halves * m}), reshape(biases, {halves * m, 1}));
  return {fold_kernels(u, reshape(kernels, {halves, m, k, k, c})), add(reshape(offset, {n, c}), bias)};
}

Var AIIBlock::operator()(const Var& x, Form form) const {
  if (form == Form::folded) {
    ConvWeights w1 = first();
    int64_t k = w1.weight.dim(1);
    auto [h, means] = conv2d_window_means(
        x, w1.weight, w1.bias, {.padding = k / 2, .activation = Activation::leaky_relu, .slope = kLeakySlope},
        k);
    ConvWeights w2 = second(means);
    return conv2d(h, w2.weight, w2.bias, {.padding = k / 2}, x);
  }
  auto run = [&](const DGConv& conv, const Var& input) {
    return form == Form::parallel ? conv.parallel(input) : conv(input);
  };
  Var s, t, y = x;
  if (statistical) s = leaky_relu(run(*statistical, x), kLeakySlope);
  if (structural) t = leaky_relu(run(*structural, x), kLeakySlope);
  auto add_attended = [&](const std::optional<Attention>& attend, const std::optional<DGConv>& from_stat,
                          const std::optional<DGConv>& from_struct) {
    std::vector<Var> z;
    if (from_stat) z.push_back(run(*from_stat, s));
    if (from_struct) z.push_back(run(*from_struct, t));
    if (attend) y = add(y, (*attend)(concat(z, 3)));
  };
  add_attended(attend_stat, stat_to_stat, struct_to_stat);
  add_attended(attend_struct, stat_to_struct, struct_to_struct);
  return y;
}

void AIIBlock::visit(const Visitor& visitor, const std::string& prefix) {
  auto visit = [&](auto& part, const char* name) {
    if (part) part->visit(visitor, prefix + name);
  };
  visit(statistical, ".statistical");
  visit(structural, ".structural");
  visit(stat_to_stat, ".stat_to_stat");
  visit(stat_to_struct, ".stat_to_struct");
  visit(struct_to_stat, ".struct_to_stat");
  visit(struct_to_struct, ".struct_to_struct");
  visit(attend_stat, ".attend_stat");
  visit(attend_struct, ".attend_struct");
}

}  // namespace dgp
