// Adam (Kingma and Ba, ICLR 2015) and AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
// ICLR 2019), with PyTorch's formulas. With gradient g and step count t:
//   Adam:  g += decay * w                    AdamW:  w *= 1 - lr * decay
//   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
//   w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// and the exponential moving average of weights (Polyak averaging). Both go once over memory, in parallel.
#pragma once

#include <vector>

#include "autograd/var.h"

namespace dgp {

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW
};

// A piece [begin, end) of one of several tensors: what one turn of a parallel loop works on.
struct Piece {
  size_t tensor;
  int64_t begin, end;
};
std::vector<Piece> cut_into_pieces(const std::vector<Var>& tensors);

class Adam {
 public:
  Adam(std::vector<Var> parameters, const AdamOptions& options);  // f32 leaves, updated in place

  // Euclidean norm of all gradients together, in double, in a fixed order.
  double grad_norm() const;
  // One step with gradients multiplied by grad_scale; parameters without a gradient stay.
  void step(double lr, double grad_scale = 1);
  void clear_gradients();

  // What a checkpoint keeps.
  const std::vector<Tensor>& first_moments() const { return m_; }
  const std::vector<Tensor>& second_moments() const { return v_; }
  int64_t steps = 0;

 private:
  std::vector<Var> parameters_;
  AdamOptions options_;
  std::vector<Tensor> m_, v_;
  std::vector<Piece> pieces_;
};

class Ema {
 public:
  Ema(std::vector<Var> parameters, std::vector<Var> averages, double decay);

  // average = d average + (1 - d) parameter, with d = min(decay, (1 + updates) / (10 + updates)), so that
  // the average forgets the starting point quickly.
  void update(int64_t updates);

 private:
  std::vector<Var> parameters_, averages_;
  double decay_;
  std::vector<Piece> pieces_;
};

}  // namespace dgp
