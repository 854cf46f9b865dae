// Images through a network on the GPU: how each is cut to fit its memory, and what is kept from one to the
// next.
#pragma once

#include <memory>
#include <mutex>

#include "infer/gpu_plan.h"
#include "infer/upscaler.h"

namespace dgp {

class GpuUpscaler {
 public:
  // Of the options tile_rows, max_memory and notice. Throws Error(limit) without a usable GPU.
  GpuUpscaler(const DGPNet& net, const UpscalerOptions& options);

  using Tick = std::function<void(double fraction)>;

  // lr f32 [H,W,3] in the host's memory; the result's rows reach the sink in order, from the top. Throws
  // Error(numeric) when a result is not finite, Error(limit) when not even tiles fit.
  void run(const RowStore& lr, const Upscaler::RowSink& sink, const Tick& tick = {});

  // lr f32 [1,H,W,3] in device memory -> [1,H*scale,W*scale,3], there too and overwritten by the next call.
  Tensor on_device(const Tensor& lr);

 private:
  GpuWorkspace& workspace(const Extent& lr);
  int64_t budget() const;

  std::mutex mutex_;  // one image at a time
  GpuPlan plan_;
  int64_t tile_rows_, max_memory_;
  std::function<void(const std::string&)> notice_;
  std::unique_ptr<GpuWorkspace> space_;  // of the image before
  Tensor result_;                        // of on_device
};

}  // namespace dgp
