// What learns: a network, the average of its weights, the loss, the optimiser. One step at a time on batches
// that the caller provides; train/trainer.h is the loop around it.
#pragma once

#include <functional>
#include <memory>

#include "train/checkpoint.h"
#include "train/data.h"
#include "train/ema.h"
#include "train/network.h"

namespace dgp {

struct StepResult {
  double loss = 0, norm = 0;       // mean over the step's batches; of the gradient
  std::vector<double> parts = {};  // the weighted terms that `loss` is the sum of
  bool sound = false;              // false: loss or gradient was not finite, and nothing was changed
};

class Learner {
 public:
  explicit Learner(const TrainConfig& config);

  // One step at rate `lr` on config.accumulate batches, each taken from `next`, all of them in any case.
  StepResult step(const std::function<Batch()>& next, double lr);

  Network& network() { return *network_; }
  Network& average() { return *average_; }  // the weights to validate and to save
  const std::vector<std::string>& terms() const { return loss_.names(); }
  TrainState state();  // what a checkpoint keeps

 private:
  void backpropagate(const Batch& batch, StepResult& result);
  std::vector<Var> evaluated() const;  // what the average is of: every parameter and buffer

  const TrainConfig config_;
  Loss loss_;
  std::unique_ptr<Network> network_, average_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Ema> ema_;
};

}  // namespace dgp
