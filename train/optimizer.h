// Optimisers: each keeps a few tensors of state shaped like the parameters ("slots") and walks parameters,
// gradients and slots once a step, in parallel and in order, so that the bits do not depend on the number of
// threads; on the GPU where the parameters are there. The formulas stand in train/optimizers.cpp. The
// configuration picks one by name; users add their own to the table (train/registry.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "train/optimizer_updates.h"
#include "train/registry.h"

namespace dgp {

// A piece [begin, end) of one of several tensors: what one turn of a parallel loop works on.
struct Piece {
  size_t tensor;
  int64_t begin, end;
};
std::vector<Piece> cut_into_pieces(const std::vector<Var>& tensors);

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Euclidean norm of all gradients together, in double, in a fixed order.
  double grad_norm() const;
  std::vector<Tensor> gradients() const;  // of the parameters that have one, in order
  // One step with gradients multiplied by grad_scale; parameters without a gradient stay.
  void step(double lr, double grad_scale = 1);
  void clear_gradients();

  // The weights to validate, average and save: the parameters, unless the method takes its gradients
  // elsewhere (schedule-free: the average x, while the parameters are at y). Good after a step.
  virtual const std::vector<Var>& evaluated() const { return parameters_; }

  // What a checkpoint keeps.
  struct Slot {
    std::string name;
    std::vector<Tensor> tensors;  // one a parameter
  };
  const std::vector<Slot>& slots() const { return slots_; }
  std::vector<double> numbers;  // of the method as a whole
  int64_t steps = 0;

 protected:
  // f32 leaves, all on one device; slots of zeros, there too.
  Optimizer(std::vector<Var> parameters, const std::vector<std::string>& slots);

  // What a step does to each piece. A plain function of one runs on the CPU alone; of() serves both devices.
  using Arrays = UpdatePiece;
  struct Update {
    std::function<void(const Arrays&)> piece;
    std::function<void(const std::vector<Arrays>&)> on_gpu = {};

    template <class Step>
    static Update of(const Step& k) {
      return {[k](const Arrays& a) { cpu::update(k, a); },
              [k](const std::vector<Arrays>& all) { cuda::update(k, all); }};
    }
  };
  // The update of step `steps`, its coefficients worked out.
  virtual Update plan(double lr, double grad_scale) = 0;

  std::vector<Var> parameters_;
  std::vector<Slot> slots_;
  std::vector<Slot> derived_;  // in arrays behind the slots, but worked out anew: no checkpoint keeps them

 private:
  Arrays arrays(const Piece& piece) const;
  std::vector<Arrays> with_gradients() const;  // every piece that has one
  bool on_gpu() const { return !parameters_.empty() && parameters_[0].value().device() == Device::cuda; }

  std::vector<Piece> pieces_;
};

struct OptimizerKind {
  std::string name;
  std::vector<OptionSpec> options = {};  // beta1, beta2, ... are written as one list, `betas`
  std::function<std::unique_ptr<Optimizer>(std::vector<Var> parameters, const Options& options)> make;
};
Registry<OptimizerKind>& optimizers();

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW
};

class Adam : public Optimizer {
 public:
  Adam(std::vector<Var> parameters, const AdamOptions& options);

 protected:
  Update plan(double lr, double grad_scale) override;

 private:
  AdamOptions options_;
};

}  // namespace dgp
