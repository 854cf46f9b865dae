// A DGPNet made ready to run on the GPU: fused convolutions in its memory, and the order in which kernels go
// over an image. infer/plan.h is the CPU's, and infer/upscaler.h tells the way both go: every result has the
// same bits however the image is cut, because rows are cut between multiples of kRowGrid and window sums are
// of rows of the image.
#pragma once

#include <functional>
#include <optional>

#include "infer/gpu_workspace.h"
#include "ops/conv2d_prepared.h"

namespace dgp {

class GpuPlan {
 public:
  // Throws Error(limit) without a usable GPU, or when its memory does not hold the weights.
  explicit GpuPlan(const DGPNet& net);

  // Lays weights out as they are multiplied, with the factors in use and feature maps stored in this type.
  // Runs do so themselves where one of the two has changed; it takes memory for a moment.
  void prepare(DType storage);

  // The picture that `space` has taken -> its features: head and blocks, queued on cuda::stream().
  // `tick` is called with the share of it that is done, where the image is cut into tiles.
  void run_body(GpuWorkspace& space, const std::function<void(double)>& tick = {});

  // Rows [begin, end) of the result, from the features: rows f32 [R,W*scale,3], begin a multiple of
  // kRowGrid; not_finite f32 [1] is set, see cuda::find_not_finite. Queued.
  void run_finish(GpuWorkspace& space, RowRange range, const Tensor& rows, const Tensor& not_finite);

  const DGPNetConfig& config() const { return config_; }
  int64_t bytes() const { return bytes_; }  // of device memory, for the weights

 private:
  struct Layer {
    Tensor weight, bias;  // [O,k,k,I] in the host's memory, [O] in the device's
    float slope = 1;      // of its result below zero
    Tensor memory = {};   // of the prepared weights
    cuda::PreparedWeights prepared = {};
  };
  struct Block {
    Layer first;
    FoldWeights fold;
  };
  void run_head(GpuWorkspace& space) const;
  void run_block(const Block& block, GpuWorkspace& space) const;

  DGPNetConfig config_;
  int64_t bytes_ = 0;
  Layer head_, upsample_, tail_;
  std::vector<Block> body_;
  cuda::Factors factors_ = cuda::Factors::f32;  // that weights are prepared for, and the maps' type
  std::optional<DType> storage_;
};

}  // namespace dgp
