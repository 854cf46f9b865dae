#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dgp {

double learning_rate(const TrainConfig& config, int64_t iteration) {
  const auto& s = config.schedule;
  double lr = config.optimizer.lr, low = std::min(s.min_lr, lr);
  if (iteration < s.warmup) return lr * static_cast<double>(iteration + 1) / static_cast<double>(s.warmup);
  if (s.type == "multistep") {
    auto passed =
        std::count_if(s.milestones.begin(), s.milestones.end(), [&](int64_t m) { return m <= iteration; });
    return lr * std::pow(s.gamma, static_cast<double>(passed));
  }
  if (s.type == "constant") return lr;
  int64_t length = std::max<int64_t>(1, config.iterations - s.warmup);
  double t = std::clamp(static_cast<double>(iteration - s.warmup) / static_cast<double>(length), 0.0, 1.0);
  return low + (lr - low) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace dgp
