// The exponential moving average of weights (Polyak averaging): average = d average + (1 - d) weight with
// d = min(decay, (1 + updates) / (10 + updates)), so that the average forgets the starting point quickly.
// Parameters and floating-point buffers are averaged, other buffers copied. One pass over memory, on the
// device that both are on.
#pragma once

#include <vector>

#include "train/optimizer.h"

namespace dgp {

class Ema {
 public:
  Ema(std::vector<Var> averages, double decay) : averages_(std::move(averages)), decay_(decay) {
    pieces_ = cut_into_pieces(averages_);
  }

  // `weights`: as many as averages, of the same shapes and types.
  void update(const std::vector<Var>& weights, int64_t updates);

 private:
  std::vector<Var> averages_;
  double decay_;
  std::vector<Piece> pieces_;
};

}  // namespace dgp
