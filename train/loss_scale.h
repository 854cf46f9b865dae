// Dynamic loss scaling, for gradients stored in f16, which loses what is below 6e-8: the loss is multiplied
// by a power of two before its gradient is taken, and the gradients of the parameters, which are f32, are
// divided by it. When they overflow nevertheless, or the loss does, the step is skipped and the scale halved;
// after so many steps without that it is doubled. The values are those of PyTorch's GradScaler (torch.amp),
// after Micikevicius et al., "Mixed precision training" (arXiv:1710.03740). bf16 has f32's range and needs
// none of it.
#pragma once

#include <cstdint>
#include <vector>

namespace dgp {

class LossScale {
 public:
  static constexpr double kFirst = 65536, kGrowth = 2, kBackoff = 0.5;
  static constexpr int64_t kGrowthInterval = 2000;  // steps in a row without an overflow
  // What is not finite at this scale owes nothing to it.
  static constexpr double kLeast = 1;

  explicit LossScale(bool dynamic) : dynamic_(dynamic), value_(dynamic ? kFirst : 1) {}

  bool dynamic() const { return dynamic_; }
  double value() const { return value_; }  // the factor of the loss, 1 unless dynamic

  // After a step whose gradients were finite.
  void good_step() {
    if (!dynamic_ || ++good_steps_ < kGrowthInterval) return;
    value_ *= kGrowth, good_steps_ = 0;
  }

  // After a loss or gradients that were not: true when a lower scale may help, which is set then.
  bool lower() {
    if (!dynamic_ || value_ <= kLeast) return false;
    value_ *= kBackoff, good_steps_ = 0;
    return true;
  }

  // What a checkpoint keeps: the scale, good steps since it was set. One without them, of a run in another
  // precision or of before there were any, gives the first scale.
  std::vector<double> state() const { return {value_, static_cast<double>(good_steps_)}; }
  void set_state(const std::vector<double>& state) {
    if (!dynamic_) return;
    const bool there = state.size() == 2;
    value_ = there ? state[0] : kFirst, good_steps_ = there ? static_cast<int64_t>(state[1]) : 0;
  }

 private:
  bool dynamic_;
  double value_;
  int64_t good_steps_ = 0;
};

}  // namespace dgp
