// Losses, z the discriminator's value of a pixel, each a mean over all of them:
//   vanilla  generator softplus(-z);  real softplus(-z), fake softplus(z)     (cross entropy of sigmoid(z))
//   lsgan    generator (z - 1)^2;     real (z - 1)^2,    fake z^2             (Mao et al., ICCV 2017)
//   hinge    generator -z;            real relu(1 - z),  fake relu(1 + z)     (Lim and Ye, 2017)
#include "train/discriminator.h"

#include <cmath>

#include "models/initialise.h"
#include "ops/conv2d.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/resize.h"
#include "ops/spectral_norm.h"

namespace dgp {
namespace {

constexpr double kSlope = 0.2;

// log(1 + e^x), without overflow; its slope at 0 comes out as 1/2.
Var softplus(const Var& x) {
  Var size = abs(x);
  return add(mul(add(x, size), 0.5), log(add(exp(neg(size)), 1)));
}

Tensor unit_vector(const Shape& shape, Rng rng) {
  Tensor t(shape);
  double sum = 0;
  for (int64_t i = 0; i < t.numel(); ++i) {
    t.data<float>()[i] = static_cast<float>(rng.normal());
    sum += double{t.data<float>()[i]} * double{t.data<float>()[i]};
  }
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] /= static_cast<float>(std::sqrt(sum));
  return t;
}

Var twice(const Var& x) { return resize(x, 2 * x.dim(1), 2 * x.dim(2)); }

}  // namespace

Discriminator::Discriminator(int64_t n, const Rng& rng) {
  struct Size {
    int64_t in, out, k;
  };
  const Size sizes[] = {{3, n, 3},         {n, 2 * n, 4},     {2 * n, 4 * n, 4}, {4 * n, 8 * n, 4},
                        {8 * n, 4 * n, 3}, {4 * n, 2 * n, 3}, {2 * n, n, 3},     {n, n, 3},
                        {n, n, 3},         {n, 1, 3}};
  for (size_t i = 0; i < std::size(sizes); ++i) {
    const Size& s = sizes[i];
    const Rng draw = rng.split(i);
    // PyTorch's default for convolutions: uniform within 1 / sqrt(fan in), weights and biases.
    const double bound = 1 / std::sqrt(static_cast<double>(s.in * s.k * s.k));
    Layer& layer = layers_.emplace_back();
    layer.weight = Var(uniform_tensor({s.out, s.k, s.k, s.in}, bound, draw.split(0)), true);
    if (i == 0 || i + 1 == std::size(sizes)) {
      layer.bias = Var(uniform_tensor({s.out}, bound, draw.split(1)), true);
    } else {
      layer.u = Var(unit_vector({s.out}, draw.split(2)));
      layer.v = Var(unit_vector({1, s.k, s.k, s.in}, draw.split(3)));
    }
  }
}

Var Discriminator::run(const Var& x, size_t index, int64_t stride, bool constant) {
  const Layer& layer = layers_[index];
  auto own = [&](const Var& v) { return constant && v.defined() ? v.detach() : v; };
  Var weight = own(layer.weight);
  if (layer.u.defined()) weight = spectral_norm(weight, layer.u.value(), layer.v.value(), true);
  const bool last = index + 1 == layers_.size();
  return conv2d(x, weight, own(layer.bias),
                {.stride = stride,
                 .padding = 1,
                 .activation = last ? Activation::none : Activation::leaky_relu,
                 .slope = kSlope});
}

Var Discriminator::operator()(const Var& x, bool constant) {
  check_rank("discriminator", "input", x.value(), 4);
  check(x.dim(1) % 8 == 0 && x.dim(2) % 8 == 0,
        "discriminator: expects height and width divisible by 8, got ", to_string(x.shape()));
  Var x0 = run(x, 0, 1, constant), x1 = run(x0, 1, 2, constant), x2 = run(x1, 2, 2, constant);
  Var x3 = run(x2, 3, 2, constant);
  Var y = add(run(twice(x3), 4, 1, constant), x2);
  y = add(run(twice(y), 5, 1, constant), x1);
  y = add(run(twice(y), 6, 1, constant), x0);
  for (size_t i = 7; i < 10; ++i) y = run(y, i, 1, constant);
  return y;
}

void Discriminator::visit(const Visitor& visitor) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string name = "conv" + std::to_string(i) + ".";
    Layer& layer = layers_[i];
    visitor(name + (layer.u.defined() ? "weight_orig" : "weight"), layer.weight);
    if (layer.bias.defined()) visitor(name + "bias", layer.bias);
    if (!layer.u.defined()) continue;
    visitor(name + "weight_u", layer.u);
    visitor(name + "weight_v", layer.v);
  }
}

Var generator_loss(const std::string& type, const Var& fake) {
  return type == "hinge" ? neg(mean(fake)) : real_loss(type, fake);
}

Var real_loss(const std::string& type, const Var& real) {
  if (type == "vanilla") return mean(softplus(neg(real)));
  if (type == "lsgan") return mean(square(add(real, -1)));
  return mean(relu(add(neg(real), 1)));
}

Var fake_loss(const std::string& type, const Var& fake) {
  if (type == "vanilla") return mean(softplus(fake));
  if (type == "lsgan") return mean(square(fake));
  return mean(relu(add(fake, 1)));
}

}  // namespace dgp
