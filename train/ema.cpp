#include "train/ema.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace dgp {

void Ema::update(const std::vector<Var>& weights, int64_t updates) {
  check(weights.size() == averages_.size(), "Ema: ", averages_.size(), " averages of ", weights.size(),
        " weights");
  for (size_t i = 0; i < weights.size(); ++i) {
    check_same("Ema", weights[i].value(), averages_[i].value());
    if (weights[i].dtype() != DType::f32) averages_[i].value().copy_from(weights[i].value());
  }
  const double t = static_cast<double>(updates), d = std::min(decay_, (1 + t) / (10 + t));
  const AverageStep step{decay_ == 0 ? 1 : static_cast<float>(1 - d)};
  std::vector<UpdatePiece> pieces;
  bool on_gpu = false;
  for (const Piece& p : pieces_) {
    const Tensor &w = weights[p.tensor].value(), &a = averages_[p.tensor].value();
    if (w.dtype() != DType::f32) continue;
    on_gpu = a.device() == Device::cuda;
    pieces.push_back(
        {a.address<float>() + p.begin, w.address<float>() + p.begin, {}, p.end - p.begin, p.tensor, p.begin});
  }
  if (on_gpu) return cuda::update(step, pieces);
  parallel_for(static_cast<int64_t>(pieces.size()), 1,
               [&](int64_t c, int64_t) { cpu::update(step, pieces[static_cast<size_t>(c)]); });
}

}  // namespace dgp
