#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dgp {

double cosine(double lr, int64_t iteration, int64_t iterations, double low) {
  double length = static_cast<double>(std::max<int64_t>(1, iterations));
  double t = std::clamp(static_cast<double>(iteration) / length, 0.0, 1.0);
  return low + (lr - low) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

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
  return cosine(lr, iteration - s.warmup, config.iterations - s.warmup, low);
}

}  // namespace dgp
