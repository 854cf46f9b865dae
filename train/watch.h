// Notices that a run diverges: losses far outside what they were, values that are not finite, colours of a
// fixed picture that drift away. Decides from medians, so that a few hard batches are no alarm.
#pragma once

#include <string>

#include "tensor/tensor.h"
#include "train/config.h"

namespace dgp {

class Watch {
 public:
  explicit Watch(const TrainConfig& config);

  // After a step; `sound` is false for one that was skipped, not being finite. A loss is an outlier when it
  // is above the median of the last 128 regular ones by more than config.watch.outlier robust standard
  // deviations (1.4826 median absolute deviations) and above twice the median.
  void step(bool sound, double loss);

  // The largest difference of a colour channel's mean between the network's picture and the original. Counts
  // once it has been below half of config.watch.colour.
  void preview(double drift);

  bool calm() const;  // no outlier among the last 16 steps
  std::string diverged()
      const;  // why, when 8 of the last 16 steps were outliers or colours drifted; or empty

  const Tensor& state() const { return state_; }  // f64; a checkpoint keeps it

 private:
  double& at(int64_t index) const { return state_.data<double>()[index]; }
  int outliers() const;

  double outlier_, colour_;
  Tensor state_;
};

}  // namespace dgp
