// A DGPNet made ready to run on one image after another: fused convolutions with prepared weights, and the
// order in which bands of rows go through them. infer/upscaler.h tells how; this is where.
#pragma once

#include <functional>
#include <vector>

#include "infer/layer_time.h"
#include "infer/workspace.h"
#include "models/dgpnet.h"
#include "ops/conv2d.h"

namespace dgp {

// Throws Error(numeric) that names the weight that is not finite.
void check_weights(DGPNet& net);

class Plan {
 public:
  explicit Plan(const DGPNet& net, Precision precision = Precision::full);

  using RowSink = std::function<void(const Tensor& rows, int64_t first)>;
  using Tick = std::function<void(double multiply_adds)>;

  // lr f32 [H,W,3], H and W as the workspace was made for; the result's rows reach the sink in order, from
  // the top, and are overwritten when it returns.
  void run(const RowStore& lr, Workspace& space, const RowSink& sink, const Tick& tick,
           const LayerObserver& observe = {}) const;

  double work(const Extent& lr, const Tiling& tiling) const;  // sum of all ticks
  const DGPNetConfig& config() const { return net_.config; }

 private:
  struct Layer {
    PreparedConv2d conv;
    Tensor bias;
    double multiply_adds;  // a pixel of its result
  };
  Layer layer(const Var& weight, const Var& bias, Activation activation = Activation::none) const;
  void run_head(const RowStore& lr, Workspace& space, const Tick& tick, const LayerObserver& observe) const;
  void run_block(size_t index, Workspace& space, const Tick& tick, const LayerObserver& observe) const;
  void finish(const RowStore& lr, Workspace& space, const RowSink& sink, const Tick& tick,
              const LayerObserver& observe) const;

  DGPNet net_;  // the deploy form
  Precision precision_;
  Layer head_;
  std::vector<Layer> first_;  // of each block
  Layer upsample_, tail_;
  double second_multiply_adds_;
};

}  // namespace dgp
