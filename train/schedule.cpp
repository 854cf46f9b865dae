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

namespace {

// As in BasicSR, iteration b, at which a period begins, still belongs to the period before.
double cosine_restart(const TrainConfig& config, int64_t iteration) {
  const auto& s = config.schedule;
  const double low = std::min(s.min_lr, config.optimizer.lr);
  int64_t begin = 0;
  for (size_t i = 0; i < s.periods.size(); begin += s.periods[i++])
    if (iteration <= begin + s.periods[i])
      return low + s.restart_weights.at(i) *
                       (cosine(config.optimizer.lr, iteration - begin, s.periods[i], low) - low);
  return low;
}

double one_cycle(const TrainConfig& config, int64_t iteration) {
  const auto& s = config.schedule;
  const double lr = config.optimizer.lr, first = lr / s.div_factor, last = first / s.final_div_factor;
  const auto steps = static_cast<double>(config.iterations - s.warmup),
             t = static_cast<double>(iteration - s.warmup);
  const double top = s.pct_start * steps - 1;
  auto between = [](double from, double to, double share) {
    return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
  };
  if (top > 0 && t <= top) return between(first, lr, t / top);
  return between(lr, last, std::min(1.0, (t - top) / std::max(1e-9, steps - 1 - top)));
}

double without_warmup(const TrainConfig& config, int64_t iteration) {
  const auto& s = config.schedule;
  const double lr = config.optimizer.lr;
  if (s.type == "constant") return lr;
  if (s.type == "cosine_restart") return cosine_restart(config, iteration);
  if (s.type == "onecycle") return one_cycle(config, iteration);
  if (s.type == "cosine")
    return cosine(lr, iteration - s.warmup, config.iterations - s.warmup, std::min(s.min_lr, lr));
  const auto passed =
      std::count_if(s.milestones.begin(), s.milestones.end(), [&](int64_t m) { return m <= iteration; });
  return lr * std::pow(s.gamma, static_cast<double>(passed));
}

}  // namespace

double learning_rate(const TrainConfig& config, int64_t iteration) {
  const auto warmup = static_cast<double>(config.schedule.warmup), next = static_cast<double>(iteration + 1);
  if (next > warmup) return without_warmup(config, iteration);
  const bool absolute = config.schedule.type == "cosine_restart" || config.schedule.type == "multistep";
  return without_warmup(config, absolute ? 0 : config.schedule.warmup) * next / warmup;
}

}  // namespace dgp
