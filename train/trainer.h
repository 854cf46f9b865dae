// The training loop. Everything a program shows or decides goes through hooks: the library prints nothing and
// handles no signals.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "train/config.h"
#include "train/data.h"
#include "train/ranks.h"

namespace dgp {

struct TrainProgress {
  int64_t iteration = 0, iterations = 0;
  double loss = 0;                                         // mean since the last line of the log
  std::vector<std::pair<std::string, double>> terms = {};  // the weighted terms it is the sum of
  double lr = 0, rate = 0, waiting = 0;  // learning rate, iterations a second, share of time without data
  double communicating = 0;              // share of time spent on other ranks, waiting for slower ones too
  int ranks = 1;
  int64_t skipped = 0;    // steps, so far
  double loss_scale = 0;  // 0: none (train/loss_scale.h)
  double best = 0, seconds_left = 0;
  int64_t memory = 0;                     // bytes this process holds
  bool has_best = false, logged = false;  // logged: this is a line of the log
};
std::string to_text(const TrainProgress& progress, const std::string& best_name);
std::string time_text(double seconds);  // "2d 03h", "1h 05m", "4m 07s", "9s": two units at most

struct TrainHooks {
  Ranks* ranks = nullptr;                              // those that train as one; none: this process alone
  std::function<void(const std::string&)> message;     // things to tell: resumed, validated, step skipped
  std::function<void(const TrainProgress&)> progress;  // after every iteration
  std::function<void(int64_t iteration, Batch&)> on_batch;  // may change a batch before it is used
  const std::atomic<bool>* stop = nullptr;                  // set it to save and return early
};

struct TrainResult {
  int64_t iteration = 0, skipped = 0;
  double best = 0;
  bool interrupted = false, has_best = false;
};

// Trains until config.iterations or hooks.stop. The run folder then holds best.safetensors and
// last.safetensors (averaged weights), checkpoints, logs and report.html. With `resume`, goes on from the
// newest sound checkpoint to the same bits an uninterrupted run would reach, or begins when there is none.
// Several ranks share every batch; only the first touches the run folder, and calls message and progress.
// Each looks at its own hooks.stop, and all of them stop after the same step.
// Throws Error(numeric) after ten steps in a row that were not finite, in f16 of those that a lower loss
// scale could not help; the last checkpoint stays as it was. Throws Error(limit) when config.device is not
// there; nothing is written then.
TrainResult train(const TrainConfig& config, const TrainHooks& hooks = {}, bool resume = false);

}  // namespace dgp
