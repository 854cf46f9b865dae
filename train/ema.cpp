#include "train/ema.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {
namespace {

void average_piece(const float share, const float* __restrict w, int64_t n, float* __restrict a) {
  for (int64_t i = 0; i < n; ++i) a[i] += share * (w[i] - a[i]);
}

}  // namespace

void Ema::update(const std::vector<Var>& weights, int64_t updates) {
  check(weights.size() == averages_.size(), "Ema: ", averages_.size(), " averages of ", weights.size(),
        " weights");
  for (size_t i = 0; i < weights.size(); ++i) {
    check_same("Ema", weights[i].value(), averages_[i].value());
    if (weights[i].dtype() != DType::f32) averages_[i].value().copy_from(weights[i].value());
  }
  const double t = static_cast<double>(updates), d = std::min(decay_, (1 + t) / (10 + t));
  const auto share = static_cast<float>(1 - d);
  parallel_for(static_cast<int64_t>(pieces_.size()), 1, [&](int64_t c, int64_t) {
    const Piece& piece = pieces_[static_cast<size_t>(c)];
    if (weights[piece.tensor].dtype() != DType::f32) return;
    const float* w = weights[piece.tensor].value().data<float>();
    float* a = averages_[piece.tensor].value().data<float>();
    if (decay_ == 0)
      std::copy(w + piece.begin, w + piece.end, a + piece.begin);
    else
      average_piece(share, w + piece.begin, piece.end - piece.begin, a + piece.begin);
  });
}

}  // namespace dgp
