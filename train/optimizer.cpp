#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "tensor/parallel.h"

namespace dgp {

std::vector<Piece> cut_into_pieces(const std::vector<Var>& tensors) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i)
    for (int64_t begin = 0, n = tensors[i].value().numel(); begin < n; begin += kPointwiseGrain)
      pieces.push_back({i, begin, std::min(n, begin + kPointwiseGrain)});
  return pieces;
}

Adam::Adam(std::vector<Var> parameters, const AdamOptions& options)
    : parameters_(std::move(parameters)), options_(options), pieces_(cut_into_pieces(parameters_)) {
  for (const Var& p : parameters_) {
    check(p.requires_grad() && p.dtype() == DType::f32, "Adam: expects f32 parameters");
    m_.push_back(Tensor::zeros(p.shape()));
    v_.push_back(Tensor::zeros(p.shape()));
  }
}

double Adam::grad_norm() const {
  auto count = static_cast<int64_t>(pieces_.size());
  double sum = parallel_sum(count, 1, [&](int64_t c, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(c)];
    const Tensor& grad = parameters_[piece.tensor].grad();
    if (!grad.defined()) return 0.0;
    const float* g = grad.data<float>();
    double part = 0;
    for (int64_t i = piece.begin; i < piece.end; ++i) part += double{g[i]} * double{g[i]};
    return part;
  });
  return std::sqrt(sum);
}

void Adam::step(double lr, double grad_scale) {
  ++steps;
  const auto& o = options_;
  double correction1 = 1 - std::pow(o.beta1, static_cast<double>(steps));
  double correction2 = 1 - std::pow(o.beta2, static_cast<double>(steps));
  const auto rate = static_cast<float>(lr / correction1), root = static_cast<float>(std::sqrt(correction2));
  const auto b1 = static_cast<float>(o.beta1), c1 = static_cast<float>(1 - o.beta1);
  const auto b2 = static_cast<float>(o.beta2), c2 = static_cast<float>(1 - o.beta2);
  const auto eps = static_cast<float>(o.eps), scale = static_cast<float>(grad_scale);
  const auto shrink = static_cast<float>(o.decoupled ? 1 - lr * o.weight_decay : 1);
  const auto decay = static_cast<float>(o.decoupled ? 0 : o.weight_decay);
  parallel_for(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t c, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(c)];
    const Tensor& grad = parameters_[piece.tensor].grad();
    if (!grad.defined()) return;
    const float* g = grad.data<float>();
    float* w = parameters_[piece.tensor].value().data<float>();
    float *m = m_[piece.tensor].data<float>(), *v = v_[piece.tensor].data<float>();
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      float wi = w[i] * shrink, gi = g[i] * scale + decay * wi;
      m[i] = b1 * m[i] + c1 * gi;
      v[i] = b2 * v[i] + c2 * gi * gi;
      w[i] = wi - rate * m[i] / (std::sqrt(v[i]) / root + eps);
    }
  });
}

void Adam::clear_gradients() {
  for (Var& p : parameters_) p.set_grad({});
}

Ema::Ema(std::vector<Var> parameters, std::vector<Var> averages, double decay)
    : parameters_(std::move(parameters)),
      averages_(std::move(averages)),
      decay_(decay),
      pieces_(cut_into_pieces(parameters_)) {
  check(parameters_.size() == averages_.size(), "Ema: as many averages as parameters");
  for (size_t i = 0; i < parameters_.size(); ++i)
    check_same("Ema", parameters_[i].value(), averages_[i].value());
}

void Ema::update(int64_t updates) {
  double t = static_cast<double>(updates), d = std::min(decay_, (1 + t) / (10 + t));
  const auto add = static_cast<float>(1 - d);
  parallel_for(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t c, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(c)];
    const float* w = parameters_[piece.tensor].value().data<float>();
    float* a = averages_[piece.tensor].value().data<float>();
    if (decay_ == 0) {
      std::copy(w + piece.begin, w + piece.end, a + piece.begin);
      return;
    }
    for (int64_t i = piece.begin; i < piece.end; ++i) a[i] += add * (w[i] - a[i]);
  });
}

}  // namespace dgp
