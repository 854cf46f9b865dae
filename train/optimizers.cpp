// The optimisers that the configuration knows by name. With gradient g, step count t, rate lr:
//   Adam, AdamW (Kingma and Ba, ICLR 2015; Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
//   ICLR 2019), with PyTorch's formulas:
//     Adam: g += decay w      AdamW: w *= 1 - lr decay
//     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
//     w -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
//   SGD, PyTorch's: g += decay w;  m = momentum m + g;  w -= lr (nesterov ? g + momentum m : m)
//   Adan (Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", TPAMI 2024), its authors' formulas; with
//   d = g - the gradient before (0 at the first step):
//     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) d,  n = b3 n + (1 - b3) (g + b2 d)^2
//     w = (w - lr (m / (1 - b1^t) + b2 v / (1 - b2^t)) / (sqrt(n / (1 - b3^t)) + eps)) / (1 + lr decay)
//   schedule-free AdamW (Defazio et al., "The Road Less Scheduled", NeurIPS 2024), its authors' formulas; the
//   parameters are at y, z is where plain AdamW would be, x their average, which is what gets used:
//     c = lr_max^2 / (sum of lr_max^2 so far), v = b2 v + (1 - b2) g^2
//     u = g / (sqrt(v / (1 - b2^t)) + eps) + decay y
//     y += c (z - y) + lr (b1 (1 - c) - 1) u,  z -= lr u,  x = y + (1 - 1 / b1) (z - y)
#include <algorithm>
#include <cmath>

#include "train/optimizer.h"

namespace dgp {
namespace {

float single(double x) { return static_cast<float>(x); }
double unbias(double beta, int64_t steps) { return 1 - std::pow(beta, static_cast<double>(steps)); }

class Sgd : public Optimizer {
 public:
  Sgd(std::vector<Var> parameters, const Options& options)
      : Optimizer(std::move(parameters), {"momentum"}), o_(options) {}

 protected:
  Update plan(double lr, double grad_scale) override {
    const double momentum = o_.at("momentum");
    const bool nesterov = o_.at("nesterov") != 0;
    const SgdStep k{single(lr),
                    single(momentum),
                    nesterov ? 1.0F : 0.0F,
                    single(nesterov ? momentum : 1),
                    single(grad_scale),
                    single(o_.at("weight_decay"))};
    return Update::of(k);
  }

 private:
  Options o_;
};

class Adan : public Optimizer {
 public:
  Adan(std::vector<Var> parameters, const Options& options)
      : Optimizer(std::move(parameters), {"m", "difference", "square", "gradient"}), o_(options) {}

 protected:
  Update plan(double lr, double grad_scale) override {
    const double b1 = o_.at("beta1"), b2 = o_.at("beta2"), b3 = o_.at("beta3");
    const AdanStep k{single(lr / unbias(b1, steps)),
                     single(lr * b2 / unbias(b2, steps)),
                     single(std::sqrt(unbias(b3, steps))),
                     single(b1),
                     single(1 - b1),
                     single(b2),
                     single(1 - b2),
                     single(b3),
                     single(1 - b3),
                     single(o_.at("eps")),
                     single(grad_scale),
                     single(1 / (1 + lr * o_.at("weight_decay"))),
                     steps == 1 ? 0.0F : 1.0F};
    return Update::of(k);
  }

 private:
  Options o_;
};

class ScheduleFree : public Optimizer {
 public:
  ScheduleFree(std::vector<Var> parameters, const Options& options)
      : Optimizer(std::move(parameters), {"z", "v"}), o_(options) {
    numbers = {0, 0};  // sum of lr_max^2; lr_max
    derived_.push_back({"x", {}});
    for (size_t i = 0; i < parameters_.size(); ++i) {
      slots_[0].tensors[i].copy_from(parameters_[i].value());
      x_.emplace_back(parameters_[i].value().clone());
      derived_[0].tensors.push_back(x_[i].value());
    }
  }
  const std::vector<Var>& evaluated() const override { return x_; }

 protected:
  Update plan(double lr, double grad_scale) override {
    const double b1 = o_.at("beta1"), b2 = o_.at("beta2");
    double &sum = numbers.at(0), &highest = numbers.at(1);
    highest = std::max(highest, lr);
    sum += highest * highest;
    const double c = sum > 0 ? highest * highest / sum : 0;
    const FreeStep k{single(c),
                     single(lr * (b1 * (1 - c) - 1)),
                     single(lr),
                     single(std::sqrt(unbias(b2, steps))),
                     single(b2),
                     single(1 - b2),
                     single(o_.at("eps")),
                     single(grad_scale),
                     single(o_.at("weight_decay")),
                     single(1 - 1 / b1)};
    return Update::of(k);
  }

 private:
  Options o_;
  std::vector<Var> x_;
};

template <class T>
std::unique_ptr<Optimizer> make(std::vector<Var> parameters, const Options& options) {
  return std::make_unique<T>(std::move(parameters), options);
}

template <bool decoupled>
std::unique_ptr<Optimizer> make_adam(std::vector<Var> parameters, const Options& o) {
  return std::make_unique<Adam>(std::move(parameters), AdamOptions{o.at("beta1"), o.at("beta2"), o.at("eps"),
                                                                   o.at("weight_decay"), decoupled});
}

std::vector<OptimizerKind> own_optimizers() {
  const OptionSpec eps{"eps", 1e-8, 1e-20, 1}, decay{"weight_decay", 0, 0, 10};
  auto beta = [](const char* name, double value, double low = 0) {
    return OptionSpec{name, value, low, 0.999999};
  };
  return {
      {"adam", {beta("beta1", 0.9), beta("beta2", 0.99), eps, decay}, make_adam<false>},
      {"adamw", {beta("beta1", 0.9), beta("beta2", 0.99), eps, decay}, make_adam<true>},
      {"sgd", {{"momentum", 0.9, 0, 0.999999}, {"nesterov", 0, 0, 1, true, true}, decay}, make<Sgd>},
      {"adan", {beta("beta1", 0.98), beta("beta2", 0.92), beta("beta3", 0.99), eps, decay}, make<Adan>},
      {"schedulefree", {beta("beta1", 0.9, 0.01), beta("beta2", 0.999), eps, decay}, make<ScheduleFree>},
  };
}

}  // namespace

Registry<OptimizerKind>& optimizers() {
  static Registry<OptimizerKind> all(own_optimizers());
  return all;
}

Adam::Adam(std::vector<Var> parameters, const AdamOptions& options)
    : Optimizer(std::move(parameters), {"m", "v"}), options_(options) {}

Optimizer::Update Adam::plan(double lr, double grad_scale) {
  const auto& o = options_;
  const AdamStep k{single(lr / unbias(o.beta1, steps)),
                   single(std::sqrt(unbias(o.beta2, steps))),
                   single(o.beta1),
                   single(1 - o.beta1),
                   single(o.beta2),
                   single(1 - o.beta2),
                   single(o.eps),
                   single(grad_scale),
                   single(o.decoupled ? 1 - lr * o.weight_decay : 1),
                   single(o.decoupled ? 0 : o.weight_decay)};
  return Update::of(k);
}

}  // namespace dgp
