// The learning-rate range test (Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017): a
// short run whose rate rises from step to step by a constant factor. What is plotted is each step's loss
// divided by the untrained network's on the same batches: batches differ far more than rates do.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "train/config.h"

namespace dgp {

struct LrSweep {
  double low = 1e-6, high = 1;
  int64_t steps = 200;
};

struct LrFound {
  std::vector<double> rates, losses, smoothed;  // of each step; losses relative to the untrained network's
  double least = 0;                             // the rate where the smoothed loss is least
  double suggested = 0;   // a third of it: what learns fast but keeps a distance from where learning breaks
  bool diverged = false;  // the sweep ended early, the loss being far above its least
};

// Trains a fresh network; nothing is saved. `stop` ends the sweep early. Throws Error(numeric) when no rate
// lowered the loss.
LrFound find_learning_rate(const TrainConfig& config, const LrSweep& sweep = {},
                           const std::atomic<bool>* stop = nullptr);

std::string to_html(const LrFound& found, const TrainConfig& config);

}  // namespace dgp
