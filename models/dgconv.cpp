#include "models/dgconv.h"

#include <cmath>

#include "models/fused_weights.h"
#include "models/initialise.h"
#include "ops/conv2d.h"
#include "ops/linear.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/reshape.h"
#include "ops/slice.h"

namespace dgp {

namespace {
constexpr int64_t kBalanceHidden = 16;
}

DGConv::DGConv(int64_t inputs, int64_t outputs, int64_t k, const std::vector<Operator>& operators_,
               const Rng& rng, bool deploy, bool balance)
    : operators(operators_), bias(Tensor::zeros({outputs}), true) {
  if (deploy) {
    weight = Var(Tensor::zeros({outputs, k, k, inputs}), true);
    return;
  }
  auto n = static_cast<int64_t>(operators.size());
  double bound = he_bound(inputs * k * k) / std::sqrt(static_cast<double>(n));
  for (size_t j = 0; j < operators.size(); ++j) {
    raw.emplace_back(uniform_tensor({outputs, k, k, inputs}, bound, rng.split(j)), true);
    if (operators[j] == Operator::idg)
      idg_location = Var(random_taps(outputs, inputs, k * k, rng.split(100)));
  }
  if (!balance) return;
  double fc1_bound = 1 / std::sqrt(static_cast<double>(n * k * k));
  fc1_weight = Var(uniform_tensor({kBalanceHidden, n * k * k}, fc1_bound, rng.split(101)), true);
  fc1_bias = Var(uniform_tensor({kBalanceHidden}, fc1_bound, rng.split(102)), true);
  fc2_weight = Var(Tensor::zeros({n, kBalanceHidden}), true);
  fc2_bias = Var(Tensor::zeros({n}), true);
}

Var DGConv::kernels() const {
  check(!deploy(), "DGConv: the deploy form has one fused kernel and no operator kernels");
  return operator_kernels(raw, operators, idg_location.value());
}

Var DGConv::balance_factors(const Var& kernels) const {
  if (!balanced()) return Tensor::full({kernels.dim(0)}, 1, kernels.dtype(), kernels.value().device());
  Var d = kernel_rms(kernels);
  d = div(d, add(mean(d), 1e-8));
  Var hidden = relu(linear(reshape(d, {1, -1}), fc1_weight, fc1_bias));
  Var alpha = mul(sigmoid(linear(hidden, fc2_weight, fc2_bias)), 2.0);
  return reshape(alpha, {-1});
}

Var DGConv::fused_weight() const { return deploy() ? weight : fused_weights({this}); }

Var DGConv::operator()(const Var& x) const {
  if (on_input) on_input(x);
  Var w = fused_weight();
  return conv2d(x, w, bias, {.padding = w.dim(1) / 2});
}

Var DGConv::parallel(const Var& x) const {
  if (deploy()) return (*this)(x);
  if (on_input) on_input(x);
  Var w = kernels(), alpha = balance_factors(w), y;
  const Shape& s = w.shape();
  for (int64_t j = 0; j < s[0]; ++j) {
    Var kernel = reshape(slice(w, 0, j, j + 1), {s[1], s[2], s[3], s[4]});
    Var part = mul(conv2d(x, kernel, {}, {.padding = s[2] / 2}), slice(alpha, 0, j, j + 1));
    y = y.defined() ? add(y, part) : part;
  }
  return add(y, bias);
}

void DGConv::fuse() {
  if (deploy()) return;
  weight = Var(fused_weight().value(), true);
  raw.clear();
  for (Var* v : {&idg_location, &fc1_weight, &fc1_bias, &fc2_weight, &fc2_bias}) *v = {};
}

void DGConv::visit(const Visitor& visitor, const std::string& prefix) {
  if (deploy()) {
    visitor(prefix + ".weight", weight);
    visitor(prefix + ".bias", bias);
    return;
  }
  for (size_t j = 0; j < operators.size(); ++j)
    visitor(prefix + ".weight." + to_string(operators[j]), raw[j]);
  visitor(prefix + ".bias", bias);
  if (idg_location.defined()) visitor(prefix + ".idg_location", idg_location);
  if (!balanced()) return;
  visitor(prefix + ".balance.0.weight", fc1_weight);
  visitor(prefix + ".balance.0.bias", fc1_bias);
  visitor(prefix + ".balance.2.weight", fc2_weight);
  visitor(prefix + ".balance.2.bias", fc2_bias);
}

}  // namespace dgp
