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
  for (const Var& p : parameters_) {
    check(p.requires_grad() && p.dtype() == DType::f32, "optimizer: expects f32 parameters");
    check(p.value().device() == parameters_[0].value().device(),
          "optimizer: expects all parameters on one device");
  }
  for (const std::string& name : slots) {
    Slot& slot = slots_.emplace_back(Slot{name, {}});
    for (const Var& p : parameters_)
      slot.tensors.push_back(Tensor::zeros(p.shape(), DType::f32, p.value().device()));
  }
}

Optimizer::Arrays Optimizer::arrays(const Piece& piece) const {
  const Var& p = parameters_[piece.tensor];
  Arrays a{p.value().address<float>() + piece.begin,
           p.grad().address<float>() + piece.begin,
           {},
           piece.end - piece.begin,
           piece.tensor,
           piece.begin};
  size_t s = 0;
  for (const auto* slots : {&slots_, &derived_})
    for (const Slot& slot : *slots) a.slot[s++] = slot.tensors[piece.tensor].address<float>() + piece.begin;
  return a;
}

std::vector<Optimizer::Arrays> Optimizer::with_gradients() const {
  std::vector<Arrays> all;
  for (const Piece& piece : pieces_)
    if (parameters_[piece.tensor].grad().defined()) all.push_back(arrays(piece));
  return all;
}

double Optimizer::grad_norm() const {
  if (on_gpu()) return std::sqrt(cuda::sum_of_squares(with_gradients()));
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
  const Update update = plan(lr, grad_scale);
  const std::vector<Arrays> pieces = with_gradients();
  if (on_gpu()) {
    check(update.on_gpu != nullptr, "optimizer: this method has no update for the GPU; train on the CPU");
    return update.on_gpu(pieces);
  }
  parallel_for(static_cast<int64_t>(pieces.size()), 1,
               [&](int64_t c, int64_t) { update.piece(pieces[static_cast<size_t>(c)]); });
}

void Optimizer::clear_gradients() {
  for (Var& p : parameters_) p.set_grad({});
}

}  // namespace dgp
