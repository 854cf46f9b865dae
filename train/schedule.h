// Learning rate schedules: linear warm-up, then constant, a step down at each milestone, half a cosine,
// several of them with restarts (Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm
// Restarts", ICLR 2017), or one cycle up and down (Smith and Topin, "Super-Convergence", 2018).
#pragma once

#include "train/config.h"

namespace dgp {

// Half a cosine from `lr` at iteration 0 down to `low` at `iterations`.
double cosine(double lr, int64_t iteration, int64_t iterations, double low = 0);

// The rate of step `iteration` (the first is 0) of config.iterations. During the warm-up it rises in a
// straight line to what the schedule begins with: begin * (iteration + 1) / warmup. Then:
//   constant        lr
//   multistep       lr * gamma ^ (number of milestones <= iteration)
//   cosine          cosine(lr, iteration - warmup, iterations - warmup, min_lr)
//   cosine_restart  BasicSR's CosineAnnealingRestartLR: in the i-th period, which began at iteration b,
//                   min_lr + weight_i (lr - min_lr) (1 + cos(pi (iteration - b) / period_i)) / 2
//   onecycle        PyTorch's OneCycleLR over iterations - warmup: by half a cosine from lr / div_factor up
//   to
//                   lr in the first pct_start of them, down to lr / div_factor / final_div_factor in the rest
double learning_rate(const TrainConfig& config, int64_t iteration);

}  // namespace dgp
