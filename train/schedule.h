// Learning rate schedules: linear warm-up, then constant, a step down at each milestone, or half a cosine
// (Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, without
// restarts).
#pragma once

#include "train/config.h"

namespace dgp {

// Half a cosine from `lr` at iteration 0 down to `low` at `iterations`.
double cosine(double lr, int64_t iteration, int64_t iterations, double low = 0);

// The rate of step `iteration` (the first is 0) of config.iterations:
//   warm-up     lr * (iteration + 1) / warmup                    while iteration < warmup
//   cosine      cosine(lr, iteration - warmup, iterations - warmup, min_lr)
//   multistep   lr * gamma ^ (number of milestones <= iteration)
//   constant    lr
double learning_rate(const TrainConfig& config, int64_t iteration);

}  // namespace dgp
