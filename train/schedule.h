// Learning rate schedules: linear warm-up, then constant, a step down at each milestone, or half a cosine
// (Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, without
// restarts).
#pragma once

#include "train/config.h"

namespace dgp {

// The rate of step `iteration` (the first is 0) of config.iterations:
//   warm-up    lr * (iteration + 1) / warmup                    while iteration < warmup
//   cosine     min_lr + (lr - min_lr) * (1 + cos(pi * t)) / 2,  t = (iteration - warmup) / (iterations -
//   warmup) multistep  lr * gamma ^ (number of milestones <= iteration) constant   lr
double learning_rate(const TrainConfig& config, int64_t iteration);

}  // namespace dgp
