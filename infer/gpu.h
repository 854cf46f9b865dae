// Images through a network on the GPU: how each is cut to fit its memory, what is kept from one to the next,
// and how one is computed while the one before goes down and the one behind comes up.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "infer/gpu_plan.h"
#include "infer/upscaler.h"
#include "tensor/cuda_math.h"
#include "tensor/cuda_stream.h"

namespace dgp {

class GpuUpscaler {
 public:
  // Of the options tile_rows, max_memory and notice. Throws Error(limit) without a usable GPU.
  // band_bytes: see gpu_tilings; storage: of feature maps, f32, bf16 or f16.
  GpuUpscaler(const DGPNet& net, const UpscalerOptions& options, int64_t band_bytes = kBandBytes,
              DType storage = DType::f32);

  using RowSink = Upscaler::RowSink;
  using Tick = std::function<void(double fraction)>;  // may throw, to end the image
  struct Image;

  // lr f32 [H,W,3] in the host's memory. start() queues as much of an image as the images before it allow;
  // finish() hands out the result's rows, in order, from the top, and throws what went wrong with it:
  // Error(numeric) when a result is not finite, Error(limit) when not even tiles fit. Images are finished in
  // the order in which they were started, by the thread that started them; forget() instead of finish() gives
  // one up.
  std::shared_ptr<Image> start(const RowStore& lr, Tick tick = {});
  void finish(const std::shared_ptr<Image>& image, const RowSink& sink);
  void forget(const std::shared_ptr<Image>& image);

  void run(const RowStore& lr, const RowSink& sink, Tick tick = {}) {
    std::lock_guard lock(mutex_);
    finish(start(lr, std::move(tick)), sink);
  }

  // lr f32 [1,H,W,3] in device memory -> [1,H*scale,W*scale,3], there too and overwritten by the next call.
  Tensor on_device(const Tensor& lr);

 private:
  void make_workspace(const Extent& lr);
  int64_t budget() const;
  void advance(bool finishing);
  bool can_begin(const Image& image, bool first, bool finishing);
  void begin(Image& image);
  void queue_band(Image& image);
  void hand_out(Image& image, const RowSink& sink);
  void drop_forgotten();
  void queue(size_t step, const std::function<void()>& work);

  std::recursive_mutex mutex_;
  GpuPlan plan_;
  int64_t tile_rows_, max_memory_, band_bytes_;
  DType storage_;
  std::function<void(const std::string&)> notice_;
  std::deque<std::shared_ptr<Image>> images_;  // started and not finished
  std::unique_ptr<GpuWorkspace> space_;        // of the image before
  int64_t runs_ = 0;                           // of images in it
  // Of every step on the way: queued as it comes at first, recorded at the second image and played from then
  // on, with the factors in use.
  std::vector<std::optional<cuda::Graph>> graphs_;
  cuda::Factors factors_ = cuda::Factors::f32;
  Tensor result_;  // of on_device
};

}  // namespace dgp
