// What learns: a network, the average of its weights, the loss, the optimiser; in adversarial training a
// discriminator and its optimiser as well. All of it is on the device that the configuration names, and so is
// every step; batches, which the caller provides, come in the CPU's memory. train/trainer.h is the loop
// around it.
//
// Where several ranks train as one, each takes its part of every batch, and the loss and gradients of a step
// are the sums over ranks of each part's mean times its share of the batch: those of the whole batch, for
// every loss that is a mean over samples. All that follows is the same in every rank.
#pragma once

#include <functional>
#include <memory>

#include "tensor/cuda_math.h"
#include "train/checkpoint.h"
#include "train/data.h"
#include "train/discriminator.h"
#include "train/ema.h"
#include "train/network.h"
#include "train/ranks.h"

namespace dgp {

struct StepResult {
  double loss = 0, norm = 0;       // mean over the step's batches; of the gradient
  std::vector<double> parts = {};  // the weighted terms that `loss` is the sum of; then the discriminator's
  bool sound = false;              // false: loss or gradient was not finite, and no weight was changed
  bool overflow = false;  // not sound, perhaps since something was too large for f16: the scale is lower now
  double loss_scale = 0;  // that the step was made with; 0: none (train/loss_scale.h)
};

// The configuration's precision, in use on the GPU while this lives; nothing for full. Throws Error(limit)
// where the GPU has no such thing. With 16 bits feature maps are stored so; parameters, their gradients, the
// optimiser's state, losses and the discriminator are f32.
std::unique_ptr<cuda::Using> precision_of(const TrainConfig& config);

class Learner {
 public:
  // `ranks`: those that learn together, nullptr: this process alone. Throws Error(limit) when the
  // configuration asks for a device that is not there.
  explicit Learner(const TrainConfig& config, Ranks* ranks = nullptr);

  // Step `iteration` (from 0) at rate `lr` on config.accumulate batches, each taken from `next`, all of them
  // in any case: of each its part for this rank. After each, while the GPU is at work on it, `meanwhile` is
  // called. The discriminator's rate follows: gan.optimizer.lr times lr
  // / optimizer.lr. Whatever is thrown on the way, Error(limit) when memory runs out above all, leaves no
  // gradients behind.
  StepResult step(const std::function<Batch()>& next, double lr, int64_t iteration,
                  const std::function<void()>& meanwhile = {});

  Network& network() { return *network_; }
  Network& average() { return *average_; }                          // the weights to validate and to save
  const std::vector<std::string>& terms() const { return terms_; }  // what `parts` are called
  TrainState state();                                               // what a checkpoint keeps

 private:
  struct Adversary {
    Discriminator discriminator;
    std::unique_ptr<Optimizer> optimizer;
    explicit Adversary(const TrainConfig& config);
  };
  StepResult update(StepResult result, double lr, int64_t iteration);
  void clear_gradients();
  void backpropagate(const Batch& batch, StepResult& result);
  void backpropagate_adversary(const Batch& batch, const Var& output, StepResult& result);
  void combine(StepResult& result);        // with the other ranks': loss, terms and gradients
  double share(const Batch& batch) const;  // of a batch's part, in the step
  std::vector<Var> evaluated() const;      // what the average is of: every parameter and buffer

  const TrainConfig config_;
  Ranks* ranks_;
  Loss loss_;
  std::unique_ptr<Network> network_, average_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Ema> ema_;
  LossScale loss_scale_;  // of the network's loss, not of the discriminator's, which is f32
  std::unique_ptr<Adversary> adversary_;
  std::vector<std::string> terms_;
};

}  // namespace dgp
