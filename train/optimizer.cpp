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

namespace {

struct Coefficients {
  float rate, root, b1, c1, b2, c2, eps, scale, shrink, decay;
};

// By value and __restrict: a store to w, m or v could else change a coefficient or another array, and the
// compiler would have to go element by element.
void update_piece(const Coefficients k, const float* __restrict g, int64_t n, float* __restrict w,
                  float* __restrict m, float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    float wi = w[i] * k.shrink, gi = g[i] * k.scale + k.decay * wi;
    float mi = k.b1 * m[i] + k.c1 * gi, vi = k.b2 * v[i] + k.c2 * gi * gi;
    m[i] = mi, v[i] = vi;
    w[i] = wi - k.rate * mi / (std::sqrt(vi) / k.root + k.eps);
  }
}

void average_piece(const float share, const float* __restrict w, int64_t n, float* __restrict a) {
  for (int64_t i = 0; i < n; ++i) a[i] += share * (w[i] - a[i]);
}

}  // namespace

void Adam::step(double lr, double grad_scale) {
  ++steps;
  const auto& o = options_;
  double correction1 = 1 - std::pow(o.beta1, static_cast<double>(steps));
  double correction2 = 1 - std::pow(o.beta2, static_cast<double>(steps));
  auto single = [](double x) { return static_cast<float>(x); };
  const Coefficients k{single(lr / correction1),
                       single(std::sqrt(correction2)),
                       single(o.beta1),
                       single(1 - o.beta1),
                       single(o.beta2),
                       single(1 - o.beta2),
                       single(o.eps),
                       single(grad_scale),
                       single(o.decoupled ? 1 - lr * o.weight_decay : 1),
                       single(o.decoupled ? 0 : o.weight_decay)};
  parallel_for(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t c, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(c)];
    const Tensor& grad = parameters_[piece.tensor].grad();
    if (!grad.defined()) return;
    const float* g = grad.data<float>();
    float* w = parameters_[piece.tensor].value().data<float>();
    float *m = m_[piece.tensor].data<float>(), *v = v_[piece.tensor].data<float>();
    update_piece(k, g + piece.begin, piece.end - piece.begin, w + piece.begin, m + piece.begin,
                 v + piece.begin);
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
    average_piece(add, w + piece.begin, piece.end - piece.begin, a + piece.begin);
  });
}

}  // namespace dgp
