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

Optimizer::Optimizer(std::vector<Var> parameters, const std::vector<std::string>& slots)
    : parameters_(std::move(parameters)), pieces_(cut_into_pieces(parameters_)) {
  check(slots.size() <= std::size(Arrays{}.slot), "optimizer: at most ", std::size(Arrays{}.slot), " slots");
  for (const Var& p : parameters_)
    check(p.requires_grad() && p.dtype() == DType::f32, "optimizer: expects f32 parameters");
  for (const std::string& name : slots) {
    Slot& slot = slots_.emplace_back(Slot{name, {}});
    for (const Var& p : parameters_) slot.tensors.push_back(Tensor::zeros(p.shape()));
  }
}

double Optimizer::grad_norm() const {
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

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> all;
  for (const Var& p : parameters_)
    if (p.grad().defined()) all.push_back(p.grad());
  return all;
}

void Optimizer::step(double lr, double grad_scale) {
  ++steps;
  const auto update = plan(lr, grad_scale);
  parallel_for(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t c, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(c)];
    const Tensor& grad = parameters_[piece.tensor].grad();
    if (!grad.defined()) return;
    Arrays a{parameters_[piece.tensor].value().data<float>() + piece.begin,
             grad.data<float>() + piece.begin,
             {},
             piece.end - piece.begin,
             piece.tensor,
             piece.begin};
    for (size_t s = 0; s < slots_.size(); ++s)
      a.slot[s] = slots_[s].tensors[piece.tensor].data<float>() + piece.begin;
    update(a);
  });
}

void Optimizer::clear_gradients() {
  for (Var& p : parameters_) p.set_grad({});
}

}  // namespace dgp
